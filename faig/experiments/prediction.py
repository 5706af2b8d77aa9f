"""Which degradation does an image have? Told from the discovered filters alone (paper, section 5).

Two predictors, each giving features of every image x from the filters of the attributed degradations d:

* overlap: OS_d(x) = |top filters of x and discovered filters of d| / |discovered filters of d|. The image's own scores
  take the target's output as ground truth, since a new image has none.
* response: how masking the filters of d changes the target's output: by how much, how coarsely, and whether fine
  detail goes (as where they had sharpened) or comes (as where they had removed noise), beside how much detail there
  is. One forward pass per d and one more, no gradient.

A linear discriminant on these features, fitted on calibration crops that are never tested on, names the class.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import Tensor

from faig.attribution.engine import faig
from faig.attribution.path import PathModel, Weights
from faig.attribution.quadrature import Nodes
from faig.base.params import Count, Name, Unique, settings
from faig.base.ranking import discovered
from faig.base.statistics import auroc, bootstrap_interval, first_mean, percentile_interval
from faig.data.crops import CropParams
from faig.data.targets import CLEAN
from faig.data.tensors import detail


@settings
class PredictParams:
    """Settings of the predictor's stages."""

    target: Name
    num_nodes: Annotated[int, Field(ge=1, le=1000)]
    calibration: CropParams
    classes: Annotated[tuple[Name, ...], Field(min_length=2), Unique]
    num_resamples: Count
    level: Annotated[float, Field(gt=0, lt=1)]

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


def pseudo_scores(model: PathModel, images: Sequence[Tensor], nodes: Nodes) -> np.ndarray:
    """FAIG of images without ground truth, the target's output in its place: LR (1, 3, H, W) each -> (N, F)."""
    with torch.no_grad():
        pairs = [(lr, model.restore(model.target, lr).cpu()) for lr in images]
    return faig(model, pairs, nodes).scores


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


def posteriors(
    calibration: np.ndarray, calibration_classes: Sequence[str], tests: np.ndarray, classes: Sequence[str]
) -> np.ndarray:
    """Fit a linear discriminant on calibration features (N, D) of the given classes: probability of each class (M, K).

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
    order = [list(rule.classes_).index(name) for name in classes]
    return rule.predict_proba(tests)[:, order]


def evaluate(
    crops: Sequence[LabelledCrop],
    features: Mapping[str, pd.DataFrame],
    attributed: Sequence[str],
    params: PredictParams,
    direct: Collection[str] = (),
) -> tuple[pd.DataFrame, dict[str, dict[str, Any]]]:
    """Predict every test crop by every predictor.

    Args:
        features: by predictor, a row per crop, in the order of ``crops``.
        direct: predictors that need no discriminant: their features are log-probabilities, a column per class.

    Returns:
        A row per crop: set, class, image, the features as <predictor>_<column>, the class predicted among all
        classes as <predictor> (empty for calibration crops); and by predictor accuracy_three (over ``clean`` and the
        attributed degradations alone), accuracy_four (over all classes) and, over all classes, auroc.<class>, of its
        probability against all other classes; all with bootstrap intervals over images.

    Raises:
        ValueError: a predictor's features are of another number of crops.
    """
    for predictor, columns in features.items():
        if len(columns) != len(crops):
            raise ValueError(
                f"{predictor}: features of {len(columns)} crops, but there are {len(crops)}: run what wrote them"
            )
    table = pd.DataFrame(
        {"set": [c.set for c in crops], "class": [c.label for c in crops], "image": [c.name for c in crops]}
    )
    is_test, labels = np.array([c.set == "test" for c in crops]), np.array([c.label for c in crops])
    images = np.array([c.name for c in crops])
    tasks = {"accuracy_three": [CLEAN, *attributed], "accuracy_four": list(params.classes)}
    results: dict[str, dict[str, Any]] = {}
    for predictor, columns in features.items():
        table = pd.concat([table, columns.add_prefix(f"{predictor}_")], axis=1)
        results[predictor] = {}
        for task, classes in tasks.items():
            tested = is_test & np.isin(labels, classes)
            if predictor in direct:
                probabilities = columns.loc[tested, classes].to_numpy()
            else:
                values = columns.to_numpy()
                probabilities = posteriors(values[~is_test], labels[~is_test].tolist(), values[tested], classes)
            named = np.full(len(crops), "", dtype=object)
            named[tested] = np.array(classes, dtype=object)[probabilities.argmax(axis=1)]
            right = (named == labels)[tested].astype(float)
            results[predictor] |= _with_interval(task, right, images[tested], params)
            if classes == tasks["accuracy_four"]:
                table[predictor] = named
                results[predictor]["auroc"] = _auroc(probabilities, labels[tested], images[tested], params)
    return table, results


def _with_interval(name: str, right: np.ndarray, images: np.ndarray, params: PredictParams) -> dict[str, float]:
    """Accuracy over crops, with its interval over images: an image's degradations are resampled together."""
    _, which = np.unique(images, return_inverse=True)
    by_image = np.bincount(which, weights=right) / np.bincount(which)
    options = {"num_resamples": params.num_resamples, "level": params.level}
    low, high = bootstrap_interval(by_image, first_mean, **options, generator=np.random.default_rng(0))
    return {name: float(right.mean()), f"{name}_low": low, f"{name}_high": high}


def _auroc(
    probabilities: np.ndarray, labels: np.ndarray, images: np.ndarray, params: PredictParams
) -> dict[str, float]:
    """Of each class's probability (M, K) against all other classes, with its interval over images."""
    names, which = np.unique(images, return_inverse=True)
    share = np.full(len(names), 1 / len(names))
    counts = np.random.default_rng(0).multinomial(len(names), share, size=params.num_resamples)[:, which]
    results = {}
    for name, scores in zip(params.classes, probabilities.T, strict=True):
        low, high = percentile_interval(auroc(scores, labels == name, counts), level=params.level)
        value = auroc(scores, labels == name, np.ones((1, len(scores))))
        results |= {name: float(value[0]), f"{name}_low": low, f"{name}_high": high}
    return results
