"""The first screen: the question, and its answer in one sentence made of the run's numbers."""

from collections.abc import Sequence
from typing import Any

from faig.base.ranking import num_discovered
from faig.figures.plots import label_of
from faig.page.run import Run
from faig.page.values import Number, Numbers, alternating, listed

CONTROL = "random"
MOST = 0.5
"""The share of a gain that masking must take away for the answer to be yes."""
RULE = (
    "“Yes” means: with its whole interval, masking takes away at least half of the gain, more than it takes of the "
    "gain on any other degradation, and more than masking as many filters at random does."
)


def question(attributed: Sequence[str]) -> str:
    """What the page answers, in the words of its degradations."""
    removed = [f"which remove {label_of(name)}" for name in attributed]
    removed[0] = removed[0].replace("which ", "Which few filters of this network ", 1)
    return f"{', '.join(removed)}, and is that true?"


def answer(numbers: Numbers, run: Run, num_filters: int | None, hrefs: dict[str, str]) -> dict[str, Any]:
    """The answer: ``short``, its first word; ``sentence``, parts that are texts or numbers; ``rule`` of the word.

    Args:
        numbers: of the mission.
        run: the settings.
        num_filters: of the network; None where it is not known.
        hrefs: links to params.yaml (``params``) and to the score table (``scores``).
    """
    share = Number(run.ratio, "few", "mask_ratio", hrefs["params"])
    clauses = [_clause(numbers, run, name) for name in run.attributed]
    subject: list[object] = ["Masking the ", share, " of its filters"]
    if num_filters is not None:
        counts = num_discovered(num_filters, run.ratio), num_filters
        few, all_of_them = (Number(count, "count", "filters", hrefs.get("table", "")) for count in counts)
        subject += [" (", few, " of ", all_of_them, ")"]
    subject += [f" that {label_of(run.method)} finds for "]
    parts = [[*subject, *clauses[0]], *(["masking those found for ", *clause] for clause in clauses[1:])]
    if control := _control(numbers, run):
        parts.append(control)
    return {"short": _short(numbers, run), "sentence": [*alternating(parts, "; "), "."], "rule": RULE}


def _clause(numbers: Numbers, run: Run, name: str) -> list[object]:
    """What masking the filters found for one degradation does, from its name on."""
    place = f"mask/{run.target}/{run.method}/{name}"
    own = label_of(name)
    removed, gain = numbers(f"{place}/removed"), numbers(f"finetune/{run.target}/{name}/gain", "gain")
    if removed is None:
        lost = numbers(f"{place}/lost_db/{name}", "dB")
        if lost is None or gain is None:
            return [f"{own} was not measured"]
        return [
            f"{own} costs ",
            lost,
            f" on {own}, where the network gained only ",
            gain,
            ", too little to take a share of",
        ]
    clause: list[object] = [f"{own} takes away ", removed, f" of what the network gained on {own}"]
    others = [other for other in run.attributed if other != name]
    shared = [other for other in others if numbers(f"{place}/lost_share/{other}")]
    if collateral := numbers(f"{place}/collateral"):
        one = len(shared) == 1
        clause += [
            " and " if one else " and at most ",
            collateral,
            f" of its gain on {label_of(shared[0]) if one else listed([label_of(other) for other in shared], 'or')}",
        ]
    for other in others:
        if other not in shared and (lost := numbers(f"{place}/lost_db/{other}", "dB")):
            clause += [" and costs ", lost, f" on {label_of(other)}"]
    return clause


def _control(numbers: Numbers, run: Run) -> list[object]:
    """What as many filters at random do; empty where that was not measured."""
    found = {name: numbers(f"mask/{run.target}/{CONTROL}/{name}/removed") for name in run.attributed}
    parts: list[list[object]] = [
        [number, f" of {'that' if place else 'the gain'} on {label_of(name)}"]
        for place, (name, number) in enumerate((name, number) for name, number in found.items() if number)
    ]
    return ["masking as many at random takes away ", *alternating(parts, " and ")] if parts else []


def _short(numbers: Numbers, run: Run) -> str:
    """Yes, yes for some, or no."""
    verdicts = {name: _held(numbers, run, name) for name in run.attributed}
    held = [label_of(name) for name, verdict in verdicts.items() if verdict]
    not_held = [label_of(name) for name, verdict in verdicts.items() if verdict is False]
    unknown = [label_of(name) for name, verdict in verdicts.items() if verdict is None]
    if not held and not not_held:
        return f"This run cannot tell: the network gained too little on {listed(unknown)}."
    words = [f"yes for {listed(held)}"] if held else []
    words += [f"not clearly for {listed(not_held)}"] if not_held else []
    words += [f"for {listed(unknown)} this run cannot tell"] if unknown else []
    text = "; ".join(words)
    return f"{text[0].upper()}{text[1:]}."


def _held(numbers: Numbers, run: Run, name: str) -> bool | None:
    """Whether masking removes one ability and that alone; None where it cannot be told."""
    place = f"mask/{run.target}/{run.method}/{name}"
    removed, selectivity = numbers(f"{place}/removed"), numbers(f"{place}/selectivity")
    random = numbers(f"mask/{run.target}/{CONTROL}/{name}/removed")
    if removed is None or removed.low is None:
        return None
    beaten = 0.0 if random is None or random.high is None else random.high
    alone = selectivity is None or (selectivity.low is not None and selectivity.low > 0)
    return removed.low >= MOST and removed.low > beaten and alone
