"""The tables of docs/reference.md, from published/<network>/runs/<test>, a folder for each published run.

What a run did not do or did not attribute has no row.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from faig.attribution.filters import FilterIndex
from faig.base.ranking import num_discovered
from faig.figures.plots import label_of
from faig.networks.models import NetworkParams, NetworkSpec, build_network
from tools import studies
from tools.readme import ACCURACIES, VARIANTS
from tools.tables import Json, Row, Tables, judged, read_claims, read_json, read_results, read_yaml, share, table

RATIOS = (0.01, 0.03, 0.05, 0.1)
DEGRADATIONS = {"blur": "deblurring", "noise": "denoising"}
TAKEN = ("removed", "collateral")


def runs(root: Path) -> dict[str, Path]:
    """Folders of the published runs by what they are called in the tables."""
    found = sorted(path.parent for path in (root / "published").glob("*/runs/*/run.json"))
    return {f"{folder.parents[1].name}, {folder.name}": folder for folder in found}


def metrics(folder: Path, section: str) -> Json:
    """A run's results of one section; empty where it was not measured."""
    return read_results(folder).get(section, {})


def params(folder: Path) -> Json:
    """A run's params.yaml."""
    return read_yaml(folder / "params.yaml")


def curves_of(root: Path) -> dict[str, pd.DataFrame]:
    """What masking removes over the ratio, by run: only where it removes a share of a gain."""
    found = {}
    for name, folder in runs(root).items():
        if (path := folder / "plots/removed/blind.csv").is_file() and "removed" in (read := pd.read_csv(path)).columns:
            found[name] = read.dropna(subset="removed")
    return found


def ranged(values: Json, key: str) -> str:
    """``0.72 (0.70 to 0.74)``; without the interval where there is none."""
    number = f"{values[key]:.2f}"
    low, high = f"{key}_low", f"{key}_high"
    return f"{number} ({values[low]:.2f} to {values[high]:.2f})" if low in values else number


def training(root: Path) -> str:
    """What was trained, and what it took."""
    rows: list[Row] = []
    for name, folder in runs(root).items():
        used = params(folder)
        if used["network"]["pretrained"] not in (None, "published/none"):
            continue
        taken = timings(folder)
        cells = []
        for stage, key in (("train_baseline", "train_baseline"), ("finetune@blind", "finetune")):
            settings = used[key]
            size = f"{settings['batch_size']} x {settings['patch_size']}²"
            took = f", {taken.loc[stage, 'seconds'] / 60:.0f} min" if stage in taken.index else ""
            cells.append(f"{settings['iterations']} of {size}{took}")
        about = read_json(folder / "run.json")
        devices = (device(about, about["computed_with"][key]) for key in ("train_baseline", "finetune"))
        rates = (f"{used[key]['learning_rate']:g}" for key in ("train_baseline", "finetune"))
        on = ", then ".join(dict.fromkeys(devices))
        rows.append((name.split(",")[0], used["downsampling"], *cells, ", ".join(rates), on))
    heads = ("network", "downsampling", "baseline: iterations of patches", "blind target", "learning rates", "on")
    return table(heads, rows)


def device(about: Json, used: Json) -> str:
    """What a stage computed on."""
    where = about.get("gpu") or "a GPU" if used.get("device") == "cuda" else f"{about.get('cores')} cores"
    return f"{where}, {used.get('precision', '')}"


def timings(folder: Path) -> pd.DataFrame:
    """``seconds`` and ``peak_memory_mib`` by stage, of those whose time was noted."""
    return pd.read_csv(folder / "timings.csv").set_index("stage")


def gains(root: Path) -> str:
    """PSNR of baseline and blind target on every kind of input."""
    rows = []
    for name, folder in runs(root).items():
        for inputs, values in metrics(folder, "finetune").get("blind", {}).items():
            dbs = (f"{values[key]:.2f}" for key in ("psnr_baseline", "psnr_target"))
            rows.append((name, inputs, *dbs, f"{values['gain']:+.2f}"))
    return table(("run", "inputs", "baseline [dB]", "blind [dB]", "gain [dB]"), rows)


