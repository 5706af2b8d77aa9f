"""Tables and a figure from the study of plug-ins: gains over bytes, and what is kept of several put in together."""

from pathlib import Path

import altair as alt
import numpy as np
import vl_convert

from faig.base.statistics import BootstrapParams, bootstrap_replicates, with_interval
from tools.studies import BLUR_AND_NOISE, results_of
from tools.tables import Json, Row, Tables, share, table

PICTURE = "docs/plugins.svg"
BOOTSTRAP = BootstrapParams(num_resamples=1000, confidence=0.95)
FULL, CLEAN = "full", "clean"
WORDS = {
    FULL: "the whole network",
    "biases": "all biases",
    "last layer": "the last layer",
    "rank 0.5": "low rank: 1, in every second layer",
    "learned": "learned masks",
    "faig": "FAIG",
    "taylor": "Taylor",
    "gradient": "gradient at the baseline",
    "random": "random",
    "rank": "low rank",
}
"""What a way is called in words; of a plug-in's, its method."""
COLOURS = {
    "learned masks": "#0072b2",
    "FAIG": "#d55e00",
    "Taylor": "#e69f00",
    "random": "#7f7f7f",
    "low rank": "#009e73",
    "the whole network": "#000000",
    "all biases": "#cc79a7",
    "the last layer": "#56b4e9",
}
"""Of the figure's lines, by what is trained."""


def networks_of(root: Path) -> dict[str, Json]:
    """The study's networks that were measured, the largest first."""
    found = {name: own for name, own in results_of(root, "plugins").get("networks", {}).items() if "alone" in own}
    return dict(sorted(found.items(), key=lambda item: -item[1]["filters"]))


def words(way: str) -> str:
    """``learned 1 %`` -> ``learned masks: 1 %``, and ``full, 4 times as long`` -> ``the whole network, ...``."""
    what, comma, rest = way.partition(",")
    if what not in WORDS:
        first, _, size = what.partition(" ")
        what = f"{WORDS[first]}: {size}"
    return WORDS.get(what, what) + comma + rest


def gained(network: Json, way: str, degradation: str) -> dict[str, np.ndarray]:
    """Gain in dB of each seed and test tile over the baseline, by kind of input: on the degradation and on clean."""
    runs = [run for run in network["alone"] if (run["way"], run["degradation"]) == (way, degradation)]
    return {
        name: np.array([run["psnr"][name] for run in runs]) - np.array(network["baseline"][name])
        for name in (degradation, CLEAN)
        if runs
    }


def effect(network: Json, way: str, degradation: str) -> Json:
    """Gain in dB of one way, its share of the whole network's, both with intervals, and what clean inputs gain."""
    own, whole = gained(network, way, degradation), gained(network, FULL, degradation)
    if not own or not whole:
        return {}
    values = {"own": own[degradation], "whole": whole[degradation]}
    samples = bootstrap_replicates(values, BOOTSTRAP.num_resamples, np.random.default_rng(0))
    recovered = samples["own"] / samples["whole"]
    return {
        "gain": float(own[degradation].mean()),
        **with_interval("recovered", values["own"].mean() / values["whole"].mean(), recovered, BOOTSTRAP.confidence),
        "clean": float(own[CLEAN].mean()),
    }


def sizes(network: Json) -> dict[str, tuple[float, int]]:
    """By way, in the order of their sizes: mean bytes over degradations and seeds, and the number of seeds."""
    found: dict[str, list[tuple[int, int]]] = {}
    for run in network["alone"]:
        found.setdefault(run["way"], []).append((run["bytes"], run["seed"]))
    means = {
        way: (float(np.mean([size for size, _ in runs])), len({seed for _, seed in runs}))
        for way, runs in found.items()
    }
    return dict(sorted(means.items(), key=lambda item: item[1]))


def alone(root: Path) -> str:
    """By network and by what was trained: bytes, gains, and their share of what training the whole network gains."""
    parts = []
    for name, network in networks_of(root).items():
        rows: list[Row] = []
        whole = sizes(network).get(FULL, (float("nan"), 0))[0]
        for way, (size, seeds) in sizes(network).items():
            effects = [effect(network, way, degradation) for degradation in BLUR_AND_NOISE]
            cells = [cell for values in effects for cell in _cells(values)]
            rows.append((words(way), f"{size / 1000:.1f} kB", f"{whole / size:.0f}", f"{seeds}", *cells))
        columns = ("gain [dB]", "of the whole network's", "clean inputs gain [dB]")
        heads = (f"{degradation}: {column}" for degradation in BLUR_AND_NOISE for column in columns)
        title = f"{name}, {network['filters']:,} filters:"
        parts.append(f"{title}\n\n" + table(("trained", "size", "times smaller", "seeds", *heads), rows))
    return "\n\n".join(parts) or table((), [])


