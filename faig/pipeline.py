"""The whole of params.yaml, and what must hold between its sections."""

from typing import Annotated, Any

from pydantic import Field

from faig.attribution.filters import Granularity
from faig.base.compute import ComputeParams
from faig.base.params import Name, NonNegative, Ratio, Scale, Seed, settings
from faig.base.statistics import BootstrapParams
from faig.data.degradation import DOWNSAMPLING, GIVEN, clean_operations, parse_operations
from faig.data.photographs import DatasetParams
from faig.data.targets import CLEAN, TargetParams
from faig.experiments.branches import BranchesParams
from faig.experiments.masking import MaskParams, SweepParams
from faig.experiments.modulation import ModulationParams
from faig.experiments.plugging import JOINT, CombineParams, PlugInParams
from faig.experiments.prediction import PredictParams
from faig.experiments.retraining import RetrainParams
from faig.experiments.rivals import RivalsParams
from faig.experiments.score_table import METHODS, Method
from faig.experiments.scoring import ScoreParams
from faig.experiments.severity import SeverityParams, at_level
from faig.networks.training import TrainingParams
from faig.networks.weights import NetworkChoice

MIN_LR = 8
"""LR pixels that each side of a crop or a patch must have at least."""
RESERVED = "baseline"
"""A target may not be called so: its files would be the baseline's."""


@settings
class PipelineParams:
    """params.yaml: one field per top-level key.

    Raises:
        ValueError: sections contradict each other; the message names the keys.
    """

    seed: Seed
    method: Method
    granularity: Granularity
    mask_ratio: Ratio
    scale: Scale
    downsampling: str
    dataset: DatasetParams
    degradations: dict[Name, Any]
    targets: Annotated[dict[Name, TargetParams], Field(min_length=1)]
    main_target: Name
    network: NetworkChoice
    train_baseline: TrainingParams
    finetune: TrainingParams
    score: ScoreParams
    bootstrap: BootstrapParams
    min_gain: NonNegative
    mask: MaskParams
    sweep: SweepParams
    predict: PredictParams
    modulate: ModulationParams
    retrain: RetrainParams
    plug_in: PlugInParams
    combine: CombineParams
    compare_branches: BranchesParams
    compare_predictors: RivalsParams
    severity: SeverityParams
    compute: ComputeParams

    def __post_init__(self) -> None:
        if self.downsampling not in DOWNSAMPLING:
            raise ValueError(f"downsampling = {self.downsampling!r} is not one of {', '.join(DOWNSAMPLING)}")
        for name, operations in self.degradations.items():
            if operations != GIVEN:
                parse_operations(f"degradations.{name}", operations, scale=self.scale)
            elif self.dataset.dead_leaves.num_images:
                raise ValueError(
                    f"degradations.{name} is {GIVEN}, and no LR images are given of dead leaves: "
                    "set dataset.dead_leaves.num_images: 0"
                )
        if RESERVED in self.targets:
            raise ValueError(f"targets.{RESERVED}: this name is the baseline's own, choose another")
        self._check_names()
        self._check_sizes()

    def _check_names(self) -> None:
        clean = clean_operations(self.scale)
        if self.degradations.get(CLEAN) != clean:
            listed = f"[{', '.join(clean)}] alone"
            raise ValueError(
                f"degradations.{CLEAN} must be {listed} at scale = {self.scale}: the baseline is trained on it"
            )
        uses = {f"targets.{name}": target.degradations for name, target in self.targets.items()}
        uses["predict.classes"] = list(self.predict.classes)
        for key, names in uses.items():
            if unknown := sorted(set(names) - set(self.degradations)):
                raise ValueError(
                    f"{key} names the unknown degradation {unknown[0]}; known are {', '.join(self.degradations)}"
                )
        if self.main_target not in self.targets:
            raise ValueError(f"main_target = {self.main_target!r} is not one of {', '.join(self.targets)}")
        target = self.targets[self.main_target]
        if self.severity.levels and not set(self.severity.levels) & set(target.attribute):
            raise ValueError(f"severity.levels names no degradation that targets.{self.main_target} attributes")
        for name, levels in self.severity.levels.items():
            if name in self.degradations:
                for value in levels.values:
                    at_level(f"degradations.{name}", self.degradations[name], levels, value, scale=self.scale)
        if JOINT in target.attribute:
            raise ValueError(f"degradations.{JOINT}: the joint plug-in's file has this name, choose another")
        if self.modulate.mixed not in target.degradations:
            raise ValueError(f"modulate.mixed = {self.modulate.mixed!r} is not in targets.{self.main_target}.mixture")
        if missing := {CLEAN, *target.attribute} - set(self.predict.classes):
            raise ValueError(
                f"predict.classes lacks {sorted(missing)[0]}, which targets.{self.main_target} tells apart"
            )
        for key in ("sweep", "compare_predictors"):
            if unknown := sorted(set(getattr(self, key).methods) - set(METHODS)):
                raise ValueError(f"{key}.methods names the unknown method {unknown[0]}; known are {', '.join(METHODS)}")

    def _check_sizes(self) -> None:
        sizes = {
            "train_baseline.patch_size": self.train_baseline.patch_size,
            "finetune.patch_size": self.finetune.patch_size,
            "retrain.training.patch_size": self.retrain.training.patch_size,
            "plug_in.training.patch_size": self.plug_in.training.patch_size,
            "compare_branches.training.patch_size": self.compare_branches.training.patch_size,
            "compare_predictors.classifier.patch_size": self.compare_predictors.classifier.patch_size,
            "score.images.size": self.score.images.size,
            "score.dead_leaves.size": self.score.dead_leaves.size,
            "score.learned.images.size": self.score.learned.images.size,
            "predict.calibration.size": self.predict.calibration.size,
        }
        if self.dataset.test_tiles is not None:
            sizes["dataset.test_tiles.size"] = self.dataset.test_tiles.size
        for key, size in sizes.items():
            if size % self.scale:
                raise ValueError(f"{key} = {size} must be a multiple of scale = {self.scale}")
            if size < MIN_LR * self.scale:
                raise ValueError(f"{key} = {size} must be at least {MIN_LR} times scale = {self.scale}")
        sizes.pop("dataset.test_tiles.size", None)
        leaves, size = self.dataset.dead_leaves, sizes.pop("score.dead_leaves.size")
        if leaves.num_images and size > leaves.size:
            raise ValueError(
                f"score.dead_leaves.size = {size} must be at most dataset.dead_leaves.size = {leaves.size}"
            )
        for key, size in sizes.items():
            if size > self.dataset.min_size:
                raise ValueError(f"{key} = {size} must be at most dataset.min_size = {self.dataset.min_size}")
        if self.dataset.min_size < MIN_LR * self.scale:
            raise ValueError(f"dataset.min_size = {self.dataset.min_size} must be at least {MIN_LR} times the scale")