def summary(root: Path) -> str:
    """What FAIG's best filters of each target, as many as the run masks, remove and take along."""
    rows = []
    for name, folder in runs(root).items():
        used = params(folder)
        for target in used["targets"]:
            found = metrics(folder, "mask").get(target, {})
            for degradation, values in found.get("faig", {}).items():
                what = DEGRADATIONS.get(degradation, degradation)
                shares = (share(values, key, low=True) for key in ("removed", "collateral"))
                chance = share(found["random"][degradation], "removed", low=True)
                rows.append((name, target, what, f"{100 * used['mask_ratio']:g} %", *shares, chance))
    heads = ("run", "target", "filters for", "masked", "removed", "collateral", "random filters remove")
    return table(heads, rows)


def masking(root: Path) -> str:
    """What masking 1, 3, 5 and 10 % by each method removes, and what it takes along, a table per run."""
    parts = []
    for name, curves in curves_of(root).items():
        found = {(row["method"], row["degradation"], row["ratio"]): row for row in curves.to_dict("records")}
        ratios = [ratio for ratio in RATIOS if ratio in set(curves["ratio"])]
        rows = []
        for degradation, what in DEGRADATIONS.items():
            for method in curves["method"].unique():
                values = [found.get((method, degradation, ratio), {}) for ratio in ratios]
                taken = [share(value, "collateral") or "-" for value in values]
                rows.append(
                    (what, label_of(method), *(share(value, "removed", low=True) for value in values), ", ".join(taken))
                )
        heads = [f"{100 * ratio:g} %" for ratio in ratios]
        parts.append(f"{name}:\n\n" + table(("filters for", "by", *heads, "collateral at these"), rows))
    return "\n\n".join(parts)


def order(root: Path) -> str:
    """The methods by what their best 1 % remove."""
    rows = []
    for name, curves in curves_of(root).items():
        for degradation, what in DEGRADATIONS.items():
            part = curves.loc[curves["degradation"] == degradation]
            best = part.loc[part["ratio"] == RATIOS[0]].sort_values("removed", ascending=False)
            cells = [f"{label_of(row['method'])} {share(row, 'removed')}" for row in best.to_dict("records")]
            first = part.loc[part.groupby("ratio")["removed"].idxmax()].set_index("ratio")["method"]
            leads = [f"{100 * ratio:g} %" for ratio in RATIOS if first.get(ratio) == "faig"]
            rows.append((name, what, "; ".join(cells), ", ".join(leads) or "none"))
    return table(("run", "filters for", "removed by the best 1 %", "FAIG removes most at"), rows)


def yardstick(root: Path) -> str:
    """What the best 1 % of each method remove and take along, beside the best set found."""
    found = {name: (metrics(folder, "yardstick"), metrics(folder, "ratios")) for name, folder in runs(root).items()}
    found = {name: (of["blind"], curves["blind"]) for name, (of, curves) in found.items() if "blind" in of}
    methods = sorted({method for _, curves in found.values() for method in curves})
    ratio, rows = f"{RATIOS[0]:g}", []
    for name, (of, curves) in found.items():
        for degradation, what in DEGRADATIONS.items():
            measured = of.get(degradation, {})
            if ratio in (best := measured.get("best_found", {})):
                cells = []
                for method in methods:
                    values = curves.get(method, {}).get(degradation, {}).get(ratio, {})
                    part = share(measured.get(method, {}).get(ratio, {}), "share_of_best_found")
                    shares = ", ".join(filter(None, (share(values, key) for key in TAKEN)))
                    cells.append(shares + (f" ({part})" if part else ""))
                smallest = [method for method in methods if "smallest_ratio" in measured.get(method, {})]
                sizes = (f"{label_of(method)} {100 * measured[method]['smallest_ratio']:g} %" for method in smallest)
                shares = ", ".join(filter(None, (share(best[ratio], key) for key in TAKEN)))
                rows.append((name, what, shares, *cells, ", ".join(sizes) or "none"))
    heads = ("run", "filters for", "best found", *map(label_of, methods), "90 % for less than 5 %")
    return table(heads, rows)


