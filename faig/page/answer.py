"""The first screen: the question, and its answer in one sentence made of the run's numbers."""

from collections.abc import Sequence
from typing import Any, Literal

from faig.base.ranking import num_discovered
from faig.data.targets import CLEAN
from faig.figures.plots import label_of
from faig.page.run import Run
from faig.page.values import Number, Numbers, alternating, listed, phrase
from faig.report.mission import CONTROL

MOST = 0.5
"""The share of a gain that masking must take away for the answer to be yes."""
RULE = (
    "“Yes” means that masking takes away more than half of the gain, more than it takes of the gain on any other "
    "degradation whose filters were sought, and more than masking as many filters at random does, each with the whole "
    "interval. “No” means that the opposite of one of these holds with the whole interval; all else is “not clearly”. "
    "Beside random filters, more than the whole gain counts as the whole: what is lost beyond it is damage."
)
Verdict = Literal["yes", "no", "not clearly", "too little gain", "not measured", "no interval"]
"""Of one degradation; the last three say why the run cannot tell."""
SAID: dict[Verdict, str] = {
    "yes": "yes for {}",
    "not clearly": "not clearly for {}",
    "no": "no for {}",
    "too little gain": "this run cannot tell for {}, on which the network gained too little",
    "not measured": "this run cannot tell for {}, of which it lacks a number",
    "no interval": "this run cannot tell for {}, since one test image has no interval",
}
"""Each verdict about some degradations, in the order in which they are said."""


def question(attributed: Sequence[str]) -> str:
    """What the page answers, in the words of its degradations."""
    first, *others = (f"remove {label_of(name)}" for name in attributed)
    return ", ".join(
        [f"Which few filters of this network {first}", *(f"which {each}" for each in others), "and is that true?"]
    )


def answer(numbers: Numbers, run: Run, num_filters: int | None, hrefs: dict[str, str]) -> dict[str, Any]:
    """The answer: ``short``, its verdict; ``sentence``, parts that are texts or numbers; ``rule`` of the verdict.

    ``kept``: what the discovered filters keep by themselves, a sentence in parts, empty where that was not measured.

    Args:
        numbers: of the mission.
        run: the settings.
        num_filters: of the network; None where it is not known.
        hrefs: links to params.yaml (``params``) and to the score table (``table``).
    """
    share = Number(run.ratio, "few", "mask_ratio", hrefs["params"])
    clauses = [_clause(numbers, run, name) for name in run.attributed]
    subject: list[object] = ["Masking the ", share, " of its filters"]
    if num_filters is not None:
        counts = num_discovered(num_filters, run.ratio), num_filters
        few, all_of_them = (Number(count, "count", "filters", hrefs.get("table", "")) for count in counts)
        subject += [" (", few, " of ", all_of_them, ")"]
    subject += [f" found by {label_of(run.method)} for "]
    parts = [[*subject, *clauses[0]], *(["masking those found for ", *clause] for clause in clauses[1:])]
    if control := _control(numbers, run):
        parts.append(control)
    sentence = [*alternating(parts, "; "), "."]
    return {"short": _short(numbers, run), "sentence": sentence, "rule": RULE, "kept": _kept(numbers, run)}


def _clause(numbers: Numbers, run: Run, name: str) -> list[object]:
    """What masking the filters found for one degradation does, from its name on."""
    place, own = f"mask/{run.target}/{run.method}/{name}", label_of(name)
    removed, gain = numbers(f"{place}/removed"), numbers(f"finetune/{run.target}/{name}/gain", "gain")
    lost = numbers(f"{place}/lost_db/{name}", "dB")
    others = [other for other in run.attributed if other != name]
    shares = {other: share for other in others if (share := numbers(f"{place}/lost_share/{other}"))}
    if removed is not None:
        clause: list[object] = [f"{own} takes away ", removed, f" of what the network gained on {own}"]
    elif lost is not None and gain is not None:
        clause = [f"{own} costs ", lost, f" on {own}, where the gain of ", gain, " is too small to take a share of"]
    else:
        return [f"{own} was not measured"]
    if most := numbers(f"{place}/collateral"):
        start, names = " and " if len(shares) == 1 else " and at most ", [label_of(other) for other in shares]
        clause += [start, most, f" of its gain on {listed(names, 'or')}"]
    elif shares:
        found = [[share, f" of its gain on {label_of(other)}"] for other, share in shares.items()]
        clause += [", and takes away ", *phrase(found)]
    costs = [(other, numbers(f"{place}/lost_db/{other}", "dB")) for other in others if other not in shares]
    if losses := [[cost, f" on {label_of(other)}"] for other, cost in costs if cost]:
        clause += [" and costs " if removed is not None else ", and costs ", *phrase(losses)]
    return clause


