"""What happens where something on the page is changed."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any

import cv2
import gradio as gr
import numpy as np

from faig.base.errors import InputError
from faig.base.progress import format_duration
from tools.demo.drawing import draw
from tools.demo.inputs import NO_JPEG, Wish, place_of, share_of
from tools.demo.pairs import MAX_DIALS
from tools.demo.plugins import MAX_PLUGINS, Held, at_strengths
from tools.demo.restoring import Opened, Studio
from tools.demo.sharing import Newest, Recent
from tools.demo.slots import NUM_SLOTS, Slots, slots
from tools.demo.uploads import Photograph, read_offered, read_upload
from tools.demo.words import CALIBRATING, METHOD_NAMES, NO_FILTERS, chances, message, network_words, numbers

UPLOAD = "upload"
DEGRADE, AS_IT_IS = "degrade it, then restore it", "restore it as it is"
START = {"blur": 2.0, "noise": 0.1, "jpeg": NO_JPEG}
THUMBNAIL = 320
"""Pixels of the longer side of the picture in which the tile's place is shown."""


class Page:
    """The page's handlers.

    Args:
        studio: what computes.
        files: the photographs that are offered, by name.
        folder: where plug-ins are put that are made here.
    """

    def __init__(self, studio: Studio, files: Mapping[str, Path], folder: Path) -> None:
        self.studio, self.files = studio, files
        self.slots = Slots(studio, folder)
        self.newest = Newest()
        self.photographs = Recent[Photograph](8)
        self.searching = threading.Lock()

    def photograph(self, name: object, upload: Photograph | None) -> Photograph:
        """The chosen photograph.

        Raises:
            InputError: there is none of that name.
        """
        if name == UPLOAD:
            if upload is None:
                raise InputError("there is no upload of yours any more: choose the file again")
            return upload
        if not isinstance(name, str) or name not in self.files:
            raise InputError(f"there is no photograph named {str(name)[:80]!r}")
        return self.photographs.get(name, lambda: read_offered(name, self.files[name]))

    def wish(self, *values: Any) -> Wish:
        """What the controls ask for, in their order."""
        pair, left, top, use, blur, noise, jpeg, method, ratio, shown, held, *sliders = values
        dials, strengths = sliders[:MAX_DIALS], sliders[MAX_DIALS:]
        opened = self.studio.open(pair)
        return Wish(
            pair=pair,
            left=left,
            top=top,
            as_it_is=use == AS_IT_IS,
            blur=blur,
            noise=noise,
            jpeg=jpeg,
            method=method,
            ratio=share_of(ratio),
            shown=shown,
            dials=tuple(dials[: len(opened.pair.abilities)]),
            plugins=tuple(at_strengths(held, strengths)),
        )

    def turn(self, request: gr.Request, upload: Photograph | None, name: str, *values: Any) -> Iterator[tuple]:
        """Restore as the controls stand: pictures, numbers and drawing; a refusal is shown for some seconds."""
        is_newest = self.newest.begin(request.session_hash or "")
        try:
            photograph, wish = self.photograph(name, upload), self.wish(*values)
            opened = self.studio.open(wish.pair)
            drawing, before = drawing_of(self.studio, opened, wish), None
            for answer in self.studio.answer(photograph, wish):
                if not is_newest():  # what was known before may have overtaken this
                    yield (gr.skip(),) * 3
                    return
                pictures = gr.skip() if before is answer.right else (answer.left, answer.right)
                before = answer.right
                yield pictures, numbers(answer.psnr, answer.seconds, answer.is_whole), drawing
        except InputError as error:
            gr.Warning(escape(str(error)), title="Not possible")
            yield (gr.skip(),) * 3

    def tell(self, request: gr.Request, upload: Photograph | None, name: str, *values: Any) -> Iterator[Any]:
        """What the predictor takes the input for."""
        is_newest = self.newest.watch(request.session_hash or "")
        with suppress(InputError):
            photograph, wish = self.photograph(name, upload), self.wish(*values)
            if not self.studio.is_calibrated(wish):
                yield CALIBRATING
            found = self.studio.tell(photograph, wish, is_newest)
            yield chances(found or {}) if is_newest() else gr.skip()

    def show_place(
        self, upload: Photograph | None, name: str, pair: str, left: float, top: float, use: str
    ) -> np.ndarray | Any:
        """The thumbnail with a frame around the tile."""
        try:
            wish = Wish(pair=pair, left=left, top=top, as_it_is=use == AS_IT_IS)
            return thumbnail(self.photograph(name, upload), wish, self.studio.open(pair).pair.scale)
        except InputError:
            return gr.skip()

    def choose(self, pair: str, held: Sequence[Held] | None, *strengths: float) -> list[Any]:
        """Another pair of networks was chosen: its methods, ratio, dials, description and search; and plug-ins that
        fit it.
        """
        try:
            opened = self.studio.open(pair)
        except InputError as error:
            return [gr.skip()] * (4 + 2 * MAX_DIALS) + [message(str(error))] + [gr.skip()] * NUM_SLOTS
        before = at_strengths(held, strengths)
        kept = [each for each in before if each[0].fits(opened.model)]
        out = ", ".join(each.name for each, _ in before if not each.fits(opened.model))
        word = f"Taken out, since these networks have another baseline: {out}."
        note = message("" if opened.rankings.methods else NO_FILTERS)
        return [*self.controls(opened), note, *(slots(kept, word) if out else [gr.skip()] * NUM_SLOTS)]

    def controls(self, opened: Opened) -> list[Any]:
        """Updates of method, ratio, description, search button, dials, and the buttons that mask."""
        methods, model = opened.rankings.methods, opened.model
        method = opened.pair.method if opened.pair.method in methods else next(iter(methods), None)
        missing = not {"learned", "second_order"} <= set(methods)
        words = network_words(len(model.index.layers), model.index.num_filters, opened.pair.scale)
        abilities = opened.pair.abilities[:MAX_DIALS]
        hidden = [gr.update(visible=False)] * (MAX_DIALS - len(abilities))
        is_found = bool(methods)
        dials = [gr.update(label=f"{name}: lambda", value=1.0, visible=is_found) for name in abilities]
        masks = [gr.update(value=f"Mask the filters for {name}", visible=is_found) for name in abilities]
        return [
            gr.update(choices=[(METHOD_NAMES.get(name, name), name) for name in methods], value=method),
            gr.update(value=100 * opened.pair.ratio),
            words,
            gr.update(visible=missing),
            *dials,
            *hidden,
            *masks,
            *hidden,
        ]

    def place(self, event: gr.SelectData, upload: Photograph | None, name: str, pair: str, use: str) -> tuple[Any, Any]:
        """The place of the tile whose middle was clicked in the thumbnail, as shares of the room that there is."""
        try:
            photograph, scale = self.photograph(name, upload), self.studio.open(pair).pair.scale
            x, y = (float(value) for value in event.index)
        except (InputError, TypeError, ValueError):
            return gr.skip(), gr.skip()
        height, width = photograph.pixels.shape[:2]
        factor = max(height, width) / THUMBNAIL
        _, _, high, wide = place_of((height, width), Wish(pair=pair, as_it_is=use == AS_IT_IS), scale)
        shares = [
            (factor * at - side / 2) / (extent - side) if extent > side else 0.5
            for at, side, extent in ((x, wide, width), (y, high, height))
        ]
        left, top = (round(min(max(value, 0.0), 1.0), 2) for value in shares)
        return left, top

    def back(self, pair: str) -> list[Any]:
        """What everything but the photograph and the networks is put back to."""
        with suppress(InputError):
            method, ratio, _, _, *dials = self.controls(self.studio.open(pair))
            return [method, ratio, *START.values(), 0.5, 0.5, "input", *dials[:MAX_DIALS], *[1.0] * MAX_PLUGINS]
        return [gr.skip()] * (8 + MAX_DIALS + MAX_PLUGINS)

    def receive(self, path: str | None) -> tuple[Any, Any, Any]:
        """A file was uploaded: the photograph, the choices of photographs, and a message; the file is deleted."""
        if path is None:
            return gr.skip(), gr.skip(), ""
        try:
            photograph, word = read_upload(Path(path), Path(path).name)
        except InputError as error:
            return gr.skip(), gr.skip(), message(str(error))
        finally:
            Path(path).unlink(missing_ok=True)
        choices = [(f"yours: {photograph.name}", UPLOAD), *((each, each) for each in self.files)]
        return photograph, gr.update(choices=choices, value=UPLOAD), message(word)

    def search(self, pair: str) -> Iterator[Any]:
        """Find the filters of a pair by all methods; a message on how far it is, every second."""
        try:
            opened = self.studio.open(pair)
            expected = opened.search.forecast()
        except InputError as error:
            yield message(str(error))
            return
        title = opened.pair.title
        yield message(f"{title}: finding the filters is estimated to take {expected}. The page can be used meanwhile.")
        steps, total, start = [0], opened.search.num_steps, time.monotonic()
        failure: list[BaseException] = []

        def run() -> None:
            try:
                with self.searching:
                    if not opened.search.path.is_file():
                        opened.search.run(lambda count: steps.__setitem__(0, steps[0] + count))
                    opened.read()
            except Exception as error:
                failure.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(1.0)
            passed = format_duration(time.monotonic() - start)
            yield message(
                f"{title}: step {steps[0]} of {total} after {passed}. The estimate was {expected}; it "
                "takes longer where other programs are busy."
            )
        if failure and not isinstance(failure[0], InputError):
            raise failure[0]
        end = f"could not be found: {failure[0]}" if failure else "were found."
        yield message(f"{title}: the filters {end}")


def drawing_of(studio: Studio, opened: Opened, wish: Wish) -> str:
    """The drawing of the network with the discovered filters."""
    if not opened.rankings.methods:
        return ""
    found = opened.rankings.discovered(wish.method, wish.ratio)
    found = {ability: found[ability] for ability in opened.pair.abilities if ability in found}
    return draw(opened.model.index, found, wish.dials)


def thumbnail(photograph: Photograph, wish: Wish, scale: int) -> np.ndarray:
    """The whole photograph, small, with a frame around the tile: uint8 (h, w, 3)."""
    height, width = photograph.pixels.shape[:2]
    factor = THUMBNAIL / max(height, width)
    small = cv2.resize(
        photograph.pixels, (round(width * factor), round(height * factor)), interpolation=cv2.INTER_AREA
    ).copy()
    top, left, high, wide = (factor * value for value in place_of((height, width), wish, scale))
    corners = (round(left), round(top)), (round(left + wide) - 1, round(top + high) - 1)
    cv2.rectangle(small, *corners, (255, 255, 255), 3)
    cv2.rectangle(small, *corners, (0, 0, 0), 1)
    return small
