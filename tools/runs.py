"""Tables of whole runs: the default run, whose results lie in the project's folder, and those under published/.

What a run did not do, did not attribute or did not note has no row.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from faig.attribution.filters import FilterIndex
from faig.base.ranking import num_discovered
from faig.figures.plots import label_of
from faig.networks.models import NetworkParams, NetworkSpec, build_network
from tools.studies import BLUR_AND_NOISE, results_of
from tools.tables import Json, Row, Tables, judged, read_claims, read_json, read_results, read_yaml, share, table

RATIOS = (0.01, 0.03, 0.05, 0.1)

ACCURACIES = ("accuracy_attributed", "accuracy_all")
"""A predictor's accuracy among clean and the attributed degradations, and among all classes."""

CLASSES = ("clean", "blur", "noise", "blur_noise")

VARIANTS = {
    "all": "all filters",
    "discovered": "the discovered filters",
    "same_count": "as many filters at random in each layer",
    "rewired": "as many of each output channel, with other inputs",
    "random": "as many anywhere",
    "grafted": "none: the target's weights at the discovered filters are put into the baseline",
    "shuffled": "none: the discovered kernels of the target are shuffled within each layer",
}
"""What is trained from the baseline, or put together without training."""

MAIN_CLAIMS = (
    "few_filters_remove_blur",
    "few_filters_remove_noise",
    "deblurring_filters_are_specific",
    "denoising_filters_are_specific",
    "random_filters_do_not_noise",
    "input_gradients_find_less_blur",
    "input_gradients_find_less_noise",
    "deblurring_filters_lie_at_the_back",
    "locations_matter_for_blur",
    "locations_matter_for_noise",
    "connections_matter_for_blur",
    "weights_matter_for_blur",
    "overlap_predicts",
    "one_branch_suffices",
)
"""The paper's own claims, by their keys in argument/claims.yaml."""

NEVER_JUDGED: Json = {**dict.fromkeys(("value", "low", "high", "threshold")), "asked": "", "verdict": "not measured"}
"""Of a claim that was made after the run."""


def runs(root: Path) -> dict[str, Path]:
    """Folders of runs by what they are called in the tables: the default run, then the published ones."""
    own = {"default run": root} if (root / "metrics/mission.parquet").is_file() else {}
    found = sorted(path.parent for path in (root / "published").glob("*/runs/*/run.json"))
    return own | {f"{folder.parents[1].name}, {folder.name}": folder for folder in found}


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
        if (path := folder / "plots/removed.csv").is_file():
            found[name] = pd.read_csv(path).query("network == 'blind'").dropna(subset="removed")
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
        taken, about = timings(folder), read_json(path) if (path := folder / "run.json").is_file() else {}
        cells = []
        for stage, key in (("train_baseline", "train_baseline"), ("finetune@blind", "finetune")):
            settings = used[key]
            size = f"{settings['batch_size']} x {settings['patch_size']}²"
            took = f", {taken.loc[stage, 'seconds'] / 60:.0f} min" if stage in taken.index else ""
            cells.append(f"{settings['iterations']} of {size}{took}")
        devices = (device(about, used_there) for used_there in about.get("computed_with", {}).values())
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
    """``seconds`` and ``peak_memory_mib`` by stage, of those whose time was noted; none of the default run."""
    path = folder / "timings.csv"
    return pd.read_csv(path).set_index("stage") if path.is_file() else pd.DataFrame()


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
                what = BLUR_AND_NOISE.get(degradation, degradation)
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
        for degradation, what in BLUR_AND_NOISE.items():
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
        for degradation, what in BLUR_AND_NOISE.items():
            part = curves.loc[curves["degradation"] == degradation]
            best = part.loc[part["ratio"] == RATIOS[0]].sort_values("removed", ascending=False)
            cells = [f"{label_of(row['method'])} {share(row, 'removed')}" for row in best.to_dict("records")]
            first = part.loc[part.groupby("ratio")["removed"].idxmax()].set_index("ratio")["method"]
            leads = [f"{100 * ratio:g} %" for ratio in RATIOS if first.get(ratio) == "faig"]
            rows.append((name, what, "; ".join(cells), ", ".join(leads) or "none"))
    return table(("run", "filters for", "removed by the best 1 %", "FAIG removes most at"), rows)