def _cells(values: Json) -> Row:
    """Gain, share and gain of clean inputs; empty for a degradation that was not trained on."""
    if not values:
        return "", "", ""
    return f"{values['gain']:+.2f}", share(values, "recovered", low=True), f"{values['clean']:+.2f}"


LABELS = {
    "blur alone": "trained on blur, alone",
    "noise alone": "trained on noise, alone",
    "together": "both of these together",
    "together, halved": "both of these together, each by half",
    "in turn": "both, that for noise trained upon the other",
    "jointly": "trained on both at once",
}


def together(root: Path) -> str:
    """What plug-ins, and whole networks' changes, that were trained apart give together: gains and shares kept."""
    rows: list[Row] = []
    for name, network in networks_of(root).items():
        for both in _combined(network):
            for label in [label for label in LABELS if label in both["psnr"]]:
                gains = {on: _mean_gain(network, both, label, on) for on in network["baseline"]}
                kept = ["", ""]
                if label not in ("blur alone", "noise alone"):
                    kept = [
                        f"{100 * gains[on] / _mean_gain(network, both, f'{on} alone', on):z.0f} %"
                        for on in BLUR_AND_NOISE
                    ]
                cells = (f"{gains[on]:+.2f}" for on in ("blur", "noise", "blur_noise", CLEAN))
                rows.append((name, words(both["way"]), LABELS[label], *cells, *kept))
    heads = ("network", "trained", "which", "gain on blur [dB]", "on noise", "on both at once", "on clean inputs")
    return table((*heads, "of the gain on blur alone", "on noise alone"), rows)


def _combined(network: Json) -> list[Json]:
    """What was measured of each way together, and trained jointly where that was done."""
    joint = {run["way"]: run["psnr"] for run in network.get("joint", [])}
    return [run | {"psnr": run["psnr"] | joint.get(run["way"], {})} for run in network.get("both", [])]


def _mean_gain(network: Json, both: Json, label: str, on: str) -> float:
    return float(np.mean(both["psnr"][label][on]) - np.mean(network["baseline"][on]))


def picture(root: Path) -> str:
    """The curves of gain over bytes as an SVG: a panel per network and degradation, a line per what is trained."""
    points = []
    for name, network in networks_of(root).items():
        for way, (size, _) in sizes(network).items():
            line = words(way).partition(":")[0]
            for degradation in BLUR_AND_NOISE:
                values = effect(network, way, degradation)
                if values and line in COLOURS and "," not in way:
                    where = {"panel": f"{name}, {degradation}", "trained": line, "kB": size / 1000}
                    points.append(
                        where | {key: values[key] for key in ("recovered", "recovered_low", "recovered_high")}
                    )
    lines = [name for name in COLOURS if any(point["trained"] == name for point in points)]
    colour = alt.Color("trained:N", scale=alt.Scale(domain=lines, range=[COLOURS[name] for name in lines]), title=None)
    x = alt.X("kB:Q", scale=alt.Scale(type="log"), title="size of what was trained [kB]")
    y = alt.Y("recovered:Q", axis=alt.Axis(format="%"), title="of the whole network's gain")
    bars = alt.Chart().mark_rule(opacity=0.5).encode(x=x, y="recovered_low:Q", y2="recovered_high:Q", color=colour)
    base = alt.Chart().encode(x=x, y=y, color=colour)
    layers = alt.layer(bars, base.mark_line(opacity=0.7), base.mark_point(filled=True, size=35, opacity=1))
    panels = list(dict.fromkeys(point["panel"] for point in points))
    facet = alt.Facet("panel:N", sort=panels, title=None)
    chart = layers.properties(width=300, height=210, data=alt.Data(values=points)).facet(facet=facet, columns=2)
    return vl_convert.vegalite_to_svg(chart.resolve_scale(x="independent").to_dict())


TABLES: Tables = {"plugins": alone, "plugins_together": together}
