"""Laws of the predictors: features by hand, classes that can be told apart are, classes that cannot are not."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from faig.attribution.engine import attribute_images
from faig.attribution.path import PathModel
from faig.attribution.quadrature import quadrature
from faig.base.compute import Compute
from faig.data.crops import CropParams
from faig.data.tensors import detail
from faig.experiments.masking import mask
from faig.experiments.prediction import (
    LabelledCrop,
    PredictParams,
    evaluate,
    overlap,
    posteriors,
    pseudo_scores,
    response,
)
from faig.networks.models import NetworkParams, NetworkSpec, build_network

CLASSES: tuple[str, ...] = ("clean", "blur", "noise", "blur_noise")
CENTRES: dict[str, tuple[float, float]] = {
    "clean": (0.0, 0.0),
    "blur": (9.0, 0.0),
    "noise": (0.0, 9.0),
    "blur_noise": (9.0, 9.0),
}


def weights_of(seed: int) -> dict[str, torch.Tensor]:
    spec = NetworkSpec(params=NetworkParams(name="srcnn", width=4, depth=1), scale=2)
    return dict(build_network(spec, seed).state_dict())


@pytest.fixture(scope="module")
def model() -> PathModel:
    spec = NetworkSpec(params=NetworkParams(name="srcnn", width=4, depth=1), scale=2)
    compute = Compute(device=torch.device("cpu"), precision="fp32")
    return PathModel(build_network(spec), weights_of(1), weights_of(2), compute)


@pytest.fixture(scope="module")
def images() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(1, 3, 6, size, generator=generator) for size in (6, 8, 10)]


def params_of(classes: tuple[str, ...] = CLASSES) -> PredictParams:
    calibration = CropParams(num=2, size=8)
    return PredictParams(
        target="blind", num_nodes=2, calibration=calibration, classes=classes, num_resamples=50, confidence=0.9
    )


def labelled(num: int, seed: int, centres: dict[str, tuple[float, float]] = CENTRES) -> tuple[list[str], np.ndarray]:
    """``num`` labels of each class, and features around the classes' centres."""
    labels = [name for name in centres for _ in range(num)]
    noise = np.random.default_rng(seed).normal(size=(len(labels), 2))
    return labels, np.array([centres[name] for name in labels]) + noise


