"""Laws of crops and batches: one place for all degradations, one kind of image, and every image in one batch."""

import numpy as np
import pytest
import torch

from faig.base.errors import InputError
from faig.data.crops import Crop, CropParams, batches, choose_crops, cut, single
from faig.data.dead_leaves import PREFIX
from faig.data.degradation import area
from faig.data.pairs import Pair

SHAPES = {"brick": (48, 32), "coins": (24, 24), "moon": (32, 40), f"{PREFIX}000": (64, 64)}


def pair_of(name: str, degradation: str, shape: tuple[int, int], scale: int = 2) -> Pair:
    """LR: the area mean of a random HR image; of ``negative``, 255 minus that."""
    seed = [ord(letter) for letter in name]
    hr = np.random.default_rng(seed).integers(256, size=(*shape, 3), dtype=np.uint8)
    lr = area(hr, scale)
    return Pair(name, degradation, hr, 255 - lr if degradation == "negative" else lr)


@pytest.fixture
def pairs() -> list[Pair]:
    return [
        pair_of(name, degradation, shape) for degradation in ("clean", "negative") for name, shape in SHAPES.items()
    ]


def levels(batch: torch.Tensor) -> np.ndarray:
    """(1, 3, H, W) in [0, 1] -> uint8 (H, W, 3)."""
    return batch[0].mul(255).round().to(torch.uint8).permute(1, 2, 0).numpy()


def test_crops_of_all_degradations_show_one_place(pairs: list[Pair]):
    crops = choose_crops(pairs, CropParams(num=12, size=20), seed=0)
    clean, negative = (cut(pairs, name, crops, 20) for name in ("clean", "negative"))
    for (lr, hr), (inverse, same) in zip(clean, negative, strict=True):
        assert torch.equal(hr, same)
        np.testing.assert_array_equal(levels(lr), 255 - levels(inverse))


def test_a_crop_s_lr_is_its_degraded_hr(pairs: list[Pair]):
    for lr, hr in cut(pairs, "clean", choose_crops(pairs, CropParams(num=12, size=20), seed=0), 20):
        assert lr.shape == (1, 3, 10, 10)
        assert hr.shape == (1, 3, 20, 20)
        np.testing.assert_array_equal(area(levels(hr), 2), levels(lr))


def test_crops_are_taken_in_turn_from_photographs_that_are_large_enough(pairs: list[Pair]):
    crops = choose_crops(pairs, CropParams(num=8, size=32), seed=0)
    assert [crop.name for crop in crops] == ["brick", "moon"] * 4  # coins is too small, dead leaves are no photograph
    assert len({(crop.name, crop.y, crop.x) for crop in crops}) > 4


def test_crops_of_dead_leaves_are_of_dead_leaves_alone(pairs: list[Pair]):
    params = CropParams(num=3, size=32)
    assert {crop.name for crop in choose_crops(pairs, params, seed=0, dead_leaves=True)} == {f"{PREFIX}000"}
    photographs = [pair for pair in pairs if not pair.name.startswith(PREFIX)]
    assert choose_crops(photographs, params, seed=0, dead_leaves=True) == []
    with pytest.raises(InputError, match="no training dead-leaves image is as large as a crop of 66 HR pixels"):
        choose_crops(pairs, CropParams(num=1, size=66), seed=0, dead_leaves=True)


def test_crops_reach_the_edges_and_stay_inside(pairs: list[Pair]):
    crops = choose_crops(pairs, CropParams(num=400, size=28), seed=0)
    for name in ("brick", "moon"):
        height, width = SHAPES[name][0] // 2, SHAPES[name][1] // 2
        assert {crop.y for crop in crops if crop.name == name} == set(range(height - 14 + 1))
        assert {crop.x for crop in crops if crop.name == name} == set(range(width - 14 + 1))


def test_crops_depend_on_the_seed_alone(pairs: list[Pair]):
    params = CropParams(num=6, size=20)
    assert choose_crops(pairs, params, seed=3) == choose_crops(pairs[::-1], params, seed=3)
    assert choose_crops(pairs, params, seed=3) != choose_crops(pairs, params, seed=4)


def test_more_crops_begin_with_the_same_ones(pairs: list[Pair]):
    few, many = (choose_crops(pairs, CropParams(num=num, size=20), seed=0) for num in (3, 9))
    assert many[:3] == few


def test_no_photograph_is_large_enough(pairs: list[Pair]):
    with pytest.raises(InputError, match="no training photograph is as large as a crop of 64 HR pixels"):
        choose_crops(pairs, CropParams(num=1, size=64), seed=0)


def test_a_size_that_is_no_multiple_of_the_scale_is_refused(pairs: list[Pair]):
    with pytest.raises(InputError, match="21 HR pixels are no multiple of the scale 2"):
        choose_crops(pairs, CropParams(num=1, size=21), seed=0)


def test_a_crop_of_the_whole_image_is_the_image(pairs: list[Pair]):
    [(lr, hr)] = cut(pairs, "negative", [Crop("coins", 0, 0)], 24)
    [pair] = [pair for pair in pairs if pair.name == "coins" and pair.degradation == "negative"]
    np.testing.assert_array_equal(levels(hr), pair.hr)
    np.testing.assert_array_equal(levels(lr), pair.lr)


def test_batches_hold_every_image_of_the_degradation_once_and_one_size_each():
    shapes = [(16, 16), (16, 24), (24, 16)]
    pairs = [
        pair_of(f"{name}{number}", degradation, shape)
        for number, shape in enumerate(shapes)
        for name in "edcba"
        for degradation in ("clean", "negative")
    ]
    made = batches(pairs, "clean", batch_size=3)
    by_name = {pair.name: pair for pair in pairs if pair.degradation == "clean"}
    assert sorted(name for batch in made for name in batch.names) == sorted(by_name)
    assert [len(batch.names) for batch in made] == [3, 2] * 3
    for batch in made:
        assert list(batch.names) == sorted(batch.names)
        assert batch.scale == 2
        for number, name in enumerate(batch.names):
            lr, hr = single([batch], number)
            np.testing.assert_array_equal(levels(lr), by_name[name].lr)
            np.testing.assert_array_equal(levels(hr), by_name[name].hr)


def test_the_order_of_the_pairs_does_not_matter(pairs: list[Pair]):
    forth, back = batches(pairs, "clean"), batches(pairs[::-1], "clean")
    assert [batch.names for batch in forth] == [batch.names for batch in back]


def test_single_images_start_again_after_the_last(pairs: list[Pair]):
    made = batches([pair_of(name, "clean", (16, 16)) for name in "abc"], "clean", batch_size=2)
    assert torch.equal(single(made, 2)[0], made[1].lr)
    assert torch.equal(single(made, 4)[1], made[0].hr[1:2])


def test_a_degradation_without_images_is_named(pairs: list[Pair]):
    with pytest.raises(InputError, match="no image of degradation jpeg"):
        batches(pairs, "jpeg")
