"""Tables from the studies under benchmarks/studies: presets, barriers, other scores, learned masks, architecture.

A study that was not run has an empty table.
"""

from collections.abc import Iterator
from pathlib import Path
from statistics import median

from faig.figures.plots import label_of
from tools.tables import Json, Row, Tables, read_json, read_results, read_yaml, share, table

BLUR_AND_NOISE = {"blur": "deblurring", "noise": "denoising"}
DEGRADATIONS = BLUR_AND_NOISE | {"jpeg": "removal of JPEG's artefacts"}
LEAST_REMOVED, MOST_REMOVED, MOST_COLLATERAL, MOST_LOST = 0.5, 1.1, 0.1, 0.5
"""What a clean cut is: shares of the gains, and dB that clean inputs lose."""


def results_of(root: Path, name: str) -> Json:
    """A study's results; empty where it was not run."""
    path = root / f"benchmarks/studies/results/{name}.json"
    return read_json(path) if path.is_file() else {}


def presets(root: Path) -> str:
    """Gain of the blind target and what masking its filters removes, under each preset."""
    rows: list[Row] = []
    for name, values in results_of(root, "presets").get("presets", {}).items():
        for degradation, found in values["faig"].items():
            shares = (share(found, key, low=True) for key in ("removed", "collateral"))
            cells = (*shares, share(values["random"], degradation))
            gain = f"{values['finetune'][degradation]['gain']:+.2f} dB"
            rows.append(
                (f"`{name}`", degradation, gain, *(cells if "removed" in found else ("gain too small", "", "")))
            )
    heads = ("preset", "degradation", "gain", "removed", "collateral", "removed by as many at random")
    return table(heads, rows)


def selectivity(root: Path) -> str:
    """The matrix of the preset with four attributed degradations: filters masked for one, share lost on another."""
    found = results_of(root, "presets").get("presets", {}).get("degradations", {}).get("faig", {})
    rows = [(name, *(share(values["lost_share"], on) for on in found)) for name, values in found.items()]
    return table(("filters masked", *(f"lost on {name}" for name in found)), rows)


def conditions(root: Path) -> str:
    """How far discovered filters lead as many elsewhere, under each condition."""
    found = results_of(root, "conditions").get("conditions", {})
    for name, values in results_of(root, "presets").get("presets", {}).items():
        if name != "default" and values.get("retrain"):
            found[f"preset `{name}`"] = values["retrain"]
    rows: list[Row] = []
    for name, by_degradation in found.items():
        recovered = (share(values["discovered"], "recovered") for values in by_degradation.values())
        leads = (share(by_degradation[d][c], "behind", low=True) for d in by_degradation for c in ("random", "rewired"))
        rows.append((name, *recovered, *leads))
    heads = ["recovered on blur", "on noise"]
    heads += [f"lead on {d} over {control}" for d in ("blur", "noise") for control in ("random", "rewired")]
    return table(("condition", *heads), rows)


def subpaths(root: Path) -> str:
    """What the best 1 % remove, scored from parts of the path."""
    rows: list[Row] = []
    for row in results_of(root, "subpaths").get("rows", []):
        shares = (share(row[name], key, low=True) for name in BLUR_AND_NOISE for key in ("removed", "collateral"))
        rows.append((row["part"], row["products"], row["rule"], *shares))
    heads = (f"{what}: {key}" for what in BLUR_AND_NOISE.values() for key in ("removed", "collateral"))
    return table(("gradients from", "products", "rule", *heads), rows)


