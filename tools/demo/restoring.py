"""What the page computes: the networks' outputs with the dials turned, and what they tell of the input.

Nothing here knows the page.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from faig.attribution.path import PathModel, Weights
from faig.base.compute import Compute
from faig.base.errors import InputError
from faig.base.resuming import Store
from faig.data.crops import CropParams, choose_crops, cut
from faig.data.quality import border_of, psnr
from faig.data.tensors import to_image, to_tensor
from faig.experiments.modulation import modulate
from faig.experiments.prediction import response
from faig.networks.plugins import plug_in
from faig.report.prediction import posteriors
from tools.demo.filters import SEED, Rankings, Search, middle, read_rankings, training_pairs
from tools.demo.inputs import PLUGGED, Tile, Wish, make_tile, upscaled
from tools.demo.pairs import NetworkPair
from tools.demo.sharing import Recent
from tools.demo.uploads import Photograph

CALIBRATION = CropParams(num=16, size=128)
LOOKED_AT = 128
"""Input pixels a side, from the middle, that the class is told from."""
SLOW = 0.8
"""Seconds; where a picture is expected to take longer, its middle is shown first."""
CONTEXT = 8
"""Input pixels around the middle that are restored with it and cut off."""


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
        """The networks' input; see :func:`make_tile`."""
        pair = self.open(wish.pair).pair
        return make_tile(photograph, wish, pair.scale, pair.downsampling, self._inputs)

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
            known[wish.shown] = self._output(opened, tile, *left_network(opened.model, wish))[0]
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


def left_network(model: PathModel, wish: Wish) -> tuple[object, Weights]:
    """What stands for the network left of the divider, and its weights.

    Raises:
        InputError: a plug-in was made for another baseline.
    """
    if wish.shown != PLUGGED:
        return wish.shown, getattr(model, wish.shown)
    key = tuple((held.key, strength) for held, strength in wish.plugins)
    return key, plug_in(model.baseline, model.index, [(held.plugin, strength) for held, strength in wish.plugins])


def _calibrated(wish: Wish, label: str) -> str:
    """What the features of one class, by a method's filters, are kept as."""
    return f"{wish.method}_{wish.ratio:.5f}_{label}"


def cache_folder() -> Path:
    """Where found filters are kept: under .ckpt, or where FAIG_CHECKPOINTS says."""
    return Path(os.environ.get("FAIG_CHECKPOINTS", ".ckpt"), "demo")
