"""How often each predictor names an image's degradation, from features of :mod:`faig.experiments.prediction`.

A linear discriminant on the features, fitted on calibration crops that are never tested on, names the class.
"""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd

from faig.base.statistics import BootstrapParams, auroc, bootstrap_means, with_interval
from faig.data.targets import CLEAN

SEPARATOR = "/"
"""Between a predictor's name and its feature's, in the names of a table's columns."""


def evaluate_predictors(
    table: pd.DataFrame,
    attributed: Sequence[str],
    classes: Sequence[str],
    bootstrap: BootstrapParams,
    direct: Collection[str] = (),
) -> tuple[pd.DataFrame, dict[str, dict[str, Any]]]:
    """Name the class of every test crop by every predictor.

    Args:
        table: a row per crop: columns set (``calibration`` or ``test``), class, image, and ``<predictor>/<feature>``.
        attributed: the degradations whose filters the predictors rest on.
        classes: all classes.
        direct: predictors that need no discriminant: their features are log-probabilities, one per class.

    Returns:
        A row per test crop: class, image, and the class that each predictor names among all classes; and by predictor
        ``accuracy_attributed`` (over ``clean`` and the attributed degradations alone), ``accuracy_all`` (over all
        classes), and ``auroc.<class>`` of its probability against all other classes; all with intervals over images.
    """
    features = {name: _features(table, name) for name in predictors(table)}
    is_test = (table["set"] == "test").to_numpy()
    labels, images = table["class"].to_numpy(str), table["image"].to_numpy(str)
    named = table.loc[is_test, ["class", "image"]].reset_index(drop=True)
    tasks = {"accuracy_attributed": [CLEAN, *attributed], "accuracy_all": list(classes)}
    results: dict[str, dict[str, Any]] = {}
    for predictor, columns in features.items():
        results[predictor] = {}
        for task, among in tasks.items():
            tested = is_test & np.isin(labels, among)
            if predictor in direct:
                probabilities = columns.loc[tested, among].to_numpy()
            else:
                values = columns.to_numpy()
                probabilities = posteriors(values[~is_test], labels[~is_test].tolist(), values[tested], among)
            names = np.array(among, dtype=object)[probabilities.argmax(axis=1)]
            right = (names == labels[tested]).astype(float)
            results[predictor] |= _accuracy(task, right, images[tested], bootstrap)
            if task == "accuracy_all":
                named[predictor] = names
                results[predictor]["auroc"] = _auroc(probabilities, labels[tested], images[tested], classes, bootstrap)
    return named, results


def predictors(table: pd.DataFrame) -> list[str]:
    """Names of the predictors that a table has features of."""
    return list(dict.fromkeys(name.split(SEPARATOR)[0] for name in table if SEPARATOR in name))


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
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis  # slow to import

    chosen = np.isin(known, list(classes))
    rule = LinearDiscriminantAnalysis(priors=np.full(len(classes), 1 / len(classes)))
    rule.fit(calibration[chosen], known[chosen])
    order = [list(rule.classes_).index(name) for name in classes]
    return rule.predict_proba(tests)[:, order]


def _features(table: pd.DataFrame, predictor: str) -> pd.DataFrame:
    prefix = f"{predictor}{SEPARATOR}"
    return pd.DataFrame({name.removeprefix(prefix): table[name] for name in table if name.startswith(prefix)})


def _accuracy(name: str, right: np.ndarray, images: np.ndarray, bootstrap: BootstrapParams) -> dict[str, float]:
    """Accuracy over crops, with its interval over images: an image's degradations are resampled together."""
    _, which = np.unique(images, return_inverse=True)
    by_image = np.bincount(which, weights=right) / np.bincount(which)
    generator = np.random.default_rng(0)
    samples = bootstrap_means(by_image, num_resamples=bootstrap.num_resamples, generator=generator)[:, 0]
    return with_interval(name, float(right.mean()), samples, bootstrap.confidence)


def _auroc(
    probabilities: np.ndarray,
    labels: np.ndarray,
    images: np.ndarray,
    classes: Sequence[str],
    bootstrap: BootstrapParams,
) -> dict[str, float]:
    """AUROC of each class's probability (M, K) against all other classes, with its interval over images."""
    names, which = np.unique(images, return_inverse=True)
    share = np.full(len(names), 1 / len(names))
    counts = np.random.default_rng(0).multinomial(len(names), share, size=bootstrap.num_resamples)[:, which]
    results = {}
    for name, scores in zip(classes, probabilities.T, strict=True):
        value = float(auroc(scores, labels == name, np.ones((1, len(scores))))[0])
        results |= with_interval(name, value, auroc(scores, labels == name, counts), bootstrap.confidence)
    return results