def barriers(root: Path) -> str:
    """Barriers on the path, beside what FAIG's best 1 % remove on Set14."""
    rows: list[Row] = []
    for name, measured in results_of(root, "barriers").get("networks", {}).items():
        folder = root / "published" / name / "runs/Set14"
        used = read_yaml(folder / "params.yaml")["finetune"]
        tuned = f"{used['iterations']} of {used['batch_size']}, {used['learning_rate']:g}"
        found = read_results(folder).get("mask", {}).get("blind", {}).get("faig", {})
        shares = (share(found.get(d, {}), key) for d in BLUR_AND_NOISE for key in ("removed", "collateral"))
        heights = (f"{measured[inputs]['barrier']:.1f}" for inputs in ("clean", *BLUR_AND_NOISE))
        rows.append((name, tuned, *heights, *shares))
    heads = ("network", "fine-tuned: iterations of patches, rate", "barrier on clean [dB]", "on blur", "on noise")
    shares = (f"{what}: {key}" for what in BLUR_AND_NOISE.values() for key in ("removed", "collateral"))
    return table((*heads, *shares), rows)


def last_layer(root: Path) -> str:
    """The deblurring filters with and without those of the last layer."""
    rows: list[Row] = []
    for name, found in results_of(root, "last_layer").get("networks", {}).items():
        for which, lost in found["lost"].items():
            count = found["filters"] - (found["in the last layer"] if which != "all" else 0)
            rows.append((name, which, f"{count}", *(share(lost, d) for d in BLUR_AND_NOISE)))
            rows[-1] += (f"{found['shift'][which]['noise']:.3f}",)
    heads = ("network", "filters for deblurring", "masked", "lost of the gain on blur", "on noise")
    return table((*heads, "shift of a channel's mean on noisy inputs"), rows)


def attributions(root: Path) -> str:
    """By network and method, what masking the best filters removes and costs."""
    parts = []
    for network, found in results_of(root, "attributions").get("networks", {}).items():
        names = [name for name in DEGRADATIONS if name in next(iter(found["methods"].values()))]
        rows: list[Row] = []
        for method, values in found["methods"].items():
            cells = [cell for name in names for cell in costs(values[name], low=False)]
            rows.append((method, *cells, f"{values['seconds']:.0f}"))
        columns = ("removed", "collateral", "clean inputs lose [dB]")
        heads = (f"{DEGRADATIONS[name]}: {column}" for name in names for column in columns)
        title = f"{network}, the best {100 * found['ratio']:g} % of {found['filters']} filters:"
        parts.append(f"{title}\n\n" + table(("method", *heads, "CPU time [s]"), rows))
    return "\n\n".join(parts) or table((), [])


def costs(values: Json, *, low: bool = True) -> Row:
    """Removed and collateral as shares, and dB that clean inputs lose; ``low``: the collateral with its interval."""
    taken = share(values, "collateral", low=low)
    return share(values, "removed", low=True), taken, f"{values['clean_lost_db']:z.2f}"


def overview(root: Path) -> str:
    """By method over all networks and degradations: how often the cut is clean, and the worst that it costs."""
    found = results_of(root, "attributions").get("networks", {})
    methods = dict.fromkeys(method for network in found.values() for method in network["methods"])
    rows: list[Row] = []
    for method in methods:
        cases = list(cases_of(found, method))
        clean = sum(is_clean_cut(case) for case in cases)
        taken = [case["collateral"] for case in cases if "collateral" in case]
        lost = max(case["clean_lost_db"] for case in cases)
        middle = f"{100 * median(case['removed'] for case in cases):.0f} %"
        most = f"{100 * max(case['removed'] for case in cases):.0f} %"
        rows.append((method, f"{clean} of {len(cases)}", middle, most, f"{100 * max(taken):.0f} %", f"{lost:.1f}"))
    heads = (
        "method",
        "clean cuts",
        "removed: median",
        "largest",
        "largest collateral",
        "clean inputs lose at most [dB]",
    )
    return table(heads, rows)


def cases_of(networks: Json, method: str) -> Iterator[Json]:
    """A method's values for each network and degradation."""
    for network in networks.values():
        for name in DEGRADATIONS:
            if name in network["methods"].get(method, {}):
                yield network["methods"][method][name]


