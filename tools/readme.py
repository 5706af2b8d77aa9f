"""The tables of README.md, from metrics/, plots/ and the results under benchmarks/."""

import re
from pathlib import Path

import pandas as pd

from faig.figures.plots import label_of
from tools.tables import Json, Row, Tables, judged, read_claims, read_json, read_results, share, table, times

RATIOS = (0.01, 0.03)
"""Shares of the filters in the table of what masking removes."""

ACCURACIES = ("accuracy_attributed", "accuracy_all")
"""A predictor's accuracy among clean and the attributed degradations, and among all classes."""

SAME_FOR_ALL = {
    "weight_change": "weight change",
    "weight_change_undivided": "weight change, undivided",
    "random": "random, mean of 5",
}
"""Methods with one ranking for every degradation."""

VARIANTS = {
    "all": "all filters and biases",
    "discovered": "the discovered filters",
    "same_count": "as many in each layer",
    "rewired": "as many of each output channel, other inputs",
    "random": "as many anywhere",
    "grafted": "none: the target's weights grafted into the baseline",
    "shuffled": "none: the target, its discovered kernels shuffled in each layer",
}
"""What is trained from the baseline, or put together without training."""


def main_numbers(root: Path) -> str:
    """What the blind target gains, what masking removes, and how often the predictors are right."""
    results = read_results(root)
    gains = results["finetune"]["blind"]
    rows = [
        (name, f"{row['psnr_baseline']:.2f} dB", f"{row['psnr_target']:.2f} dB", f"{row['gain']:+.2f} dB")
        for name in ("clean", "blur", "noise", "blur_noise")
        for row in [gains[name]]
    ]
    predict = results["predict"]
    names = {"overlap": "overlap (the paper's)", "response": "response (forward passes only)"}
    predictors = [
        (label, *(share(predict[name], task, low=True) for task in ACCURACIES)) for name, label in names.items()
    ]
    return "\n\n".join(
        [
            table(("inputs", "baseline", "target", "gain"), rows),
            masked(pd.read_csv(root / "plots/removed/blind.csv")),
            table(("predictor, from the 3 %", "clean / blur / noise", "the same and blur_noise"), predictors),
        ]
    )


def masked(curves: pd.DataFrame) -> str:
    """What masking each method's filters removes of both gains."""
    found = {(row["method"], row["degradation"], row["ratio"]): row for row in curves.to_dict("records")}
    shown = ", ".join(f"{100 * ratio:g} %" for ratio in RATIOS)
    rows = []
    for method, name in {
        "faig": "FAIG",
        "learned": "learned masks",
        "second_order": "second order",
        "taylor": "one gradient (Taylor)",
        "ig": "integrated input gradients",
    }.items():
        for degradation, what in {"blur": "deblurring", "noise": "denoising"}.items():
            cells = []
            for on in ("blur", "noise"):
                key = "removed" if on == degradation else "collateral"
                shares = [share(found[method, degradation, ratio], key, low=True) for ratio in RATIOS]
                cells.append(
                    ", ".join(re.sub(r"^(\S+ %)", r"**\1**", text) if key == "removed" else text for text in shares)
                )
            rows.append((f"{what}, {name}", *cells))
    for method, name in SAME_FOR_ALL.items():
        cells = [
            ", ".join(share(found[method, on, ratio], "removed", low=True) for ratio in RATIOS)
            for on in ("blur", "noise")
        ]
        rows.append((name, *cells))
    heads = [f"of the gain on {on} removed: {shown}" for on in ("blur", "noise")]
    return table(("filters masked", *heads), rows)


def yardstick(root: Path) -> str:
    """The curves of each method as one number, beside the best set found at 1 %."""
    measured, rows = read_results(root)["yardstick"]["blind"], []
    for method in ("faig", "learned", "second_order", "taylor", "ig", "weight_change_undivided", "random"):
        cells = []
        for values in (measured[on][method] for on in ("blur", "noise")):
            areas = [f"{100 * values[f'area_of_{name}']:.0f} %" for name in ("removed", "selectivity", "kept")]
            found = values.get(f"{RATIOS[0]:g}", {})
            smallest = f"{100 * values['smallest_ratio']:g} %" if "smallest_ratio" in values else "none"
            cells += [", ".join(areas), share(found, "share_of_best_found", low=True), smallest]
        rows.append((label_of(method), *cells))
    columns = ("areas: removed, selective, kept", "at 1 %, of the best found", "90 % for less than 5 %")
    return table(("method", *(f"{what}: {c}" for what in ("deblurring", "denoising") for c in columns)), rows)