def subpaths(root: Path) -> str:
    """What the best 1 % remove, scored from parts of the path: of ``benchmarks/studies/subpaths.py``."""
    if not (path := root / "benchmarks/studies/results/subpaths.json").is_file():
        return table((), [])
    rows = []
    for row in read_json(path)["rows"]:
        shares = (
            share(row[degradation], key, low=True) for degradation in DEGRADATIONS for key in ("removed", "collateral")
        )
        rows.append((row["part"], row["products"], row["rule"], *shares))
    heads = (
        "gradients from",
        "products",
        "rule",
        "deblurring: removed",
        "collateral",
        "denoising: removed",
        "collateral",
    )
    return table(heads, rows)


def barriers(root: Path) -> str:
    """Barriers on the path, of ``benchmarks/studies/barriers.py``, beside what FAIG's best 1 % remove on Set14."""
    if not (path := root / "benchmarks/studies/results/barriers.json").is_file():
        return table((), [])
    rows = []
    for name, measured in read_json(path)["networks"].items():
        folder = root / "published" / name / "runs/Set14"
        used = params(folder)["finetune"]
        tuned = f"{used['iterations']} of {used['batch_size']}, {used['learning_rate']:g}"
        found = metrics(folder, "mask").get("blind", {}).get("faig", {})
        shares = (share(found.get(degradation, {}), key) for degradation in DEGRADATIONS for key in TAKEN)
        heights = (f"{measured[inputs]['barrier']:.1f}" for inputs in ("clean", *DEGRADATIONS))
        rows.append((name, tuned, *heights, *shares))
    heads = ("network", "fine-tuned: iterations of patches, rate", "barrier on clean [dB]", "on blur", "on noise")
    shares = (f"{what}: {key}" for what in DEGRADATIONS.values() for key in TAKEN)
    return table((*heads, *shares), rows)


def last_layer(root: Path) -> str:
    """The deblurring filters with and without those of the last layer, of ``benchmarks/studies/last_layer.py``."""
    if not (path := root / "benchmarks/studies/results/last_layer.json").is_file():
        return table((), [])
    rows = []
    for name, found in read_json(path)["networks"].items():
        for which, lost in found["lost"].items():
            count = found["filters"] - (found["in the last layer"] if which != "all" else 0)
            shares = (f"{100 * lost[inputs]:.0f} %" for inputs in DEGRADATIONS)
            rows.append((name, which, f"{count}", *shares, f"{found['shift'][which]['noise']:.3f}"))
    heads = ("network", "filters for deblurring", "masked", "lost of the gain on blur", "on noise")
    return table((*heads, "shift of a channel's mean on noisy inputs"), rows)


def depth(root: Path) -> str:
    """How deep the discovered filters lie."""
    rows = []
    for name, folder in runs(root).items():
        if found := metrics(folder, "compare_targets"):
            for target, by_degradation in found["depth"].items():
                for degradation, values in by_degradation.items():
                    what = DEGRADATIONS.get(degradation, degradation)
                    rows.append((name, target, what, ranged(values, "mean"), f"{values['all']:.2f}"))
    return table(("run", "target", "filters for", "mean depth", "of all filters"), rows)


def quarters(root: Path) -> str:
    """Shares of the best 1 % in each quarter of the network's layers."""
    rows = []
    for name, folder in runs(root).items():
        if not (path := folder / "scores/blind.parquet").is_file():
            continue
        used = params(folder)
        network = NetworkParams(**{key: used["network"][key] for key in ("name", "width", "depth")})
        index = FilterIndex.of(build_network(NetworkSpec(params=network, scale=used["scale"])))
        scores = pd.read_parquet(path)
        is_best = (scores["method"] == "faig") & (scores["rank"] < num_discovered(index.num_filters, RATIOS[0]))
        best = scores.loc[is_best].groupby("degradation", observed=True)["filter"]
        chosen = {DEGRADATIONS[key]: filters.to_numpy() for key, filters in best if key in DEGRADATIONS}
        for what, filters in {**chosen, "all": np.arange(index.num_filters)}.items():
            counts, _ = np.histogram(index.depths(filters), bins=4, range=(0, 1))
            rows.append((name, what, *(f"{100 * count / len(filters):.0f} %" for count in counts)))
    return table(("run", "filters for", "first quarter", "second", "third", "last"), rows)