def is_clean_cut(case: Json) -> bool:
    """Whether enough is removed, but not more than was gained, and little else lost."""
    spared = case.get("collateral", 0.0) <= MOST_COLLATERAL and case["clean_lost_db"] <= MOST_LOST
    return LEAST_REMOVED <= case["removed"] <= MOST_REMOVED and spared


def ways(root: Path) -> str:
    """Other ways from baseline to target: barriers before and after the curve was trained, and how integrals close."""
    rows: list[Row] = []
    for network, found in results_of(root, "attributions").get("networks", {}).items():
        notes = found["notes"]
        heights = [
            ", ".join(f"{height:.1f}" for height in notes["curve"][f"barrier_{when}"].values())
            for when in ("before", "after")
        ]
        errors = [
            f"{100 * max(notes[way]['convergence_error'].values()):.1f} %" if way in notes else ""
            for way in ("curve", "trajectory")
        ]
        rows.append((network, *heights, *errors))
    heads = ("network", "barriers [dB]: straight", "curve", "convergence error: curve", "trajectory")
    return table(heads, rows)


def single_filters(root: Path) -> str:
    """How near each score comes to what masking every filter alone does."""
    found = results_of(root, "single_filters")
    rows: list[Row] = []
    for method, values in found.get("methods", {}).items():
        cells = []
        for name in ("blur", "noise"):
            own = values[name]
            first = ", ".join(f"{selective:.2f}" for _, selective in own["first"].values())
            ranks = (f"{own[key]:.2f}" for key in ("own", "selective", "outputs"))
            cells += [*ranks, f"{100 * own['found']:.0f} %", first]
        rows.append((method, *cells))
    if found:
        cells = [", ".join(f"{value:.2f}" for _, value in found["greedy"][name].values()) for name in ("blur", "noise")]
        rows.append(("*chosen by trial*", *("",) * 4, cells[0], *("",) * 4, cells[1]))
    columns = ("own", "selective", "outputs", "found", "first 1, 3, 10")
    return table(("method", *(f"{DEGRADATIONS[name]}: {c}" for name in ("blur", "noise") for c in columns)), rows)


def learned(root: Path) -> str:
    """By network and degradation, what the learned set removes and costs, and FAIG's beside it."""
    rows: list[Row] = []
    for network, found in results_of(root, "learned_masks").get("networks", {}).items():
        ratio, times = found["ratio"], [f"{found['seconds'][method]:.0f}" for method in ("learned", "FAIG")]
        for name in found["agreement"]:
            own, faig = (found["removed"][method][name][f"{ratio:g}"] for method in ("learned", "FAIG"))
            head = (network, f"{100 * ratio:g} %", DEGRADATIONS[name])
            rows.append((*head, *costs(own), *costs(faig), *times))
            times = ["", ""]
    heads = ("network", "masked", "filters for")
    columns = ("removed", "collateral", "clean inputs lose [dB]")
    methods = (f"{method}: {column}" for method in ("learned", "FAIG") for column in columns)
    return table((*heads, *methods, "CPU time, both [s]: learned", "FAIG, 8 nodes"), rows)


def smaller_sets(root: Path) -> str:
    """What the learned ranking removes with fewer and with more filters."""
    rows: list[Row] = []
    for network, found in results_of(root, "learned_masks").get("networks", {}).items():
        for name in found["agreement"]:
            sets = (found["removed"]["learned"][name][ratio] for ratio in ("0.003", "0.01", "0.03"))
            cells = (
                f"{share(values, 'removed')}, {share(values, 'collateral') or '-'}, {values['clean_lost_db']:z.2f} dB"
                for values in sets
            )
            rows.append((network, DEGRADATIONS[name], *cells))
    return table(("network", "filters for", "the best 0.3 %: removed, collateral, clean", "1 %", "3 %"), rows)