def claims(root: Path) -> str:
    """The claims with their verdicts; ``set``: before or after the first run that measured them."""
    rows = []
    for claim in read_claims(root):
        value, bound, verdict = judged(claim)
        rows.append((claim["says"], value, bound, claim["set"], f"**{verdict}**"))
    return table(("claim", "measured, 95 % interval", "asked", "set", "verdict"), rows)


def retraining(root: Path) -> str:
    """What each variant of retraining recovers."""
    found = read_results(root)["retrain"]
    rows = [(label, *(share(found[d][name], "recovered", low=True) for d in found)) for name, label in VARIANTS.items()]
    return table(("trained", *(f"of the gain on {name} recovered" for name in found)), rows)


def conditions(root: Path) -> str:
    """How far discovered filters lead as many elsewhere, under each condition."""
    found = read_json(root / "benchmarks/studies/results/conditions.json")["conditions"]
    presets = read_json(root / "benchmarks/studies/results/presets.json")["presets"]
    others = {f"preset `{n}`": values.get("retrain") for n, values in presets.items() if n != "default"}
    found |= {name: values for name, values in others.items() if values}
    rows = []
    for name, by_degradation in found.items():
        cells = [
            share(by_degradation[d][control], "behind", low=True)
            for d in by_degradation
            for control in ("random", "rewired")
        ]
        rows.append((name, *(share(values["discovered"], "recovered") for values in by_degradation.values()), *cells))
    heads = ["recovers on blur", "on noise"]
    heads += [f"leads on {d} over {control}" for d in ("blur", "noise") for control in ("random", "rewired")]
    return table(("condition", *heads), rows)


def predictors(root: Path) -> str:
    """The response predictor with each method's filters, and its rivals."""
    found = read_results(root)["compare_predictors"]
    names = {"trivial": "trivial: estimated noise and sharpness", "classifier": "small supervised CNN"}
    ours = ["faig", *(name for name in found if name != "faig" and name not in names)]
    rows = [
        (
            names.get(name, f"response, filters by {label_of(name)}"),
            *(share(values, task, low=True) for task in ACCURACIES),
            ", ".join(f"{values['auroc'][label]:.2f}" for label in ("clean", "blur", "noise", "blur_noise")),
        )
        for name, values in ((name, found[name]) for name in (*ours, *names))
    ]
    return table(("predictor", "three classes", "four classes", "AUROC of clean, blur, noise, blur_noise"), rows)


def presets(root: Path) -> str:
    """Gain of the blind target and what masking its filters removes, under each preset."""
    found = read_json(root / "benchmarks/studies/results/presets.json")["presets"]
    rows = []
    for name, values in found.items():
        for degradation, masked_values in values["faig"].items():
            gain = values["finetune"][degradation]["gain"]
            random = values["random"][degradation]
            row = (f"`{name}`" if degradation == next(iter(values["faig"])) else "", degradation, f"{gain:+.2f} dB")
            if "removed" in masked_values:
                keys = [key for key in ("removed", "collateral") if key in masked_values]
                row += (*(share(masked_values, key, low=True) for key in keys), f"{100 * random:.0f} %")
            else:
                row += ("gain too small", "", "")
            rows.append(row)
    heads = ("preset", "degradation", "gain", "its filters remove", "and of another gain", "as many at random remove")
    return table(heads, rows)


def selectivity(root: Path) -> str:
    """The matrix of the preset with four attributed degradations: filters masked for one, share lost on another."""
    found = read_json(root / "benchmarks/studies/results/presets.json")["presets"]["degradations"]["faig"]
    inputs = list(found)
    rows = [
        (f"{name}", *(f"{100 * values['lost_share'][on]:.0f} %" if on in values["lost_share"] else "" for on in inputs))
        for name, values in found.items()
    ]
    return table(("filters masked", *(f"lost on {name}" for name in inputs)), rows)


