"""The figures of the argument's stages, in the style of :mod:`faig.figures.plots`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps

from faig.figures.plots import (
    BLACK,
    BLUE,
    GREY,
    MARKERS,
    RED,
    colours_of,
    figure_file,
    label_of,
    legend_above,
    name_layers,
    width_of,
)

SHARES = colormaps["Blues"].with_extremes(bad=f"{GREY}40")


def modulation_chart(curves: pd.DataFrame, grid: pd.DataFrame, dials: list[str], path: Path) -> None:
    """Write mean PSNR over each dial's lambda, a line per input, and over two dials at once as a heatmap.

    Args:
        curves: columns dial, value, input, psnr in dB, a row per image.
        grid: columns first, second, psnr, a row per image; may be empty.
        dials: names of the dials, in the order of ``first`` and ``second``.
        path: of the PNG file.
    """
    inputs = list(dict.fromkeys(curves["input"]))
    colours = colours_of(inputs)
    num_panels = len(dials) + (not grid.empty)
    with figure_file(path, 1 + 3.1 * num_panels, 3.4) as figure:
        panels = figure.subplots(1, num_panels, squeeze=False)[0]
        for axes, dial in zip(panels, dials, strict=False):
            for number, name in enumerate(inputs):
                rows = curves[(curves["dial"] == dial) & (curves["input"] == name)]
                means = pd.DataFrame(rows).pivot_table(index="value", values="psnr")
                style = {"color": colours[name], "marker": MARKERS[number % len(MARKERS)]}
                axes.plot(means.index, means["psnr"], **style, label=f"{label_of(name)} inputs")
            axes.set(xlabel=f"$\\lambda$ of the {label_of(dial)} filters", title=f"dial: {label_of(dial)}")
        panels[0].set_ylabel("PSNR [dB]")
        if not grid.empty:
            means = grid.pivot_table(index="second", columns="first", values="psnr")
            axes = panels[-1]
            axes.imshow(means, origin="lower", cmap="viridis")
            axes.grid(visible=False)
            middle = (means.to_numpy().min() + means.to_numpy().max()) / 2
            for (row, column), value in np.ndenumerate(means.to_numpy()):
                colour = "black" if value > middle else "white"
                axes.text(column, row, f"{value:.1f}", ha="center", va="center", color=colour, fontsize=7)
            axes.set_xticks(range(len(means.columns)), [f"{value:g}" for value in means.columns])
            axes.set_yticks(range(len(means.index)), [f"{value:g}" for value in means.index])
            names = [f"$\\lambda$ of the {label_of(dial)} filters" for dial in dials]
            axes.set(xlabel=names[0], ylabel=names[1], title="both dials: PSNR [dB]")
        legend_above(figure, panels[0])


def retraining_chart(results: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Write what each variant recovers of the target's gain, with its interval: a panel per degradation.

    ``results``: by degradation as :func:`faig.report.argument.summarize_retraining` returns it.
    """
    with figure_file(path, 1 + 3.1 * len(results), 3.2) as figure:
        panels = figure.subplots(1, len(results), squeeze=False, sharey=True)[0]
        for axes, (degradation, values) in zip(panels, results.items(), strict=True):
            shown = {name: row for name, row in values.items() if isinstance(row, Mapping) and "recovered" in row}
            colour = colours_of([degradation])[degradation]
            for place, row in enumerate(shown.values()):
                axes.plot([row["recovered_low"], row["recovered_high"]], [place, place], color=colour)
                axes.plot(row["recovered"], place, "o", color=colour)
            if not shown:
                axes.text(0.5, 0.5, "nothing to report:\nthe gain is too small", ha="center", transform=axes.transAxes)
            axes.set_yticks(range(len(shown)), [label_of(name) for name in shown])
            axes.axvline(0, color="black", linewidth=0.8)
            axes.set(xlabel="recovered [share of gain]", title=label_of(degradation))
        panels[0].invert_yaxis()


