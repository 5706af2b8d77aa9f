"""What the page computes: an input of a photograph, the networks' outputs with the dials turned, and what they tell.

Nothing here knows the page. All that is asked for is checked again, since a request can be written by hand.
"""

import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from faig.attribution.path import PathModel, Weights
from faig.base.compute import Compute
from faig.base.errors import InputError
from faig.base.resuming import Store
from faig.data.crops import CropParams, choose_crops, cut
from faig.data.degradation import Step, clean_operations, degrade, image_generator, parse_operations
from faig.data.images import crop_to_multiple
from faig.data.quality import border_of, psnr
from faig.data.tensors import to_image, to_tensor
from faig.experiments.modulation import modulate
from faig.experiments.prediction import response
from faig.report.prediction import posteriors
from tools.demo.filters import SEED, Rankings, Search, middle, read_rankings, training_pairs
from tools.demo.pairs import NetworkPair
from tools.demo.sharing import Recent
from tools.demo.uploads import Photograph

TILE = 256
"""Pixels a side of the networks' input."""
MAX_LAMBDA = 1.5
LIMITS = {"blur": (0.0, 4.0), "noise": (0.0, 0.3), "jpeg": (10.0, 100.0)}
"""Of the degradations' sliders: sigma of the blur in HR pixels, of the noise as a share of white, JPEG's quality."""
NO_JPEG = 100.0
CALIBRATION = CropParams(num=16, size=128)
LOOKED_AT = 128
"""Input pixels a side, from the middle, that the class is told from."""
SLOW = 0.8
"""Seconds; where a picture is expected to take longer, its middle is shown first."""
CONTEXT = 8
"""Input pixels around the middle that are restored with it and cut off."""
LEFT = {"input": "the input, upscaled", "target": "restored by the target", "baseline": "restored by the baseline"}


@dataclass(frozen=True)
class Wish:
    """What a visitor asks for: a tile of a photograph, its degradation, and the dials.

    ``left``, ``top``: where the tile lies, as shares (0 to 1) of the room that there is. ``as_it_is``: the photograph
    itself is the input. ``dials``: lambda of each ability.
    """

    pair: str
    left: float = 0.5
    top: float = 0.5
    as_it_is: bool = False
    blur: float = 0.0
    noise: float = 0.0
    jpeg: float = NO_JPEG
    method: str = "faig"
    ratio: float = 0.01
    dials: tuple[float, ...] = ()
    shown: str = "input"

    def __post_init__(self) -> None:
        """Refuse what no slider could have sent.

        Raises:
            InputError: names what is out of its range.
        """
        for name, value in (("left", self.left), ("top", self.top)):
            require_within(f"the tile's place ({name})", value, 0, 1)
        for name, (low, high) in LIMITS.items():
            require_within(name, getattr(self, name), low, high)
        for value in self.dials:
            require_within("a dial", value, 0, MAX_LAMBDA)
        if self.shown not in LEFT:
            raise InputError(f"{self.shown!r} cannot be shown on the left")


