"""Which filters are discovered: read from score tables, or found here and kept."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from faig.attribution.learning import Inputs
from faig.attribution.path import PathModel
from faig.attribution.quadrature import QuadratureParams
from faig.base.errors import InputError
from faig.base.processes import ALONE
from faig.base.ranking import num_discovered
from faig.base.resuming import Store
from faig.base.seeds import derive_seed
from faig.data.crops import CropParams
from faig.data.degradation import degrade, image_generator
from faig.data.images import crop_to_multiple, read_image
from faig.data.pairs import Pair
from faig.data.photographs import TRAIN_FILES
from faig.data.targets import TargetParams
from faig.experiments.forecast import Forecast, forecast
from faig.experiments.score_table import METHODS, write_scores
from faig.experiments.scoring import Images, LearnedParams, ScoreParams, cut_crops, num_passes, score_filters
from tools.demo.pairs import NetworkPair
from tools.demo.uploads import bundled_files

LARGEST = 0.1
"""The largest ratio: published score tables hold the best tenth of the filters."""
SMALLEST = 0.001
SEED = 0
SIDE = 256
"""HR pixels a side of the middle of each bundled photograph that crops are taken from."""
PARAMS = ScoreParams(
    images=CropParams(num=8, size=64),
    dead_leaves=CropParams(num=1, size=64),
    loss="squared",
    contrast="share",
    quadrature=QuadratureParams(rule="gausslegendre", num_nodes=8, max_nodes=192, tolerance=0.01),
    learned=LearnedParams(
        images=CropParams(num=16, size=64),
        steps=48,
        batch_size=1,
        weight=8.0,
        ratios=(0.003, 0.03),
        damping=0.1,
    ),
    num_random=1,
)
"""As params.yaml has them, on fewer crops."""


@dataclass(frozen=True)
class Rankings:
    """The best filters by method and ability, best first, of a network with ``num_filters``."""

    found: Mapping[tuple[str, str], np.ndarray]
    num_filters: int

    @property
    def methods(self) -> list[str]:
        """The methods that there are rankings of, in the order of the score table's."""
        return [method for method in METHODS if any(key[0] == method for key in self.found)]

    def discovered(self, method: str, ratio: float) -> dict[str, np.ndarray]:
        """Filters (n,) by ability: the top ``ratio`` share by a method.

        Raises:
            InputError: the method has no ranking, or the ratio is beyond what the page offers.
        """
        if method not in self.methods:
            raise InputError(f"there is no ranking by {method!r}; known are {', '.join(self.methods) or 'none'}")
        if not SMALLEST <= ratio <= LARGEST:
            raise InputError(f"the share of filters must be from {SMALLEST:.1%} to {LARGEST:.0%}, not {ratio:.4g}")
        count = num_discovered(self.num_filters, ratio)
        return {ability: order[:count] for (name, ability), order in self.found.items() if name == method}


def read_rankings(paths: list[Path], model: PathModel, abilities: tuple[str, ...]) -> Rankings:
    """The rankings of score tables, whole or their published best tenth; the first table that has one counts.

    Raises:
        InputError: a file is no score table, or ranks the filters of another network.
    """
    size, found = model.index.num_filters, {}
    least = num_discovered(size, LARGEST)
    for path in paths:
        try:
            columns = ["method", "degradation", "rank", "filter"]
            table = pd.read_parquet(path, columns=columns, filters=[("replicate", "==", 0), ("rank", "<", least)])
        except (pa.ArrowException, OSError, KeyError) as error:
            raise InputError(f"{path} is not a score table: {error}") from error
        for key, rows in table.groupby(["method", "degradation"], observed=True):
            method, ability = map(str, key)  # pyright: ignore[reportGeneralTypeIssues, reportArgumentType]
            order = rows.sort_values("rank")["filter"].to_numpy().astype(np.int64)
            if len(order) < least or len(set(order.tolist())) < len(order) or order.min() < 0 or order.max() >= size:
                raise InputError(f"{path} does not rank the {size} filters of this network")
            if ability in abilities:
                found.setdefault((method, ability), order)
    return Rankings(found, size)


@dataclass(frozen=True)
class Search:
    """The search for the filters of one pair: by all methods, on crops of the bundled photographs.

    ``path``: where the score table is kept.
    """

    pair: NetworkPair
    model: PathModel
    path: Path

    @property
    def _target(self) -> TargetParams:
        abilities = self.pair.abilities
        return TargetParams(mixture=dict.fromkeys(abilities, 1.0), attribute=abilities, effort=1.0)

    def _crops(self) -> tuple[Images, Inputs]:
        target = self._target
        pairs = [pair for name in target.degradations for pair in training_pairs(self.pair, name)]
        return cut_crops(pairs, target, PARAMS, SEED)[:2]

    @property
    def num_steps(self) -> int:
        """How often ``advance`` is called by :meth:`run`."""
        return num_passes(self._target)

    def forecast(self) -> Forecast:
        """Time and memory that :meth:`run` is expected to take.

        Raises:
            InputError: more memory is needed than is free.
        """
        return forecast(self.model, *self._crops(), self._target, PARAMS, ALONE)

    def run(self, advance: Callable[[int], None]) -> None:
        """Score the filters and keep the table; what was begun before is taken up.

        Raises:
            InputError: the network cannot be scored.
        """
        generator = np.random.default_rng(derive_seed(SEED, "random"))
        parts = self.path.parent / "parts"
        scores, _ = score_filters(
            self.model, *self._crops(), self._target, PARAMS, SEED, generator, ALONE, advance, Store(parts)
        )
        write_scores(self.path, self.model.index, scores, {"made_by": "tools.demo"})
        shutil.rmtree(parts, ignore_errors=True)


def training_pairs(pair: NetworkPair, degradation: str) -> list[Pair]:
    """HR and LR of the middle of each bundled photograph for training, of one degradation of a pair's."""
    files = bundled_files()
    made = []
    for file in TRAIN_FILES:
        name = Path(file).stem
        hr = middle(crop_to_multiple(read_image(files[name]), pair.scale), SIDE - SIDE % pair.scale)
        lr = degrade(
            hr,
            pair.operations[degradation],
            scale=pair.scale,
            downsampling=pair.downsampling,
            generator=image_generator(SEED, degradation, name),
        )
        made.append(Pair(name, degradation, hr, lr))
    return made


def middle(image: np.ndarray, side: int) -> np.ndarray:
    """The middle of an image (H, W, 3), at most ``side`` pixels a side."""
    top, left = (max((extent - side) // 2, 0) for extent in image.shape[:2])
    return image[top : top + side, left : left + side]