def selectivity_chart(effects: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Write the share of the gain on each input (column) that masking the filters of each degradation (row) takes.

    Where there is no gain to take a share of, the cell is grey and gives the PSNR lost.

    Args:
        effects: by degradation, of one method, as :func:`faig.report.effects.effects` returns it.
        path: of the PNG file.
    """
    rows = list(effects)
    shown = [name for values in effects.values() for name in values["lost_db"] if not name.endswith(("_low", "_high"))]
    others = [name for name in shown if name not in rows]
    columns = [*rows, *dict.fromkeys(others)]
    with figure_file(path, 2 + 0.9 * len(columns), 1.4 + 0.6 * len(rows)) as figure:
        axes = figure.subplots()
        shares = [[effects[row]["lost_share"].get(column, np.nan) for column in columns] for row in rows]
        axes.imshow(np.ma.masked_invalid(shares), cmap=SHARES, vmin=0, vmax=1, aspect="auto")
        axes.grid(visible=False)
        for (row, column), share in np.ndenumerate(shares):
            lost_db = effects[rows[row]]["lost_db"][columns[column]]
            text = f"{lost_db:.1f} dB" if np.isnan(share) else f"{100 * share:.0f} %"
            axes.text(column, row, text, ha="center", va="center", color="white" if share > 0.6 else "black")
        axes.set_xticks(range(len(columns)), [label_of(name) for name in columns])
        axes.set_yticks(range(len(rows)), [label_of(name) for name in rows])
        axes.set(xlabel="inputs", ylabel="filters masked", title="lost by masking: share of the gain, or dB")


def kinship_chart(values: Mapping[str, Any], layers: Sequence[str], path: Path) -> None:
    """Write how alike the weights of baseline and target are, layer by layer: correlation and relative distance.

    Args:
        values: ``layer_correlation`` and ``layer_distance`` by layer, ``correlation`` and ``relative_distance`` of all
            layers together, which a line shows; ``related``, 0 if they look unrelated, which a title then says.
        layers: names of the layers, from input to output.
        path: of the PNG file.
    """
    with figure_file(path, width_of(layers), 5.0) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True)
        for axes, by_layer, whole in (
            (upper, values["layer_correlation"], values["correlation"]),
            (lower, values["layer_distance"], values["relative_distance"]),
        ):
            axes.bar(range(len(layers)), [by_layer[name] for name in layers], color=BLUE, label="each layer")
            axes.axhline(whole, color=BLACK, linewidth=0.9, label="all layers")
            axes.grid(visible=False, axis="x")
        upper.set(ylabel="correlation of weights", ylim=(min(0.0, *values["layer_correlation"].values()), 1.05))
        lower.set_ylabel("change [share of baseline]")
        name_layers(lower, layers)
        legend_above(figure, upper)
        if not values["related"]:
            lower.set_title("these two networks do not look related: results about filters mean nothing", color=RED)


def severity_chart(table: pd.DataFrame, path: Path) -> None:
    """Write the response over the level: a panel per degradation, a line per filters, mean over images.

    ``table``: as :func:`faig.report.argument.summarize_severity` takes it. The band holds the middle half of the
    images.
    """
    names = list(dict.fromkeys(table["degradation"]))
    if not names:  # no degradation has levels
        return
    colours = colours_of(list(dict.fromkeys(table["filters"])))
    with figure_file(path, 1 + 3.1 * len(names), 3.2) as figure:
        panels = figure.subplots(1, len(names), squeeze=False, sharey=True)[0]
        for axes, name in zip(panels, names, strict=True):
            for number, filters in enumerate(dict.fromkeys(table["filters"])):
                rows = pd.DataFrame(table[(table["degradation"] == name) & (table["filters"] == filters)])
                curves = rows.pivot_table(index="image", columns="value", values="response") / np.log(10) * 20
                low, high = curves.quantile(0.25), curves.quantile(0.75)
                axes.fill_between(curves.columns, low, high, color=colours[filters], alpha=0.18, linewidth=0)
                style = {"color": colours[filters], "marker": MARKERS[number % len(MARKERS)]}
                axes.plot(curves.columns, curves.mean(), **style, label=f"{label_of(filters)} filters")
            axes.set(xlabel="level", title=f"{label_of(name)} inputs")
        panels[0].set_ylabel("response [dB of the full range]")
        legend_above(figure, panels[0])