def training_row(found: Json) -> Row:
    """Iterations a second, ours and the rival's."""
    machine, (width, depth), (size, patch) = found["machine"], found["network"], found["batch"]
    own, rival = (found[f"{kind}iterations_per_second"]["median"] for kind in ("", "rival_"))
    on, digits = (f", on {machine['cuda']}", 0) if machine["cuda"] else ("", 2)
    graph = f"; {times(found['graph'], 1)} faster than without a CUDA graph" if "graph" in found else ""
    processes, precision = machine["cores"], "fp32 (TF32)" if machine["cuda"] else "fp32"
    return (
        f"training SRResNet {width} x {depth}, batches of {size} patches of {patch}, 2K images{on}",
        f"{own:.{digits}f} iterations a second: {times(found['speedup'], 1)} faster{graph}",
        f"{rival:.2f}: a PNG opened for each patch in {processes} processes, {precision} in PyTorch's default layout",
    )


def costs(root: Path) -> str:
    """Speed and memory beside the rivals'."""
    scoring, scaling, parquet = (
        read_json(root / f"benchmarks/speed/results/{name}.json") for name in ("scoring", "scaling", "parquet")
    )
    rows: list[Row] = []
    for size in (128, 256):
        own = scoring[f"{size}x{size}"]
        what = f"scores of both degradations, one {size} x {size} input each, {scoring['nodes']} nodes"
        rival = f"{own['authors_seconds']['median']:.0f} s: the authors' procedure, 100 left steps for each ranking"
        rows.append((what, f"{own['seconds']['median']:.0f} s: {times(own['speedup'], 0)} faster", rival))
    error, agreed = 100 * scoring["relative_error"], 100 * scoring["top1_agreement"]
    reference = scoring["reference"]
    inputs = f"the worst of {len(reference['by_seed'])} inputs of {reference['size']} x {reference['size']}"
    what = f"accuracy of those {scoring['nodes']} nodes, against {reference['nodes']}, {inputs}"
    rows.append((what, f"scores differ by {error:.1f} %; {agreed:.1f} % of the top 1 % agree", ""))
    peaks = "; ".join(f"{value:.1f} GiB" for value in scoring["peak_memory_gib"].values())
    rows.append(("peak memory: 256 x 256; 678 x 1020 in tiles", peaks, ""))
    rows.append(("two processes of one thread against one", times(scaling["processes"]["speedup"], 2), ""))
    own, rival = (
        (
            parquet[f"{kind}write_seconds"]["median"],
            parquet[f"{kind}megabytes"],
            parquet[f"{kind}read_seconds"]["median"],
        )
        for kind in ("", "pandas_")
    )
    cells = [f"{write:.2f} s, {size:.0f} MB; {1000 * read:.3g} ms" for write, size, read in (own, rival)]
    rows.append(
        (
            f"score table of {parquet['rows'] / 1e6:.1f} million rows: write; read one top 1 %",
            cells[0],
            f"pandas: {cells[1]}",
        )
    )
    rows += [
        training_row(read_json(root / f"benchmarks/speed/results/{name}.json"))
        for name in ("training", "training_cuda")
    ]
    synthesis = read_json(root / "benchmarks/speed/results/synthesis.json")
    height, width = synthesis["size"]
    by_name = synthesis["degradations"].values()
    most, loop = ([each["megapixels_per_second"][kind]["median"] for each in by_name] for kind in ("2", "loop"))
    rows.append(
        (
            f"LR images of {width} x {height} photographs, 2 workers, {len(most)} degradations",
            f"{min(most):.1f} to {max(most):.1f} megapixels a second",
            f"{min(loop):.1f} to {max(loop):.1f}: one image after the other",
        )
    )
    return table(("what", "ours", "the rival"), rows)


TABLES: Tables = {
    "numbers": main_numbers,
    "yardstick": yardstick,
    "claims": claims,
    "retraining": retraining,
    "conditions": conditions,
    "predictors": predictors,
    "presets": presets,
    "selectivity": selectivity,
    "costs": costs,
}
