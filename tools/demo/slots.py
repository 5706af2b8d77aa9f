"""The part of the page that holds plug-ins, and what happens where one is put in, made or taken out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from faig.base.errors import InputError
from tools.demo.inputs import LEFT, PLUGGED, share_of
from tools.demo.plugins import MAX_PLUGINS, Held, at_strengths, make_plugins, read_plugin
from tools.demo.restoring import Studio
from tools.demo.words import NO_FILTERS, message

NO_ROOM = f"there is room for {MAX_PLUGINS} plug-ins: take one out first"
NUM_SLOTS = 3 + 3 * MAX_PLUGINS
"""Parts of the page that :func:`slots` brings up to date."""


class Slots:
    """The handlers of plug-ins.

    Args:
        studio: what computes.
        folder: where plug-ins are put that are made here.
    """

    def __init__(self, studio: Studio, folder: Path) -> None:
        self.studio, self.folder = studio, folder

    def put_in(self, path: str | None, pair: str, held: Sequence[Held] | None, *strengths: float) -> list[Any]:
        """A plug-in was uploaded: it is in the baseline, wholly, and the baseline left of the divider; the file is
        deleted.
        """
        before = at_strengths(held, strengths)
        if path is None:
            return [gr.skip()] * NUM_SLOTS
        try:
            if len(before) == MAX_PLUGINS:
                raise InputError(NO_ROOM)
            return slots([*before, (read_plugin(Path(path), self.studio.open(pair).model), 1.0)])
        except InputError as error:
            return [gr.skip()] * (NUM_SLOTS - 1) + [message(str(error))]
        finally:
            Path(path).unlink(missing_ok=True)

    def make(self, pair: str, method: str, ratio: float, held: Sequence[Held] | None, *strengths: float) -> list[Any]:
        """The target's kernels at the dials' filters become plug-ins, in the place of those made before."""
        uploaded = [each for each in at_strengths(held, strengths) if each[0].file is None]
        try:
            opened, share = self.studio.open(pair), share_of(ratio)
            if not opened.rankings.methods:
                raise InputError(NO_FILTERS)
            found = opened.rankings.discovered(method, share)
            chosen = {ability: found[ability] for ability in opened.pair.abilities if ability in found}
            if len(uploaded) + len(chosen) > MAX_PLUGINS:
                raise InputError(NO_ROOM)
            made = make_plugins(opened.model, chosen, self.folder, method=method, ratio=share)
        except InputError as error:
            return [gr.skip()] * (NUM_SLOTS - 1) + [message(str(error))]
        return slots([*uploaded, *((each, 1.0) for each in made)])

    def take_out(self, number: int, held: Sequence[Held] | None, *strengths: float) -> list[Any]:
        """A plug-in is taken out; the others keep their strengths."""
        left = at_strengths(held, strengths)
        return slots(left[:number] + left[number + 1 :])


def slots(held: Sequence[tuple[Held, float]], word: str = "") -> list[Any]:
    """Updates once these plug-ins are in, each at its strength: the list of them, what can be left of the divider,
    sliders, the buttons that take out and those that save, and a message.
    """
    choices = [(text, key) for key, text in LEFT.items() if held or key != PLUGGED]
    shown = {"choices": choices, "value": PLUGGED if held else "input"}
    hidden = [gr.update(visible=False)] * (MAX_PLUGINS - len(held))
    sliders = [gr.update(label=f"{each.name}: strength", value=value, visible=True) for each, value in held]
    outs = [gr.update(value=f"Take out {each.name}", visible=True) for each, _ in held]
    saves = [_saving(each) for each, _ in held]
    now = [each for each, _ in held]
    return [now, gr.update(**shown), *sliders, *hidden, *outs, *hidden, *saves, *hidden, message(word)]


def _saving(held: Held) -> Any:
    """The button that saves a plug-in, of those that were made here."""
    if held.file is None:
        return gr.update(visible=False)
    label = f"Save {held.file.name} ({held.plugin.num_bytes / 1000:.0f} KB)"
    return gr.update(label=label, value=str(held.file), visible=True)