def require_within(what: str, value: object, low: float, high: float) -> None:
    """Check one number of a request.

    Raises:
        InputError: it is no number from ``low`` to ``high``.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"{what} must be a number from {low:g} to {high:g}, not {value!r}")
    if not low <= value <= high:
        raise InputError(f"{what} must be from {low:g} to {high:g}, not {value:g}: nothing was changed")


@dataclass(frozen=True)
class Tile:
    """An input: ``lr`` (H, W, 3), the original ``hr`` (sH, sW, 3) or None, both uint8, and what stands for it."""

    lr: np.ndarray
    hr: np.ndarray | None
    key: tuple


@dataclass(frozen=True)
class Answer:
    """What a wish comes to, images uint8 (sH, sW, 3).

    ``left``, ``right``: the two pictures; ``psnr``: in dB by picture, empty where the original is not known;
    ``seconds``: what the network took; ``is_whole``: whether ``right`` is restored everywhere or in the middle alone.
    """

    left: np.ndarray
    right: np.ndarray
    psnr: Mapping[str, float]
    seconds: float
    is_whole: bool = True


@dataclass
class Opened:
    """A pair whose networks have been read. ``search``: finds filters; ``rankings``: those that are known."""

    name: str
    pair: NetworkPair
    model: PathModel
    search: Search
    rankings: Rankings
    seconds_per_pixel: float = 0.0

    def read(self) -> None:
        """Read the rankings again: a search has ended."""
        tables = [path for path in (*self.pair.tables, self.search.path) if path.is_file()]
        self.rankings = read_rankings(tables, self.model, self.pair.abilities)


class Studio:
    """The networks that are open, and their results so far; visitors share it.

    Args:
        pairs: those that are offered, by name.
        compute: device and precision.
        cache: folder of what was found.
    """

    def __init__(self, pairs: Mapping[str, NetworkPair], compute: Compute, cache: Path) -> None:
        self.pairs, self.compute, self.cache = pairs, compute, cache
        # One thread: visitors' computations come one after the other, in the order in which they were asked for.
        self._computing = ThreadPoolExecutor(max_workers=1)
        self._opening = threading.Lock()
        self._opened: dict[str, Opened] = {}
        self._inputs = Recent[np.ndarray](16)
        self._outputs = Recent[tuple[np.ndarray, float]](48)
        self._told = Recent[dict[str, float]](64)

    def open(self, name: str) -> Opened:
        """The networks of a pair.

        Raises:
            InputError: there is no such pair, or its files cannot be used.
        """
        if name not in self.pairs:
            raise InputError(f"there is no pair of networks named {str(name)[:80]!r}")
        with self._opening:
            if name not in self._opened:
                pair = self.pairs[name]
                model = pair.load(self.compute)
                search = Search(pair, model, self.cache / pair.digest()[:16] / "scores.parquet")
                opened = Opened(name, pair, model, search, Rankings({}, model.index.num_filters))
                opened.read()
                self._opened[name] = opened
            return self._opened[name]

    def tile(self, photograph: Photograph, wish: Wish) -> Tile:
        """The networks' input: the tile of the photograph itself, or degraded."""
        pair = self.open(wish.pair).pair
        step = 1 if wish.as_it_is else pair.scale
        pixels = crop_to_multiple(photograph.pixels, step)
        top, left, height, width = place_of(pixels.shape[:2], wish, pair.scale)
        own = np.ascontiguousarray(pixels[top : top + height, left : left + width])
        key = (photograph.digest, wish.as_it_is, top, left, height, width, pair.scale)
        if wish.as_it_is:
            return Tile(own, None, key)
        key = (*key, pair.downsampling, wish.blur, wish.noise, wish.jpeg)
        lr = self._inputs.get(key, lambda: degrade_tile(own, wish, pair.scale, pair.downsampling))
        return Tile(lr, own, key)

    def answer(self, photograph: Photograph, wish: Wish) -> Iterator[Answer]:
        """Restore the tile with the dials turned; of what takes long, the middle comes first.

        Raises:
            InputError: something that is asked for is not there.
        """
        opened, tile = self.open(wish.pair), self.tile(photograph, wish)
        dials = self.dials(opened, wish)
        turned = [(filters, value) for filters, value in dials if value != 1]
        known = {"input": upscaled(tile.lr, opened.pair.scale)}
        weights = modulate(opened.model.target, opened.model.baseline, opened.model.index, turned)
        key = (wish.method, wish.ratio, wish.dials) if turned else "target"
        if wish.shown != "input":
            known[wish.shown] = self._output(opened, tile, wish.shown, getattr(opened.model, wish.shown))[0]
        left = known[wish.shown]
        expected = opened.seconds_per_pixel * tile.lr.shape[0] * tile.lr.shape[1]
        if expected > SLOW and self._outputs.find((opened.name, tile.key, key)) is None:
            around, _ = self._outputs.find((opened.name, tile.key, "target")) or (known["input"], 0.0)
            yield Answer(left, self._middle(opened, tile, weights, around), {}, 0.0, is_whole=False)
        now, seconds = self._output(opened, tile, key, weights)
        others = [which for which in ("baseline", "target") if which not in known] if tile.hr is not None else []
        if any(self._outputs.find((opened.name, tile.key, which)) is None for which in others):
            yield Answer(left, now, self._psnr(tile, {**known, "now": now}), seconds)
        for which in others:
            known[which] = self._output(opened, tile, which, getattr(opened.model, which))[0]
        yield Answer(left, now, self._psnr(tile, {**known, "now": now}), seconds)

    def dials(self, opened: Opened, wish: Wish) -> list[tuple[np.ndarray, float]]:
        """The filters (n,) and lambda of each ability; none where no filters have been found."""
        if not opened.rankings.methods:
            return []
        found = opened.rankings.discovered(wish.method, wish.ratio)
        values = dict(zip(opened.pair.abilities, wish.dials, strict=False))
        return [(found[ability], values.get(ability, 1.0)) for ability in opened.pair.abilities if ability in found]

    def is_calibrated(self, wish: Wish) -> bool:
        """Whether :meth:`tell` will need no calibration first."""
        opened = self.open(wish.pair)
        store, labels = self._calibration_store(opened), opened.pair.operations
        return not opened.rankings.methods or all(store.find(_calibrated(wish, label)) is not None for label in labels)

    def tell(
        self, photograph: Photograph, wish: Wish, goes_on: Callable[[], bool] = lambda: True
    ) -> dict[str, float] | None:
        """The probability of each class of degradation, by the response of the discovered filters.

        None where no filters have been found, or ``goes_on`` has said no.
        """
        opened, tile = self.open(wish.pair), self.tile(photograph, wish)
        if not opened.rankings.methods:
            return None
        found = opened.rankings.discovered(wish.method, wish.ratio)
        masked = {name: opened.model.masked(filters) for name, filters in found.items()}
        features = self._calibrate(opened, wish, masked, goes_on)
        if features is None or not goes_on():
            return None

        def compute() -> dict[str, float]:
            own = self._response(opened, masked, to_tensor(middle(tile.lr, LOOKED_AT)))
            labels = [label for label in opened.pair.operations for _ in range(CALIBRATION.num)]
            classes = list(opened.pair.operations)
            return dict(zip(classes, posteriors(features, labels, own, classes)[0].tolist(), strict=True))

        return self._told.get((wish.pair, tile.key, wish.method, wish.ratio), compute)

    def _calibrate(
        self, opened: Opened, wish: Wish, masked: Mapping[str, Weights], goes_on: Callable[[], bool]
    ) -> np.ndarray | None:
        """Features (N, D) of crops of bundled photographs, class by class, kept on disk; None where it was stopped."""
        store, parts = self._calibration_store(opened), []
        for label in opened.pair.operations:
            if (kept := store.find(_calibrated(wish, label))) is None:
                pairs, rows = training_pairs(opened.pair, label), []
                for lr, _ in cut(pairs, label, choose_crops(pairs, CALIBRATION, SEED), CALIBRATION.size):
                    if not goes_on():
                        return None
                    rows.append(self._response(opened, masked, lr)[0])
                store.keep(_calibrated(wish, label), kept := {"features": np.array(rows)})
            parts.append(kept["features"])
        return np.concatenate(parts)

    def _calibration_store(self, opened: Opened) -> Store:
        return Store(opened.search.path.parent / "calibration")

    def _response(self, opened: Opened, masked: Mapping[str, Weights], lr: Tensor) -> np.ndarray:
        return self._computing.submit(torch.inference_mode()(response), opened.model, masked, [lr]).result().to_numpy()

    def _restore(self, opened: Opened, weights: Weights, lr: np.ndarray) -> tuple[np.ndarray, float]:
        """What a network makes of an input, and the seconds it took, once it was its turn."""

        @torch.inference_mode()
        def restore() -> tuple[np.ndarray, float]:
            start = time.perf_counter()
            made = to_image(opened.model.restore(weights, to_tensor(lr)))
            return made, time.perf_counter() - start

        return self._computing.submit(restore).result()

    def _output(self, opened: Opened, tile: Tile, which: object, weights: Weights) -> tuple[np.ndarray, float]:
        """What a network makes of a tile, and the seconds that it took, now or before."""

        def compute() -> tuple[np.ndarray, float]:
            made, seconds = self._restore(opened, weights, tile.lr)
            opened.seconds_per_pixel = seconds / (tile.lr.shape[0] * tile.lr.shape[1])
            return made, seconds

        return self._outputs.get((opened.name, tile.key, which), compute)

    def _middle(self, opened: Opened, tile: Tile, weights: Weights, around: np.ndarray) -> np.ndarray:
        """The middle of the output, half as large on each side, in what stands around it until all is restored."""
        scale = opened.pair.scale
        (top, bottom), (left, right) = ((side // 4, side - side // 4) for side in tile.lr.shape[:2])
        rows, columns = (slice(max(start - CONTEXT, 0), end + CONTEXT) for start, end in ((top, bottom), (left, right)))
        made, _ = self._restore(opened, weights, tile.lr[rows, columns])
        result = around.copy()
        y, x = (top - rows.start) * scale, (left - columns.start) * scale
        height, width = (bottom - top) * scale, (right - left) * scale
        result[top * scale : bottom * scale, left * scale : right * scale] = made[y : y + height, x : x + width]
        return result

    def _psnr(self, tile: Tile, images: Mapping[str, np.ndarray]) -> dict[str, float]:
        if tile.hr is None:
            return {}
        hr, border = to_tensor(tile.hr), border_of(tile.hr.shape[0] // tile.lr.shape[0])
        return {name: psnr(to_tensor(image), hr, border).item() for name, image in images.items()}


def _calibrated(wish: Wish, label: str) -> str:
    """What the features of one class, by a method's filters, are kept as."""
    return f"{wish.method}_{wish.ratio:.5f}_{label}"


def place_of(size: tuple[int, int], wish: Wish, scale: int) -> tuple[int, int, int, int]:
    """Top, left, height and width of the tile in a photograph of (height, width), in the photograph's pixels."""
    step = 1 if wish.as_it_is else scale
    height, width = (min(TILE * step, extent) for extent in size)
    top = round(wish.top * (size[0] - height) / step) * step
    left = round(wish.left * (size[1] - width) / step) * step
    return min(top, size[0] - height), min(left, size[1] - width), height, width


def degrade_tile(hr: np.ndarray, wish: Wish, scale: int, downsampling: str) -> np.ndarray:
    """The LR tile: blur, downsampling, noise, JPEG, as the project's degradations have them; the noise is always the
    same.
    """
    steps: list = []
    if wish.blur > 0:
        steps.append({"gaussian_blur": {"kernel_size": 4 * math.ceil(2 * wish.blur) + 5, "sigma": float(wish.blur)}})
    steps += clean_operations(scale)
    if wish.noise > 0:
        steps.append({"gaussian_noise": {"sigma": float(wish.noise)}})
    if wish.jpeg < NO_JPEG:
        steps.append({"jpeg": {"quality": round(wish.jpeg)}})
    operations: tuple[Step, ...] = parse_operations("the sliders", steps, scale=scale)
    generator = image_generator(SEED, "page", "tile")
    return degrade(hr, operations, scale=scale, downsampling=downsampling, generator=generator)


def upscaled(lr: np.ndarray, scale: int) -> np.ndarray:
    """Bicubic interpolation of an image (H, W, 3)."""
    return cv2.resize(lr, (lr.shape[1] * scale, lr.shape[0] * scale), interpolation=cv2.INTER_CUBIC)


def cache_folder() -> Path:
    """Where found filters are kept: under .ckpt, or where FAIG_CHECKPOINTS says."""
    return Path(os.environ.get("FAIG_CHECKPOINTS", ".ckpt"), "demo")
