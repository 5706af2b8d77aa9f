"""The figures: image grids like the paper's figure 2, curves over mask ratios, filters by layer.

Every function takes arrays or tables and writes one PNG: atomically, the same bytes for the same input and library
versions, whatever the user's Matplotlib settings. A name (degradation, method, network) has one colour everywhere.
"""

import io
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from faig.base.files import replacing

if TYPE_CHECKING:
    import pandas as pd

    Table = pd.DataFrame | Mapping[str, ArrayLike]

ImageRows = Sequence[Sequence[NDArray[np.uint8]]]
Strings = Sequence[str]
Groups = Sequence[tuple[str, int]]

# Okabe and Ito's palette, made for colour-blind readers.
BLACK, GREY, ORANGE, SKY = "#000000", "#8c8c8c", "#e69f00", "#56b4e9"
GREEN, BLUE, RED, PINK = "#009e73", "#0072b2", "#d55e00", "#cc79a7"
COLOURS = {
    "clean": GREY, "blur": BLUE, "noise": RED, "blur_noise": PINK, "jpeg": GREEN,
    "faig": BLUE, "learned": BLACK, "second_order": SKY, "ig": ORANGE, "taylor": RED,
    "weight_change": GREEN, "weight_change_undivided": PINK, "random": GREY,
    "baseline": BLACK, "blind": ORANGE,
}  # fmt: skip
SPARE_COLOURS = [ORANGE, SKY, GREEN, PINK, BLACK, BLUE, RED, GREY]
MARKERS = "osD^vPX*"
READABLE = (-1.5, 2.5)
"""Shares of a gain that panels show."""
MAX_NAMES = 48
"""How many names of layers stand side by side."""
LABELS = {
    "faig": "FAIG",
    "learned": "learned masks",
    "second_order": "second order",
    "ig": "IG",
    "taylor": "Taylor",
    "weight_change_undivided": "weight change, undivided",
}
CURVES = {"removed": "{} filters masked", "collateral": "", "kept": "all but {} filters masked", "kept_elsewhere": ""}
"""What is drawn over the share of the filters, from the top; of each curve's first, the title."""
STYLE = {
    "figure.dpi": 100,
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
}
CHART_DPI = 200
GRID_DPI = 128  # a power of two: pixels / dpi * dpi is exact, so each image lands on whole pixels
MIN_CELL = 256  # pixels; images of a grid are enlarged to at least this


def colours_of(names: Strings) -> dict[str, str]:
    """Each name's colour: its own of :data:`COLOURS`, else one that no other name of ``names`` has, while they last."""
    taken = {COLOURS.get(name) for name in names}
    spare = [colour for colour in SPARE_COLOURS if colour not in taken] or SPARE_COLOURS
    unknown = [name for name in dict.fromkeys(names) if name not in COLOURS]
    return COLOURS | {name: spare[index % len(spare)] for index, name in enumerate(unknown)}


def label_of(name: str) -> str:
    """A name as readers see it: ``blur_noise`` becomes ``blur noise``, ``faig`` becomes ``FAIG``."""
    return LABELS.get(name, name.replace("_", " "))


# Image grid


def image_grid(
    images: ImageRows,
    row_titles: Strings,
    column_titles: Strings,
    captions: Sequence[Strings],
    path: Path,
    *,
    column_groups: Groups = (),
) -> None:
    """Write rows of images with titles, and a caption such as ``24.6 dB`` under each, like the paper's figure 2.

    Pixels stay crisp: all images are shown at one size, enlarged by repeating pixels, exactly so where that size is a
    multiple of their own (as for the LR input and the SR outputs of one scene).

    Args:
        images: rows of 8-bit RGB images (H, W, 3), equally many in each row.
        row_titles: one per row, at its left.
        column_titles: one per column, above it; long ones are wrapped.
        captions: one per image; "" for none.
        path: of the PNG file.
        column_groups: headings over neighbouring columns, (title, number of columns) from left to right, all columns
            covered; "" for none. A gap separates the groups.
    """
    layout = _layout(images, column_titles, column_groups)
    with figure_file(path, layout.size[0] / GRID_DPI, layout.size[1] / GRID_DPI, dpi=GRID_DPI) as figure:
        _write_headings(figure, layout, row_titles, column_groups)
        for top, row, row_captions in zip(layout.tops, images, captions, strict=True):
            for left, image, caption in zip(layout.lefts, row, row_captions, strict=True):
                axes = figure.add_axes(layout.box(left, top))
                axes.imshow(image, interpolation="nearest", aspect="auto")
                axes.set_axis_off()
                layout.write(figure, left + layout.width / 2, top + layout.height, caption, va="top", pad=0.2)