def crops_of(num: int, centres: dict[str, tuple[float, float]] = CENTRES) -> tuple[list[LabelledCrop], np.ndarray]:
    """``num`` calibration and ``num`` test crops of each class, in turn, with features around the classes' centres."""
    labels, values = labelled(2 * num, seed=3, centres=centres)
    sets = ["calibration", "test"] * (len(labels) // 2)
    pixels = torch.zeros(1, 3, 2, 2)
    crops = [
        LabelledCrop(set_, name, f"image_{n}", pixels) for n, (set_, name) in enumerate(zip(sets, labels, strict=True))
    ]
    return crops, values


def predict(calibration: np.ndarray, labels: list[str], tests: np.ndarray, classes: Sequence[Any]) -> list[str]:
    """The most probable class of each test."""
    return [classes[place] for place in posteriors(calibration, labels, tests, classes).argmax(axis=1)]


# Features


def test_overlap_by_hand():
    scores = np.array([[9, 8, 7, 0, 0, 0], [0, 1, 2, 3, 4, 5], [1, 1, 1, 1, 1, 1]], dtype=float)
    found = {"blur": np.array([1, 0]), "noise": np.array([2, 3, 5])}
    # Top 2: {0, 1}, {5, 4}, {0, 1} by number; top 3: {0, 1, 2}, {5, 4, 3}, {0, 1, 2}.
    np.testing.assert_allclose(overlap(scores, found), [[1, 1 / 3], [0, 2 / 3], [1, 1 / 3]])


def test_overlap_lies_between_0_and_1_and_is_1_with_the_own_filters():
    scores = np.random.default_rng(0).normal(size=(5, 40))
    found = {str(n): np.argsort(-row)[: 4 + n] for n, row in enumerate(scores)}
    values = overlap(scores, found)
    assert values.to_numpy().min() >= 0
    assert values.to_numpy().max() <= 1
    np.testing.assert_array_equal(np.diag(values), 1)


def test_overlap_of_all_filters_is_1():
    assert overlap(np.random.default_rng(0).normal(size=(3, 7)), {"blur": np.arange(7)})["blur"].tolist() == [1, 1, 1]


def test_overlap_depends_on_the_order_of_the_scores_alone():
    scores = np.random.default_rng(1).normal(size=(4, 30))
    found = {"blur": np.arange(6)}
    pd.testing.assert_frame_equal(overlap(scores, found), overlap(np.exp(3 * scores), found))


def test_masking_nothing_gives_the_floor(model: PathModel, images: list[torch.Tensor]):
    values = response(model, {"blur": model.target}, images)
    np.testing.assert_array_equal(values["blur"], np.full(3, math.log(1e-6)))
    np.testing.assert_array_equal(values["blur_detail"], np.zeros(3))


def test_the_response_is_the_log_of_the_rms_change(model: PathModel, images: list[torch.Tensor]):
    last = [name for name in model.target if name.endswith(".bias")][-1]
    brighter = {**model.target, last: model.target[last] + 0.25}
    np.testing.assert_allclose(response(model, {"up": brighter}, images)["up"], math.log(0.25), rtol=1e-5)
    one_channel = {**model.target, last: model.target[last] + torch.tensor([0.0, 0.3, 0.0])}
    np.testing.assert_allclose(
        response(model, {"up": one_channel}, images)["up"], math.log(0.3 / math.sqrt(3)), rtol=1e-5
    )


def test_each_response_is_of_its_own_image_and_mask(model: PathModel, images: list[torch.Tensor]):
    masked = {
        name: mask(model.target, model.baseline, model.index, np.arange(n)) for name, n in (("blur", 3), ("noise", 40))
    }
    together = response(model, masked, images)
    assert list(together.columns) == [
        "blur",
        "noise",
        "blur_coarse",
        "noise_coarse",
        "blur_detail",
        "noise_detail",
        "detail",
    ]
    for row, lr in enumerate(images):
        for name, weights in masked.items():
            alone = response(model, {name: weights}, [lr])
            pd.testing.assert_frame_equal(together.loc[[row], alone.columns].reset_index(drop=True), alone)


def test_detail_is_the_image_minus_its_local_means():
    image = np.random.default_rng(0).random((7, 9))
    slow = np.empty_like(image)
    mirrored = np.pad(image, 2, mode="reflect")
    for y in range(7):
        for x in range(9):
            slow[y, x] = image[y, x] - mirrored[y : y + 5, x : x + 5].mean()
    fast = detail(torch.from_numpy(image)[None, None].expand(2, 3, -1, -1))
    np.testing.assert_allclose(fast.numpy(), np.broadcast_to(slow, (2, 3, 7, 9)), atol=1e-12)
    assert detail(torch.full((1, 3, 6, 6), 0.3)).abs().max() < 1e-6


def test_what_masking_does_to_the_detail(images: list[torch.Tensor], monkeypatch: pytest.MonkeyPatch, model: PathModel):
    factor = {"all": 0.0, "half": 0.5, "more": 1.5}
    base = next(iter(model.target.values()))

    def restore(weights: dict[str, Any], lr: torch.Tensor) -> torch.Tensor:
        return weights["factor"] * detail(lr) + (lr - detail(lr)) if "factor" in weights else lr

    monkeypatch.setattr(model, "restore", restore)
    values = response(model, {name: {"factor": base.new_tensor(value)} for name, value in factor.items()}, images)
    for name, share in (("all", -1.0), ("half", -0.5), ("more", 0.5)):
        np.testing.assert_allclose(values[f"{name}_detail"], share, rtol=1e-4)
    rms = [detail(lr).square().mean().sqrt().item() for lr in images]
    np.testing.assert_allclose(values["detail"], np.log(rms), rtol=1e-5)
    np.testing.assert_allclose(values["half"], np.log(np.array(rms) / 2), rtol=1e-4)


def test_pseudo_scores_are_faig_with_the_target_s_output_as_ground_truth(model: PathModel, images: list[torch.Tensor]):
    nodes = quadrature("gausslegendre", 3)
    with torch.no_grad():
        truth = [(lr, model.restore(model.target, lr)) for lr in images]
    together = pseudo_scores(model, images, nodes)
    assert together.shape == (3, model.index.num_filters)
    np.testing.assert_array_equal(together, attribute_images(model, truth, nodes).scores)
    np.testing.assert_array_equal(pseudo_scores(model, images[1:2], nodes)[0], together[1])


# Classes


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


# The table and the metrics


@pytest.fixture(scope="module")
def evaluated() -> tuple[list[LabelledCrop], np.ndarray, pd.DataFrame, dict[str, dict[str, Any]]]:
    """Two predictors: ``good`` tells all classes apart, ``blind_eye`` takes blur_noise for noise."""
    crops, values = crops_of(12)
    other = values.copy()
    other[[crop.label == "blur_noise" for crop in crops], 0] -= 9.0
    features = {
        name: pd.DataFrame(each, columns=["blur", "noise"]) for name, each in (("good", values), ("blind_eye", other))
    }
    return crops, values, *evaluate(crops, features, ["blur", "noise"], params_of())


def test_the_table_has_a_row_per_crop_with_its_features(evaluated: Any):
    crops, values, table, _ = evaluated
    features = ["good_blur", "good_noise", "good", "blind_eye_blur", "blind_eye_noise", "blind_eye"]
    assert list(table.columns) == ["set", "class", "image", *features]
    rows = table[["set", "class", "image"]].itertuples(index=False, name=None)
    assert list(rows) == [(crop.set, crop.label, crop.name) for crop in crops]
    np.testing.assert_array_equal(table[["good_blur", "good_noise"]].to_numpy(), values)


def test_features_of_other_crops_are_refused(evaluated: Any):
    crops, values, *_ = evaluated
    with pytest.raises(ValueError, match=rf"one: features of {len(crops) - 1} crops, but there are {len(crops)}"):
        evaluate(crops, {"one": pd.DataFrame(values[1:])}, ["blur", "noise"], params_of())


def test_only_test_crops_are_predicted(evaluated: Any):
    _, _, table, _ = evaluated
    calibration = table["set"] == "calibration"
    assert (table.loc[calibration, ["good", "blind_eye"]] == "").all(axis=None)
    assert table.loc[~calibration, ["good", "blind_eye"]].isin(CLASSES).all(axis=None)


def test_the_accuracies_are_those_of_the_table(evaluated: Any):
    _, _, table, results = evaluated
    tests = table[table["set"] == "test"]
    for predictor in ("good", "blind_eye"):
        right = (tests[predictor] == tests["class"]).mean()
        assert results[predictor]["accuracy_four"] == right
    assert results["good"]["accuracy_three"] == results["good"]["accuracy_four"] == 1
    assert results["blind_eye"]["accuracy_three"] == 1  # blur_noise does not take part
    assert results["blind_eye"]["accuracy_four"] == pytest.approx(0.75, abs=0.15)


def test_the_intervals_hold_the_accuracies(evaluated: Any):
    *_, results = evaluated
    for values in results.values():
        for name in ("accuracy_three", "accuracy_four"):
            assert 0 <= values[f"{name}_low"] <= values[name] <= values[f"{name}_high"] <= 1


def test_the_classes_of_the_tests_are_not_used_to_predict_them():
    crops, values = crops_of(12)
    turned = dict(zip(CLASSES, CLASSES[1:] + CLASSES[:1], strict=True))
    wrong = [
        LabelledCrop(crop.set, turned[crop.label] if crop.set == "test" else crop.label, crop.name, crop.lr)
        for crop in crops
    ]
    (table, _), (other, results) = (
        evaluate(each, {"good": pd.DataFrame(values)}, ["blur", "noise"], params_of()) for each in (crops, wrong)
    )
    assert table["good"].tolist() == other["good"].tolist()
    assert results["good"]["accuracy_four"] == 0


def test_probabilities_given_directly_are_taken_as_they_are():
    crops, _ = crops_of(6)
    certain = pd.DataFrame([[0.0 if name == crop.label else -9.0 for name in CLASSES] for crop in crops])
    certain.columns = list(CLASSES)
    table, results = evaluate(crops, {"cnn": certain}, ["blur", "noise"], params_of(), direct=["cnn"])
    assert results["cnn"]["accuracy_four"] == results["cnn"]["accuracy_three"] == results["cnn"]["auroc"]["noise"] == 1
    tests = table["set"] == "test"
    assert table["cnn"][tests].tolist() == table["class"][tests].tolist()


def test_the_area_under_the_curve_is_1_for_classes_told_apart_and_half_for_chance(evaluated: Any):
    *_, results = evaluated
    assert results["good"]["auroc"]["blur"] == 1
    assert results["blind_eye"]["auroc"]["clean"] == 1
    assert 0.5 < results["blind_eye"]["auroc"]["noise"] < 1
    for values in results.values():
        for name in CLASSES:
            area = [values["auroc"][name + end] for end in ("_low", "", "_high")]
            assert area == sorted(area)