def yardstick(root: Path) -> str:
    """The curves of each method as one number, beside the best set found at 1 %."""
    rows, ratio = [], f"{RATIOS[0]:g}"
    for name, folder in runs(root).items():
        for degradation, measured in metrics(folder, "yardstick").get("blind", {}).items():
            what = BLUR_AND_NOISE.get(degradation, degradation)
            for method, values in measured.items():
                is_best = method == "best_found"
                at, smallest = values.get(ratio, {}), values.get("smallest_ratio")
                areas = (share(values, f"area_of_{of}") for of in ("removed", "selectivity", "kept"))
                least = f"{100 * smallest:g} %" if smallest else "none"
                whole = "100 %" if is_best else share(at, "share_of_best_found", low=True)
                rows.append((name, what, "best found" if is_best else label_of(method), *areas, whole, least))
    areas = (f"area under {curve}" for curve in ("removed", "removed minus collateral", "kept"))
    heads = ("run", "filters for", "by", *areas, "at 1 %, share of the best found", "90 % removed for less than 5 %")
    return table(heads, rows)


def depth(root: Path) -> str:
    """How deep the discovered filters lie."""
    rows = []
    for name, folder in runs(root).items():
        if found := metrics(folder, "compare_targets"):
            for target, by_degradation in found["depth"].items():
                for degradation, values in by_degradation.items():
                    what = BLUR_AND_NOISE.get(degradation, degradation)
                    rows.append((name, target, what, ranged(values, "mean"), f"{values['all']:.2f}"))
    return table(("run", "target", "filters for", "mean depth", "of all filters"), rows)


def index_of(used: Json) -> FilterIndex:
    """The filters of a run's network, from its params."""
    network = NetworkParams(**{key: used["network"][key] for key in ("name", "width", "depth")})
    return FilterIndex.of(build_network(NetworkSpec(params=network, scale=used["scale"])))


def quarters(root: Path) -> str:
    """Shares of the best 1 % in each quarter of the network's layers."""
    rows = []
    for name, folder in runs(root).items():
        if not (path := folder / "scores/blind.parquet").is_file():
            continue
        index = index_of(params(folder))
        scores = pd.read_parquet(path)
        is_best = (scores["method"] == "faig") & (scores["rank"] < num_discovered(index.num_filters, RATIOS[0]))
        best = scores.loc[is_best].groupby("degradation", observed=True)["filter"]
        chosen = {BLUR_AND_NOISE[key]: filters.to_numpy() for key, filters in best if key in BLUR_AND_NOISE}
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
                    for degradation in BLUR_AND_NOISE
                ]
                rows.append((name, label, *cells))
    return table(("run", "trained", "of the gain on blur recovered", "on noise"), rows)


def predictors(root: Path) -> str:
    """How often each predictor is right."""
    names = {"trivial": "estimated noise and sharpness", "classifier": "a small CNN, trained with labels"}
    rows = []
    for name, folder in runs(root).items():
        found = {f"{key}, filters by FAIG": values for key, values in metrics(folder, "predict").items()}
        rivals = metrics(folder, "compare_predictors")
        if found:
            rivals.pop("faig", None)  # the same predictor
        found |= {names.get(key, f"response, filters by {label_of(key)}"): rivals[key] for key in rivals}
        for label, values in found.items():
            if isinstance(values, dict) and "accuracy_all" in values:
                cells = (share(values, key, low=True) for key in ACCURACIES)
                curves = ", ".join(f"{values['auroc'][kind]:.2f}" for kind in CLASSES if kind in values["auroc"])
                rows.append((name, label, *cells, curves))
    classes = ("clean / blur / noise", "the same and blur_noise", f"AUROC of {', '.join(CLASSES)}")
    return table(("run", "predictor", *classes), rows)


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
    return verdicts(root, None)


def main_claims(root: Path) -> str:
    """The same of the paper's main claims."""
    return verdicts(root, MAIN_CLAIMS)