def retraining(root: Path) -> str:
    """What is learned where only some filters are trained."""
    rows = []
    for name, folder in runs(root).items():
        if found := metrics(folder, "retrain"):
            for variant, label in VARIANTS.items():
                cells = [
                    share(found.get(degradation, {}).get(variant, {}), "recovered", low=True)
                    for degradation in DEGRADATIONS
                ]
                rows.append((name, label, *cells))
    return table(("run", "trained", "of the gain on blur recovered", "on noise"), rows)


def predictors(root: Path) -> str:
    """How often each predictor is right."""
    rows = []
    for name, folder in runs(root).items():
        found = {f"{key} (discovered filters)": values for key, values in metrics(folder, "predict").items()}
        rivals = metrics(folder, "compare_predictors")
        if not found and "faig" in rivals:  # the same predictor
            found["response (discovered filters)"] = rivals["faig"]
        found |= {key: rivals[key] for key in ("random", "trivial", "classifier") if key in rivals}
        for label, values in found.items():
            if isinstance(values, dict) and "accuracy_all" in values:
                cells = (share(values, key, low=True) for key in ACCURACIES)
                rows.append((name, label, *cells))
    return table(("run", "predictor", "clean / blur / noise", "the same and blur_noise"), rows)


def branches(root: Path) -> str:
    """One branch against two."""
    rows = []
    for name, folder in runs(root).items():
        if found := metrics(folder, "compare_branches"):
            mean = found["mean"]
            settings = params(folder)["compare_branches"]
            size = f"{settings['replicates']} times {settings['training']['iterations']} iterations"
            rows.append((name, size, ranged(mean, "lead")))
    return table(("run", "trained", "two branches lead by [dB]"), rows)


def claims(root: Path) -> str:
    """The verdict on each claim in each run: value, interval, threshold."""
    found = {}
    for name, folder in runs(root).items():
        if judged_there := {claim["claim"]: claim for claim in read_claims(folder)}:
            found[name] = judged_there
    says = {key: claim["says"] for claims in found.values() for key, claim in claims.items()}
    rows = []
    for key, text in says.items():
        cells = []
        for claims in found.values():
            value, bound, verdict = judged(claims[key]) if key in claims else ("", "", "")
            cells.append(f"{value}, {bound}: **{verdict}**" if bound else verdict)
        rows.append((text, *cells))
    return table(("claim: value, interval, what was asked, verdict", *found), rows)


def stages(root: Path) -> str:
    """Time and memory of each stage."""
    noted = {name: timings(folder) for name, folder in runs(root).items()}
    names = dict.fromkeys(stage for part in noted.values() for stage in part.index)
    rows = []
    for stage in names:
        cells = []
        for part in noted.values():
            row = part.loc[stage] if stage in part.index else None
            cells.append("" if row is None else f"{row['seconds']:.0f} s, {row['peak_memory_mib'] / 1024:.1f} GiB")
        rows.append((stage, *cells))
    return table(("stage", *noted), rows)


TABLES: Tables = {
    "training": training,
    "gains": gains,
    "summary": summary,
    "masking": masking,
    "order": order,
    "yardstick": yardstick,
    "subpaths": subpaths,
    "barriers": barriers,
    "last_layer": last_layer,
    "depth": depth,
    "quarters": quarters,
    "retraining": retraining,
    "predictors": predictors,
    "branches": branches,
    "claims": claims,
    "stages": stages,
    **studies.TABLES,
}