class _Layout(NamedTuple):
    """Where a grid's images lie; pixels from the left and from the top."""

    size: tuple[int, int]  # width and height of the figure
    width: int  # of each image
    height: int
    lefts: list[int]
    tops: list[int]
    text: int  # height of a line of text
    titles: list[str]  # of the columns, wrapped

    def box(self, left: int, top: int) -> tuple[float, float, float, float]:
        """The image at (left, top) as Matplotlib's (left, bottom, width, height) in shares of the figure."""
        width, height = self.size
        return left / width, 1 - (top + self.height) / height, self.width / width, self.height / height

    def write(self, figure: Figure, x: float, y: float, string: str, *, va: str, pad: float = 0, **style: Any) -> None:
        """Text centred at x, ``pad`` lines away from y."""
        y += {"top": 1, "center": 0, "baseline": -1}[va] * pad * self.text
        style = {"fontsize": 0.75 * self.text * 72 / GRID_DPI, "linespacing": 1.15, **style}
        figure.text(x / self.size[0], 1 - y / self.size[1], string, ha="center", va=va, **style)


def _layout(images: ImageRows, titles: Strings, groups: Groups) -> _Layout:
    largest = max((image.shape[:2] for row in images for image in row), key=min)
    height, width = (size * -(-MIN_CELL // min(largest)) for size in largest)
    text = max(height, width) // 8
    wrapped = [textwrap.fill(title, max(6, int(width / (0.44 * text)))) for title in titles]
    title_lines = max(title.count("\n") + 1 for title in wrapped)
    top = int(text * (title_lines + (1.4 if groups else 0.5)))
    group_of_column = np.repeat(np.arange(len(groups)), [count for _, count in groups]) if groups else [0] * len(titles)
    lefts = [int(1.5 * text) + i * (width + text // 4) + int(g) * text for i, g in enumerate(group_of_column)]
    tops = [top + i * (height + int(1.5 * text)) for i in range(len(images))]
    size = (lefts[-1] + width + text // 4, tops[-1] + height + int(1.4 * text))
    return _Layout(size, width, height, lefts, tops, text, wrapped)


def _write_headings(figure: Figure, layout: _Layout, row_titles: Strings, groups: Groups) -> None:
    for left, title in zip(layout.lefts, layout.titles, strict=True):
        layout.write(figure, left + layout.width / 2, layout.tops[0], title, va="baseline", pad=0.4)
    for top, title in zip(layout.tops, row_titles, strict=True):
        layout.write(figure, 0.75 * layout.text, top + layout.height / 2, title, va="center", rotation=90)
    start = 0
    for title, count in groups:
        left, right = layout.lefts[start], layout.lefts[start + count - 1] + layout.width
        layout.write(figure, (left + right) / 2, 0, title, va="top", pad=0.25, weight="bold")
        start += count


# Charts


def ratio_curves(table: "Table", path: Path) -> None:
    """Write what deletion and insertion do over the share of the filters: a column per degradation, a line per method.

    Args:
        table: a row per method, degradation and ratio; columns ``method``, ``degradation``, ``ratio`` (0 to 1), and
            the quantities of :data:`CURVES` (shares of the restoration gain) with their confidence intervals
            ``removed_low``, ``removed_high`` and so on. NaN, None or no column at all where there is nothing to report:
            but for ``removed``, such quantities have no panel.
        path: of the PNG file.

    Raises:
        ValueError: the table is empty or lacks one of the first three columns.
    """
    keys = _columns(table, ["method", "degradation"], ["ratio"])
    optional = [name + end for name in CURVES for end in ("", "_low", "_high")]
    columns = dict.fromkeys(optional, np.full(len(keys["ratio"]), np.nan))
    columns |= keys | _columns(table, [], [name for name in optional if name in table])
    quantities = [name for name in CURVES if name == "removed" or np.isfinite(columns[name]).any()]
    methods, degradations = (list(dict.fromkeys(columns[name])) for name in ("method", "degradation"))
    with figure_file(path, 1 + 2.9 * len(degradations), 1 + 2.4 * len(quantities)) as figure:
        panels = figure.subplots(len(quantities), len(degradations), sharex=True, sharey="row", squeeze=False)
        for row, quantity in zip(panels, quantities, strict=True):
            for axes, degradation in zip(row, degradations, strict=True):
                part = {name: column[columns["degradation"] == degradation] for name, column in columns.items()}
                _draw_bands(axes, part, quantity, methods)
                if title := CURVES[quantity]:
                    axes.set_title(title.format(label_of(degradation)))
            row[0].set_ylabel(f"{label_of(quantity)} [share of gain]")
            row[0].set_ylim(*_limits(columns[quantity]))
        for axes in panels[-1]:
            _scale_ratios(axes, columns["ratio"])
        legend_above(figure, panels[0, 0])


def layer_profile(counts: Mapping[str, ArrayLike], num_filters: ArrayLike, layers: Strings, path: Path) -> None:
    """Write where the discovered filters lie: their share of each layer's filters, and their number.

    A thin line shows what equally many filters drawn at random would give on average.

    Args:
        counts: degradation -> number of discovered filters per layer (L,).
        num_filters: filters per layer (L,).
        layers: names of the layers (L,), from input to output.
        path: of the PNG file.
    """
    sizes = np.asarray(num_filters, dtype=float)
    table = {name: np.asarray(column, dtype=float) for name, column in counts.items()}
    expected = np.mean([column.sum() for column in table.values()]) / sizes.sum()
    colours, positions, width = colours_of(list(table)), np.arange(len(layers)), 0.84 / len(table)
    height = 5.6 + 0.06 * max(0, max(map(len, layers)) - 16)  # inches: names stand upright below the axes
    with figure_file(path, width_of(layers), height) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True)
        for axes, scale, line in ((upper, 100 / sizes, 100 * expected + 0 * sizes), (lower, 1, expected * sizes)):
            for number, (name, column) in enumerate(table.items()):
                x = positions + (number - (len(table) - 1) / 2) * width
                axes.bar(x, column * scale, width, color=colours[name], label=label_of(name))
            edges = np.arange(len(layers) + 1) - 0.5
            axes.stairs(line, edges, baseline=None, color=BLACK, linewidth=0.9, label="expected at random")
            axes.grid(visible=False, axis="x")
        upper.set_ylabel("discovered filters [% of layer]")
        lower.set_ylabel("discovered filters [count]")
        name_layers(lower, layers)
        legend_above(figure, upper)


def width_of(layers: Strings) -> float:
    """Width in inches of a figure with a place for each layer (L,), as far as a page is wide."""
    return min(max(6.0, 2 + 0.3 * len(layers)), 2 + 0.3 * MAX_NAMES)


def name_layers(axes: Axes, layers: Strings) -> None:
    """Write the layers' names (L,) under their places 0, 1, ..., as many of them as can be read, evenly spread."""
    step = -(-len(layers) // MAX_NAMES)
    axes.set_xticks(range(0, len(layers), step), layers[::step], rotation=90)
    axes.set_xlim(-0.6, len(layers) - 0.4)


def _draw_bands(axes: Axes, part: Mapping[str, NDArray[Any]], quantity: str, methods: Strings) -> None:
    """Per method a line with markers and the shaded confidence interval around it."""
    colours = colours_of(methods)
    for number, method in enumerate(methods):
        rows = np.flatnonzero(part["method"] == method)
        rows = rows[np.argsort(part["ratio"][rows])]
        names = ("ratio", quantity, f"{quantity}_low", f"{quantity}_high")
        ratio, value, low, high = (part[name][rows] for name in names)
        axes.fill_between(ratio, low, high, color=colours[method], alpha=0.18, linewidth=0)
        (line,) = axes.plot(ratio, value, color=colours[method], marker=MARKERS[number % len(MARKERS)])
        line.set(label=label_of(method), zorder=3 if method in ("faig", "learned") else 2)
    axes.axhline(0, color=BLACK, linewidth=0.8)
    found = part[quantity][np.isfinite(part[quantity])]
    if not len(found):
        axes.text(0.5, 0.5, "nothing to report:\nthe gain is too small", ha="center", transform=axes.transAxes)
    elif not ((found >= READABLE[0]) & (found <= READABLE[1])).any():
        word = f"{found.min():.0f} to {found.max():.0f}:\nmasking breaks the network"
        axes.text(0.5, 0.25, word, ha="center", transform=axes.transAxes)


def _limits(values: NDArray[np.float64]) -> tuple[float, float]:
    """Limits that hold 0, 1 and every value within :data:`READABLE`; others, and wide intervals, leave the panel.

    A share of the gain far from 0 to 1 says no more than that masking broke the network.
    """
    shown = np.append(np.clip(values[np.isfinite(values)], *READABLE), [0.0, 1.0])
    margin = 0.06 * np.ptp(shown)
    return float(shown.min() - margin), float(shown.max() + margin)


def _scale_ratios(axes: Axes, ratios: NDArray[np.float64]) -> None:
    """A logarithmic axis in percent with ticks at 1, 2 and 5 times powers of ten."""
    ticks = [digit * 10.0**power for power in range(-6, 1) for digit in (1, 2, 5)]
    shown = [tick for tick in ticks if 0.99 * ratios.min() <= tick <= 1.01 * ratios.max()]
    shown = shown if len(shown) > 1 else np.unique(ratios).tolist()
    axes.set_xscale("log")
    axes.set_xticks(shown, [f"{100 * tick:g}" for tick in shown])
    axes.minorticks_off()
    axes.set_xlabel("filters [% of all]")


def legend_above(figure: Figure, *axes: Axes) -> None:
    """One legend for the whole figure, above its panels; each label once."""
    num_columns = max(1, int(figure.get_figwidth() / 1.9))  # inches
    entries = {
        label: handle for panel in axes for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    figure.legend(list(entries.values()), list(entries), loc="outside upper center", ncols=num_columns)


def _columns(table: "Table", text: Strings, numeric: Strings) -> dict[str, NDArray[Any]]:
    """The named columns as arrays, numbers as float64 with NaN for None."""
    if missing := [name for name in [*text, *numeric] if name not in table]:
        raise ValueError(f"the table lacks the columns {missing}; it has {list(table)}")
    columns = {name: np.asarray(table[name], dtype=object) for name in text}
    columns |= {name: np.asarray(table[name], dtype=np.float64) for name in numeric}
    if any(len(column) == 0 for column in columns.values()):
        raise ValueError("the table has no rows: there is nothing to draw")
    return columns


# Files


@contextmanager
def figure_file(path: Path, width: float, height: float, dpi: int = CHART_DPI) -> Iterator[Figure]:
    """A figure of (width, height) inches in our style, written to ``path`` when the block ends without an error."""
    with matplotlib.style.context(["default", STYLE]):
        figure = Figure((width, height), layout="constrained" if dpi == CHART_DPI else None)
        yield figure
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    with replacing(path) as partial:
        partial.write_bytes(buffer.getvalue())