def uniqueness(root: Path) -> str:
    """How far the learned set agrees with other sets, and what all seeds' common filters remove."""
    rows: list[Row] = []
    for network, found in results_of(root, "learned_masks").get("networks", {}).items():
        for name, agreed in found["agreement"].items():
            ratio = f"{found['ratio']:g}"
            alike = (f"{agreed[other]['jaccard']:.2f} ({agreed[other]['chance']:.2f})" for other in agreed)
            others = [found["removed"][other][name][ratio]["removed"] for other in ("seed 1", "seed 2")]
            both = found["removed"].get("intersection", {}).get(name, {}).get(ratio, {})
            common = f"{100 * found['intersection'][name]:.0f} %: {100 * both.get('removed', 0):.0f} %"
            removed = ", ".join(f"{100 * value:.0f} %" for value in others)
            depths = (f"{found['depth'][method][name]:.2f}" for method in ("learned", "FAIG"))
            rows.append((network, DEGRADATIONS[name], *alike, removed, common, *depths))
    sets = ("seed 1", "seed 2", "other photographs", "FAIG", "Taylor")
    ends = ("the other seeds' sets remove", "common to three seeds: removes", "mean depth: learned", "FAIG")
    return table(("network", "filters for", *(f"J with {other} (chance)" for other in sets), *ends), rows)


def unseen(root: Path) -> str:
    """What masking removes of the gain on levels and kinds that no mask was learned on."""
    rows: list[Row] = []
    for network, found in results_of(root, "learned_masks").get("networks", {}).items():
        for name, kinds in found["unseen"].items():
            for kind, values in kinds.items():
                if "learned" in values:
                    gain = f"{values['gain']:+.1f} dB"
                    cells = (f"{100 * values[method]:.0f} %" for method in ("learned", "FAIG"))
                    rows.append((network, f"{name}, {kind}", gain, *cells))
    return table(("network", "inputs", "gain", "learned set removes", "FAIG's"), rows)


def discovered_by(root: Path) -> str:
    """What the argument's experiments say of each method's filters."""
    rows: list[Row] = []
    for method, found in results_of(root, "discovered_by").get("methods", {}).items():
        right = f"{100 * found['response']['accuracy_all']:.0f} %"
        for name, values in found["filters"].items():
            learned_again = (
                f"{100 * values['recovered'][which]:.0f} %" for which in ("discovered", "same_count", "random")
            )
            grafts = (f"{100 * values['recovered'][which]:.0f} %" for which in ("grafted", "shuffled"))
            dial = f"{values['monotonicity']:.2f}, {values['other_db']:.1f} dB"
            cut = f"{100 * values['removed']:.0f} %, {100 * values['collateral']:.0f} %"
            depth, rises = f"{values['mean_depth']:.2f}", f"{values['severity']:.2f}"
            rows.append((label_of(method), DEGRADATIONS[name], cut, *learned_again, *grafts, dial, rises, right, depth))
            right = ""
    heads = (
        "method",
        "filters for",
        "removed, collateral",
        "retrained: recovers",
        "as many in each layer",
        "as many anywhere",
        "grafted into the baseline",
        "shuffled in the target",
        "dial: PSNR rises, moves other inputs by",
        "response over severity",
        "response names four classes",
        "mean depth",
    )
    return table(heads, rows)


def profiles(root: Path) -> str:
    """By network, method and degradation, how much richer each part is in discovered filters than chance."""
    rows: list[Row] = []
    for network, found in results_of(root, "architecture").get("profiles", {}).get("parts", {}).items():
        shares = (f"{100 * part:.1f} %" for part in found["filters"].values())
        rows.append((network, "*share of all filters*", "", *shares))
        for method in ("FAIG", "learned"):
            for name, parts in found.get(method, {}).items():
                rows.append(("", method, DEGRADATIONS[name], *(f"{value:.1f}" for value in parts.values())))
    heads = ("first", "body: early third", "middle third", "late third", "upsample", "high", "last")
    return table(("network", "method", "filters for", *heads), rows)


