"""Which degradation does an image have? Told from the discovered filters alone (paper, section 5).

Two predictors, each giving features of every image x from the filters of the attributed degradations d:

* overlap: OS_d(x) = |top filters of x and discovered filters of d| / |discovered filters of d|. The image's own scores
  take the target's output as ground truth, since a new image has none.
* response: how masking the filters of d changes the target's output: by how much, how coarsely, and whether fine
  detail goes (as where they had sharpened) or comes (as where they had removed noise), beside how much detail there
  is. One forward pass per d and one more, no gradient.

:mod:`faig.report.prediction` names the class by a linear discriminant on these features, fitted on calibration crops
that are never tested on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import Tensor

from faig.attribution.engine import Attribution, attribute_images
from faig.attribution.losses import SQUARED, Loss
from faig.attribution.path import PathModel, Weights
from faig.attribution.quadrature import Nodes
from faig.base.errors import InputError
from faig.base.params import Name, Unique, settings
from faig.base.ranking import discovered
from faig.data.crops import CropParams
from faig.data.tensors import detail


@settings
class PredictParams:
    """Settings of the predictor's stages."""

    num_nodes: Annotated[int, Field(ge=1, le=1000)]
    calibration: CropParams
    classes: Annotated[tuple[Name, ...], Field(min_length=2), Unique]

    def __post_init__(self) -> None:
        if self.calibration.num < 2:
            raise ValueError(f"calibration.num = {self.calibration.num} must be at least 2: a class has a spread")


@dataclass(frozen=True)
class LabelledCrop:
    """LR crop (1, 3, H, W) of a known class; ``set`` is ``calibration`` or ``test``."""

    set: str
    label: str
    name: str
    lr: Tensor


def attribute_alone(model: PathModel, images: Sequence[Tensor], nodes: Nodes, loss: Loss = SQUARED) -> Attribution:
    """FAIG of N images (1, 3, H, W) without ground truth, the target's output in its place."""
    with torch.no_grad():
        pairs = [(lr, model.restore(model.target, lr).cpu()) for lr in images]
    return attribute_images(model, pairs, nodes, loss=loss)


def overlap(scores: np.ndarray, found: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """OS_d of each image: own scores (N, F) and discovered filters by degradation -> N rows, a column per d."""
    features = np.empty((len(scores), len(found)))
    for row, own in enumerate(scores):
        order = discovered(own, 1.0)
        for column, filters in enumerate(found.values()):
            features[row, column] = len(np.intersect1d(order[: len(filters)], filters)) / len(filters)
    return pd.DataFrame(features, columns=list(found))


def response(model: PathModel, masked: Mapping[str, Weights], images: Sequence[Tensor]) -> pd.DataFrame:
    """What masking each degradation's filters changes in the output of LR (1, 3, H, W), H and W at least 2: N rows.

    ``masked``: masked weights by degradation d. Columns, with SR the target's output, H(SR) its detail, and D_d the
    masked output minus SR: per d, ``d`` log RMS of D_d, ``d_coarse`` the same of D_d without its detail, and
    ``d_detail`` = <D_d, H(SR)> / <H(SR), H(SR)>, -1 where all detail goes, above 0 where some is added; then
    ``detail``, log RMS of H(SR). Natural logarithms of values in [0, 1], floored at 1e-6.
    """
    rows = []
    with torch.no_grad():
        for lr in images:
            sr = model.restore(model.target, lr)
            fine = detail(sr)
            row = {"detail": _log_rms(fine)}
            for name, weights in masked.items():
                difference = model.restore(weights, lr) - sr
                row[name] = _log_rms(difference)
                row[f"{name}_coarse"] = _log_rms(difference - detail(difference))
                row[f"{name}_detail"] = ((difference * fine).sum() / fine.square().sum().clamp(min=1e-12)).item()
            rows.append(row)
    kinds = ("", "_coarse", "_detail")
    return pd.DataFrame(rows, columns=[*(name + kind for kind in kinds for name in masked), "detail"])


def _log_rms(values: Tensor) -> float:
    return float(np.log(max(values.square().mean().sqrt().item(), 1e-6)))


def table_of(crops: Sequence[LabelledCrop], features: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Crops and each predictor's features of them (a row per crop, in their order) side by side.

    Returns:
        Columns set, class, image, and ``<predictor>/<feature>``.

    Raises:
        InputError: a predictor's features are of another number of crops.
    """
    for predictor, columns in features.items():
        if len(columns) != len(crops):
            raise InputError(
                f"{predictor}: features of {len(columns)} crops, but there are {len(crops)}: run what wrote them"
            )
    columns = {"set": [c.set for c in crops], "class": [c.label for c in crops], "image": [c.name for c in crops]}
    return pd.concat([pd.DataFrame(columns), *(f.add_prefix(f"{name}/") for name, f in features.items())], axis=1)
