"""Which degradation does an image have? Told from the discovered filters alone (paper, section 5).

Two predictors, each giving one feature per attributed degradation d and image x:

* overlap: OS_d(x) = |top filters of x and discovered filters of d| / |discovered filters of d|. The image's own scores
  take the target's output as ground truth, since a new image has none.
* response: log of the RMS difference between the target's output and the output with the filters of d masked. Two
  forward passes, no gradient.

A linear discriminant on these features, fitted on calibration crops that are never tested on, names the class.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import Tensor

from faig.attribution import Nodes, PathModel, Weights, faig
from faig.crops import CropParams
from faig.filters import discovered
from faig.params import Count, Name, settings
from faig.statistics import bootstrap_interval, first_mean
from faig.targets import CLEAN


@settings
class PredictParams:
    """Settings of the predictor's stages."""

    target: Name
    num_nodes: Annotated[int, Field(ge=1, le=1000)]
    calibration: CropParams
    classes: Annotated[tuple[Name, ...], Field(min_length=2)]
    num_resamples: Count
    level: Annotated[float, Field(gt=0, lt=1)]


@dataclass(frozen=True)
class LabelledCrop:
    """LR crop (1, 3, H, W) of a known class; ``set`` is ``calibration`` or ``test``."""

    set: str
    label: str
    name: str
    lr: Tensor


def pseudo_scores(model: PathModel, images: Sequence[Tensor], nodes: Nodes) -> np.ndarray:
    """FAIG of images without ground truth, the target's output in its place: LR (1, 3, H, W) each -> (N, F)."""
    with torch.no_grad():
        pairs = [(lr, model.restore(model.target, lr).cpu()) for lr in images]
    return faig(model, pairs, nodes).scores


def overlap(scores: np.ndarray, found: Mapping[str, np.ndarray]) -> np.ndarray:
    """OS_d of each image: own scores (N, F) and discovered filters by degradation -> (N, number of degradations)."""
    features = np.empty((len(scores), len(found)))
    for row, own in enumerate(scores):
        order = discovered(own, 1.0)
        for column, filters in enumerate(found.values()):
            features[row, column] = len(np.intersect1d(order[: len(filters)], filters)) / len(filters)
    return features


def response(model: PathModel, masked: Mapping[str, Weights], images: Sequence[Tensor]) -> np.ndarray:
    """Log RMS change of the output when each degradation's filters are masked: LR (1, 3, H, W) each -> (N, D).

    ``masked``: masked weights by degradation. Natural logarithm; outputs in [0, 1]; floored at 1e-6.
    """
    features = np.empty((len(images), len(masked)))
    with torch.no_grad():
        for row, lr in enumerate(images):
            sr = model.restore(model.target, lr)
            for column, weights in enumerate(masked.values()):
                difference = (model.restore(weights, lr) - sr).square().mean().sqrt().item()
                features[row, column] = np.log(max(difference, 1e-6))
    return features


def predict(
    calibration: np.ndarray, calibration_classes: Sequence[str], tests: np.ndarray, classes: Sequence[str]
) -> list[str]:
    """Fit a linear discriminant on calibration features (N, D) of the given classes, and name the class of each test.

    Raises:
        ValueError: a class has no calibration crop.
    """
    known = np.array(calibration_classes)
    for name in classes:
        if name not in known:
            raise ValueError(f"no calibration crop of class {name}")
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis  # slow to import; few stages come here

    chosen = np.isin(known, list(classes))
    rule = LinearDiscriminantAnalysis(priors=np.full(len(classes), 1 / len(classes)))
    rule.fit(calibration[chosen], known[chosen])
    return [str(name) for name in rule.predict(tests)]


def evaluate(
    crops: Sequence[LabelledCrop],
    features: Mapping[str, np.ndarray],
    attributed: Sequence[str],
    params: PredictParams,
) -> tuple[pd.DataFrame, dict[str, dict[str, Any]]]:
    """Predict every test crop by every predictor.

    Args:
        features: by predictor, (N, number of attributed degradations), in the order of ``crops``.

    Returns:
        A row per crop: set, class, image, the features as <predictor>_<degradation>, the class predicted among all
        classes as <predictor> (empty for calibration crops); and by predictor accuracy_three (over ``clean`` and the
        attributed degradations alone), accuracy_four (over all classes), both with bootstrap intervals.
    """
    table = pd.DataFrame(
        {"set": [c.set for c in crops], "class": [c.label for c in crops], "image": [c.name for c in crops]}
    )
    is_test, labels = np.array([c.set == "test" for c in crops]), np.array([c.label for c in crops])
    images = np.array([c.name for c in crops])
    tasks = {"accuracy_three": [CLEAN, *attributed], "accuracy_four": list(params.classes)}
    results: dict[str, dict[str, Any]] = {}
    for predictor, values in features.items():
        for column, name in enumerate(attributed):
            table[f"{predictor}_{name}"] = values[:, column]
        results[predictor] = {}
        for task, classes in tasks.items():
            tested = is_test & np.isin(labels, classes)
            named = np.full(len(crops), "", dtype=object)
            named[tested] = predict(values[~is_test], labels[~is_test].tolist(), values[tested], classes)
            right = (named == labels)[tested].astype(float)
            results[predictor] |= _with_interval(task, right, images[tested], params)
            table[predictor] = named  # of the last task, all classes, in the end
    return table, results


def _with_interval(name: str, right: np.ndarray, images: np.ndarray, params: PredictParams) -> dict[str, float]:
    """Accuracy over crops, with its interval over images: an image's degradations are resampled together."""
    _, which = np.unique(images, return_inverse=True)
    by_image = np.bincount(which, weights=right) / np.bincount(which)
    options = {"num_resamples": params.num_resamples, "level": params.level}
    low, high = bootstrap_interval(by_image, first_mean, **options, generator=np.random.default_rng(0))
    return {name: float(right.mean()), f"{name}_low": low, f"{name}_high": high}