def profiles_agree(root: Path) -> str:
    """By kind of pair, how far profiles agree over all layers and within the body."""
    kinds: dict[str, list[Json]] = {}
    for pair in results_of(root, "architecture").get("profiles", {}).get("agreement", []):
        kinds.setdefault(pair["kind"], []).append(pair)
    rows: list[Row] = []
    for kind, pairs in kinds.items():
        cells = []
        for which in ("all layers", "body"):
            found = [pair[which] for pair in pairs if which in pair]
            values = [each["correlation"] for each in found]
            above = sum(each["correlation"] > each["chance_high"] for each in found)
            cells += [f"{median(values):z.2f} ({min(values):z.2f} to {max(values):z.2f})", f"{above} of {len(found)}"]
        rows.append((kind, *cells))
    heads = ("correlation over all layers", "above chance", "over the body's layers", "above chance")
    return table(("profiles compared", *heads), rows)


def widths(root: Path) -> str:
    """Networks of equal FLOPs with width where scores name it, and taken from there, beside the uniform one."""
    found = results_of(root, "architecture").get("widths", {})
    rows: list[Row] = []
    for name, values in found.get("variants", {}).items():
        *inner, shuffled, high = values["units"]
        units = f"{' '.join(map(str, inner))}; {shuffled}, {high}"
        beside = (decibels(values["over_uniform"][on]) for on in ("clean", "blur", "noise", "all"))
        rows.append((name, units, f"{100 * values['flops']:.1f} %", *(("",) * 4 if name == "uniform" else beside)))
    for name, values in found.get("over_reversed", {}).items():
        cells = (decibels(values[on]) for on in ("clean", "blur", "noise", "all"))
        rows.append((f"*{name}, minus its reverse*", "", "", *cells))
    heads = (
        "widths of blocks; upsample, high",
        "FLOPs",
        "PSNR beside the uniform network [dB]: clean",
        "blur",
        "noise",
    )
    return table(("network", *heads, "mean"), rows)


def decibels(values: Json) -> str:
    """``+0.05 (-0.02 to 0.12)``: a difference with its interval."""
    return f"{values['db']:+z.2f} ({values['db_low']:z.2f} to {values['db_high']:z.2f})"


def pruning(root: Path) -> str:
    """Networks without the channels that count least, by ranking; fine-tuned as well where that was measured."""
    rows: list[Row] = []
    heads: Row = ("network", "left out by", "FLOPs")
    for network, found in results_of(root, "architecture").get("pruning", {}).items():
        times = list(found["full"])
        heads = (*heads[:3], *(f"{when}: {on} [dB]" for when in times for on in ("clean", "blur", "noise")))
        for name, values in found["networks"].items():
            cells = (decibels(values[when][on]) for when in times for on in ("clean", "blur", "noise"))
            if name != "full":
                rows.append((network, name, f"{100 * values['flops']:.0f} %", *cells))
    return table(heads, rows)


def pruned_speed(root: Path) -> str:
    """How many times faster smaller networks are."""
    rows: list[Row] = []
    for network, found in results_of(root, "architecture").get("pruning", {}).items():
        rows += [(network, name, f"{value:.2f}") for name, value in found["speed"].items() if name != "full"]
    return table(("network", "channels left out", "times as fast"), rows)


TABLES: Tables = {
    "presets": presets,
    "selectivity": selectivity,
    "conditions": conditions,
    "subpaths": subpaths,
    "barriers": barriers,
    "last_layer": last_layer,
    "discovered_by": discovered_by,
    "learned": learned,
    "learned_ratios": smaller_sets,
    "learned_uniqueness": uniqueness,
    "learned_unseen": unseen,
    "attributions": attributions,
    "attributions_overview": overview,
    "attributions_ways": ways,
    "single_filters": single_filters,
    "architecture_profiles": profiles,
    "architecture_agreement": profiles_agree,
    "architecture_widths": widths,
    "architecture_pruning": pruning,
    "architecture_speed": pruned_speed,
}
