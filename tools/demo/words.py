"""The page's HTML: numbers, probabilities and messages; all that others named is escaped."""

from collections.abc import Mapping
from html import escape

ROWS = {
    "input": "input, upscaled (bicubic)",
    "baseline": "restored by the baseline",
    "plugins": "the baseline with plug-ins",
    "target": "restored by the target",
    "now": "as the dials stand",
}
CALIBRATING = '<p class="quiet">Looking at crops of known degradation, to tell this one\'s …</p>'
NO_FILTERS = (
    "The filters of these networks have not been found yet, so there are no dials. "
    "Press “Find its filters by all methods” under “Networks and filters”."
)
CLASS_NAMES = {"blur_noise": "blur and noise"}
METHOD_NAMES = {
    "faig": "FAIG: which filters changed the error",
    "learned": "learned masks: which ones take the ability away and nothing else",
    "second_order": "second order: what masking each alone would do",
    "ig": "integrated input gradients",
    "taylor": "Taylor: one gradient at the target",
    "weight_change": "weight change",
    "weight_change_undivided": "weight change, undivided",
    "random": "random, to compare with",
}


def message(text: str) -> str:
    """A message to the reader, '' for none."""
    return f'<p role="status">{escape(text)}</p>' if text else ""


def numbers(psnr: Mapping[str, float], seconds: float, is_whole: bool) -> str:
    """PSNR by picture."""
    if not is_whole:
        return '<p class="quiet">The middle comes first; the rest is on its way.</p>'
    took = f" The network took {seconds:.2f} s." if seconds else ""
    if not psnr:
        return f'<p class="quiet">The original is not known, so there is no PSNR.{took}</p>'
    cells = {
        name: f"{psnr[name]:.2f} dB" if name in psnr else "…" for name in ROWS if name in psnr or name != "plugins"
    }
    rows = "".join(
        f'<tr class="{name}"><th scope="row">{ROWS[name]}</th><td>{cell}</td></tr>' for name, cell in cells.items()
    )
    return (
        '<h2>PSNR</h2><table class="numbers"><caption class="quiet">How close each picture is to the original. More is '
        f"better.{took}</caption>{rows}</table>"
    )


def chances(probabilities: Mapping[str, float]) -> str:
    """The probability of each class."""
    if not probabilities:
        return ""
    names = {name: escape(CLASS_NAMES.get(name, name)) for name in probabilities}
    best = max(probabilities, key=lambda name: probabilities[name])
    rows = "".join(
        f"<span>{names[name]}</span>"
        f'<span class="bar" aria-hidden="true"><i style="width:{100 * value:.1f}%"></i></span>'
        f'<span class="share">{100 * value:.0f} %</span>'
        for name, value in probabilities.items()
    )
    return (
        f"<h2>Which degradation is this?</h2><p>The network takes this input for <strong>{names[best]}</strong>.</p>"
        f'<div class="chances">{rows}</div>'
        '<p class="quiet">This is told from how the output changes when the filters of each dial are masked; no '
        "original is needed.</p>"
    )


def network_words(num_layers: int, num_filters: int, scale: int) -> str:
    """A sentence on the network that is open."""
    size = "as large as the input" if scale == 1 else f"{scale} times as large as the input on each side"
    return f"{num_layers} layers, {num_filters:,} filters; the output is {size}."
