"""Laws of the predictors' features: overlap and response by hand, and one table of all of them."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from faig.attribution.engine import attribute_images
from faig.attribution.path import PathModel
from faig.attribution.quadrature import quadrature
from faig.data.tensors import detail
from faig.experiments.prediction import LabelledCrop, attribute_alone, overlap, response, table_of


@pytest.fixture
def images(images: list[tuple[torch.Tensor, torch.Tensor]]) -> list[torch.Tensor]:
    """LR images alone, one of them not square."""
    return [lr[..., : 8 - 2 * (number == 1)] for number, (lr, _) in enumerate(images)]


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
    masked = {name: model.masked(np.arange(n)) for name, n in (("blur", 3), ("noise", 40))}
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


def test_an_image_alone_is_attributed_with_the_target_s_output_as_ground_truth(
    model: PathModel, images: list[torch.Tensor]
):
    nodes = quadrature("gausslegendre", 3)
    with torch.no_grad():
        truth = [(lr, model.restore(model.target, lr)) for lr in images]
    together = attribute_alone(model, images, nodes).scores
    assert together.shape == (3, model.index.num_filters)
    np.testing.assert_array_equal(together, attribute_images(model, truth, nodes).scores)
    np.testing.assert_array_equal(attribute_alone(model, images[1:2], nodes).scores[0], together[1])


def test_the_table_has_a_row_per_crop_with_every_predictor_s_features():
    pixels = torch.zeros(1, 3, 2, 2)
    crops = [LabelledCrop("calibration", "blur", "a", pixels), LabelledCrop("test", "clean", "b", pixels)]
    one, two = pd.DataFrame({"x": [1.0, 2.0], "y": [3.0, 4.0]}), pd.DataFrame({"x": [5.0, 6.0]})
    table = table_of(crops, {"one": one, "two": two})
    assert list(table.columns) == ["set", "class", "image", "one/x", "one/y", "two/x"]
    assert table.to_numpy().tolist() == [["calibration", "blur", "a", 1, 3, 5], ["test", "clean", "b", 2, 4, 6]]
    with pytest.raises(ValueError, match=r"two: features of 1 crops, but there are 2"):
        table_of(crops, {"one": one, "two": two.head(1)})
