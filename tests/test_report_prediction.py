"""Laws of naming a degradation: classes that can be told apart are, classes that cannot are not."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from faig.base.statistics import BootstrapParams
from faig.report.prediction import evaluate_predictors, posteriors, predictors

BOOTSTRAP = BootstrapParams(num_resamples=50, confidence=0.9)
CENTRES: dict[str, tuple[float, float]] = {
    "clean": (0.0, 0.0),
    "blur": (9.0, 0.0),
    "noise": (0.0, 9.0),
    "blur_noise": (9.0, 9.0),
}
CLASSES = tuple(CENTRES)


def labelled(num: int, seed: int, centres: dict[str, tuple[float, float]] = CENTRES) -> tuple[list[str], np.ndarray]:
    """``num`` labels of each class, and features around the classes' centres."""
    labels = [name for name in centres for _ in range(num)]
    noise = np.random.default_rng(seed).normal(size=(len(labels), 2))
    return labels, np.array([centres[name] for name in labels]) + noise


def predict(calibration: np.ndarray, labels: list[str], tests: np.ndarray, classes: Sequence[Any]) -> list[str]:
    """The most probable class of each test."""
    return [classes[place] for place in posteriors(calibration, labels, tests, classes).argmax(axis=1)]


def test_classes_that_can_be_told_apart_are():
    (labels, values), (truth, tests) = labelled(20, seed=0), labelled(20, seed=1)
    assert predict(values, labels, tests, CLASSES) == truth


def test_features_that_say_nothing_give_chance():
    centres = dict.fromkeys(CLASSES, (0.0, 0.0))
    (labels, values), (truth, tests) = labelled(100, 0, centres), labelled(100, 1, centres)
    right = np.mean(np.array(predict(values, labels, tests, CLASSES)) == np.array(truth))
    assert right == pytest.approx(0.25, abs=0.09)  # 4 standard deviations of 400 draws


def test_shuffled_labels_give_chance():
    (labels, values), (truth, tests) = labelled(100, 0), labelled(100, 1)
    rights = []
    for seed in range(
        30
    ):  # the classes' centres all but coincide, so that one permutation is right or wrong as a whole
        shuffled = np.random.default_rng(seed).permutation(labels).tolist()
        rights.append(np.mean(np.array(predict(values, shuffled, tests, CLASSES)) == np.array(truth)))
    assert np.mean(rights) == pytest.approx(0.25, abs=0.12)


def test_tests_do_not_influence_each_other():
    (labels, values), (_, tests) = labelled(20, 0), labelled(20, 1)
    together = predict(values, labels, tests, CLASSES)
    assert [predict(values, labels, tests[n : n + 1], CLASSES)[0] for n in range(0, 80, 7)] == together[::7]


def test_classes_that_are_not_asked_for_are_neither_learnt_nor_named():
    (labels, values), (_, tests) = labelled(20, 0), labelled(20, 1)
    three = CLASSES[:3]
    chosen = [n for n, name in enumerate(labels) if name in three]
    without = predict(values[chosen], [labels[n] for n in chosen], tests, three)
    assert predict(values, labels, tests, three) == without
    assert set(without) == set(three)


def test_how_often_a_class_was_seen_does_not_favour_it():
    centres = {"clean": (0.0, 0.0), "blur": (0.0, 0.0)}
    (few, few_values), (many, many_values) = labelled(20, 0, {"clean": (0, 0)}), labelled(400, 1, {"blur": (0, 0)})
    named = predict(np.concatenate([few_values, many_values]), few + many, labelled(200, 2, centres)[1], list(centres))
    assert 0.2 < np.mean([name == "clean" for name in named]) < 0.8


def test_a_class_without_calibration_crops_is_named():
    labels, values = labelled(5, 0, {"clean": (0.0, 0.0), "blur": (5.0, 5.0)})
    with pytest.raises(ValueError, match="no calibration crop of class noise"):
        predict(values, labels, values, ["clean", "blur", "noise"])


# The table and the numbers


def crops_of(num: int) -> pd.DataFrame:
    """``num`` calibration and ``num`` test crops of each class, in turn.

    Of two predictors ``good`` tells all classes apart, and ``blind_eye`` takes blur_noise for noise.
    """
    labels, values = labelled(2 * num, seed=3)
    table = pd.DataFrame({"set": ["calibration", "test"] * (len(labels) // 2), "class": labels})
    table["image"] = [f"image_{number}" for number in range(len(labels))]
    table[["good/blur", "good/noise"]] = table[["blind_eye/blur", "blind_eye/noise"]] = values
    table.loc[table["class"] == "blur_noise", "blind_eye/blur"] -= 9.0
    return table


def evaluated(table: pd.DataFrame, *direct: str) -> tuple[pd.DataFrame, dict[str, dict[str, Any]]]:
    return evaluate_predictors(table, ["blur", "noise"], CLASSES, BOOTSTRAP, direct)


def test_only_test_crops_are_named_each_by_every_predictor():
    table = crops_of(12)
    named, results = evaluated(table)
    assert predictors(table) == list(results) == ["good", "blind_eye"]
    tests = table[table["set"] == "test"].reset_index(drop=True)
    assert named[["class", "image"]].equals(tests[["class", "image"]])
    assert set(named["good"]) | set(named["blind_eye"]) == set(CLASSES)


def test_the_accuracies_are_those_of_the_named_classes_and_their_intervals_hold_them():
    named, results = evaluated(crops_of(12))
    for predictor, values in results.items():
        assert values["accuracy_all"] == (named[predictor] == named["class"]).mean()
        for name in ("accuracy_attributed", "accuracy_all"):
            assert 0 <= values[f"{name}_low"] <= values[name] <= values[f"{name}_high"] <= 1
    assert results["good"]["accuracy_attributed"] == results["good"]["accuracy_all"] == 1
    assert results["blind_eye"]["accuracy_attributed"] == 1  # blur_noise does not take part
    assert results["blind_eye"]["accuracy_all"] == pytest.approx(0.75, abs=0.15)


def test_the_classes_of_the_tests_are_not_used_to_name_them():
    table = crops_of(12)
    turned = dict(zip(CLASSES, CLASSES[1:] + CLASSES[:1], strict=True))
    wrong = table.assign(
        **{"class": table["class"].where(table["set"] == "calibration", table["class"].replace(turned))}
    )
    (named, _), (other, results) = evaluated(table), evaluated(wrong)
    assert named["good"].tolist() == other["good"].tolist()
    assert results["good"]["accuracy_all"] == 0


def test_probabilities_given_directly_are_taken_as_they_are():
    table = crops_of(6)[["set", "class", "image"]]
    certain = {f"cnn/{name}": np.where(table["class"] == name, 0.0, -9.0) for name in CLASSES}
    named, results = evaluated(table.assign(**certain), "cnn")
    assert results["cnn"]["accuracy_all"] == results["cnn"]["accuracy_attributed"] == 1
    assert results["cnn"]["auroc"]["noise"] == 1
    assert named["cnn"].tolist() == named["class"].tolist()


def test_the_area_under_the_curve_is_1_for_classes_told_apart_and_half_for_chance():
    _, results = evaluated(crops_of(12))
    assert results["good"]["auroc"]["blur"] == 1
    assert results["blind_eye"]["auroc"]["clean"] == 1
    assert 0.5 < results["blind_eye"]["auroc"]["noise"] < 1
    for values in results.values():
        for name in CLASSES:
            area = [values["auroc"][name + end] for end in ("_low", "", "_high")]
            assert area == sorted(area)