def _control(numbers: Numbers, run: Run) -> list[object]:
    """What as many filters at random do; empty where that was not measured."""
    found = {name: numbers(f"mask/{run.target}/{CONTROL}/{name}/removed") for name in run.attributed}
    parts: list[list[object]] = [
        [number, f" of {'that' if place else 'the gain'} on {label_of(name)}"]
        for place, (name, number) in enumerate((name, number) for name, number in found.items() if number)
    ]
    if not parts:
        return []
    damage = [
        part for name, number in found.items() if number and number.value > 1 for part in _damage(numbers, run, name)
    ]
    return ["masking as many at random takes away ", *phrase(parts), *damage]


def _damage(numbers: Numbers, run: Run, name: str) -> list[object]:
    """What clean inputs lose by random filters that take away more than the whole gain, and by the discovered ones."""
    costs = [numbers(f"mask/{run.target}/{method}/{name}/lost_db/{CLEAN}", "dB") for method in (CONTROL, run.method)]
    if None in costs:
        return []
    at_random, own = costs
    return [", and costs clean inputs ", at_random, f", where masking those found for {label_of(name)} costs ", own]


def _kept(numbers: Numbers, run: Run) -> list[object]:
    """Whether the discovered filters are enough, a sentence; empty where that was not measured."""
    places = {name: f"ratios/{run.target}/{run.method}/{name}/{run.ratio:g}/kept" for name in run.attributed}
    parts = [[kept, f" of its gain on {label_of(name)}"] for name, place in places.items() if (kept := numbers(place))]
    start = "That an ability goes with some filters does not mean that they are enough for it: with all others masked"
    return [f"{start}, the network keeps ", *phrase(parts), "."] if parts else []


def _short(numbers: Numbers, run: Run) -> str:
    """The verdict of each degradation, those of one verdict together."""
    verdicts = {name: _verdict(numbers, run, name) for name in run.attributed}
    groups = {
        said: [label_of(name) for name in verdicts if verdicts[name] == verdict] for verdict, said in SAID.items()
    }
    text = "; ".join(said.format(listed(names)) for said, names in groups.items() if names)
    return f"{text[0].upper()}{text[1:]}."


def _verdict(numbers: Numbers, run: Run, name: str) -> Verdict:
    """Whether masking removes one ability, more of it than of others, and more than masking at random does."""
    place = f"mask/{run.target}/{run.method}/{name}"
    names = f"{place}/removed", f"{place}/selectivity", f"mask/{run.target}/{CONTROL}/{name}/removed"
    if numbers(names[0]) is None:
        return "too little gain" if numbers(f"{place}/lost_db/{name}") else "not measured"
    removed, alone, random = (_ends(numbers(each)) for each in names)
    if removed is None or random is None or (alone is None and numbers(names[1]) is not None):
        return "not measured"
    (low, high), (random_low, random_high) = removed, random
    if low == high:
        return "no interval"
    # Each margin's lower and upper end: above 0 it is as asked. Two intervals are compared by their nearer ends.
    beyond_random = min(low, 1) - min(random_high, 1), min(high, 1) - min(random_low, 1)
    margins = [(low - MOST, high - MOST), beyond_random, *([alone] if alone else [])]
    if all(low > 0 for low, _ in margins):
        return "yes"
    return "no" if any(high < 0 for _, high in margins) else "not clearly"


def _ends(number: Number | None) -> tuple[float, float] | None:
    """The ends of a number's interval; None where there is none."""
    return None if number is None or number.low is None or number.high is None else (number.low, number.high)