def verdicts(root: Path, keys: tuple[str, ...] | None) -> str:
    """Claims in the words of argument/claims.yaml; ``keys``: of these alone."""
    found = {name: {claim["claim"]: claim for claim in read_claims(folder)} for name, folder in runs(root).items()}
    found = {name: judged_there for name, judged_there in found.items() if judged_there}
    says = read_yaml(path) if (path := root / "argument/claims.yaml").is_file() else {}
    rows = []
    for key, claim in says.items():
        if keys is None or key in keys:
            cells = []
            for judged_there in found.values():
                value, bound, verdict = judged(judged_there.get(key, NEVER_JUDGED))
                asked = f", {bound}" if bound and keys is None else ""
                cells.append(f"{value}{asked}: **{verdict}**" if bound else verdict)
            rows.append((claim["says"], *cells, *((claim["set"],) if keys is None else ())))
    return table(("claim", *found, *(("threshold set",) if keys is None else ())), rows)


def networks(root: Path) -> str:
    """One line for each network: what it gains, and what FAIG's best 1 % remove and take along."""
    rows: list[Row] = []
    for name, folder in runs(root).items():
        curves = metrics(folder, "ratios").get("blind", {})
        gained = metrics(folder, "finetune").get("blind", {})
        if name.endswith("BSD100") or not set(BLUR_AND_NOISE) <= gained.keys():
            continue
        cells = []
        for degradation in BLUR_AND_NOISE:
            values = curves.get("faig", {}).get(degradation, {}).get(f"{RATIOS[0]:g}", {})
            cells.append(", ".join(share(values, key) or "-" for key in ("removed", "collateral")))
        gains_db = ", ".join(f"{gained[degradation]['gain']:.1f} dB" for degradation in BLUR_AND_NOISE)
        rows.append((name, f"{index_of(params(folder)).num_filters:,}", gains_db, *cells))
    heads = (f"1 % for {what}: removed, collateral" for what in BLUR_AND_NOISE.values())
    return table(("run", "filters", "gain on blur, on noise", *heads), rows)


def answer(root: Path) -> str:
    """What masking 1 % of the filters takes away, in the default network and in one of the paper's size."""
    default, paper = (read_results(folder) for folder in (root, root / "published/srresnet_64x16/runs/Set14"))
    of_paper = paper["ratios"]["blind"]
    study = results_of(root, "attributions")["networks"]["srresnet_64x16"]["methods"]
    named = {"faig": "FAIG", "learned": "learned masks", "second_order": "second order"}
    elsewhere = {"learned": study["learned"], "second_order": study["second order, last quarter"]}
    ratio = f"{RATIOS[0]:g}"
    gained = [f"{of['finetune']['blind'][name]['gain']:+.2f} dB" for of in (default, paper) for name in BLUR_AND_NOISE]
    rows: list[Row] = [("*none: what fine-tuning gained*", *gained)]
    for method, label in named.items():
        for degradation, what in BLUR_AND_NOISE.items():
            ours = default["ratios"]["blind"][method][degradation][ratio]
            theirs = elsewhere[method][degradation] if method in elsewhere else of_paper[method][degradation][ratio]
            cells = []
            for values in (ours, theirs):
                both = [f"**{share(values, 'removed')}**", share(values, "collateral")]
                cells += both if degradation == "blur" else reversed(both)
            rows.append((f"those for {what}, by {label}", *cells))
    drawn = (of["ratios"]["blind"]["random"][name][ratio] for of in (default, paper) for name in BLUR_AND_NOISE)
    rows.append(("drawn at random", *(share(values, "removed") for values in drawn)))
    heads = ("default network: lost of the gain on blur", "on noise", "paper's size: on blur", "on noise")
    return table(("1 % of the filters masked", *heads), rows)


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
    "answer": answer,
    "networks": networks,
    "main_claims": main_claims,
    "training": training,
    "gains": gains,
    "summary": summary,
    "masking": masking,
    "order": order,
    "yardstick": yardstick,
    "depth": depth,
    "quarters": quarters,
    "retraining": retraining,
    "predictors": predictors,
    "branches": branches,
    "claims": claims,
    "stages": stages,
}
