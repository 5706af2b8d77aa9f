"""Laws of the training patches: HR and LR show one place the same way up; batch n depends on (seed, n) alone."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch

from faig.base.errors import InputError
from faig.base.processes import ALONE, Group
from faig.data.degradation import area
from faig.data.pairs import Pair
from faig.data.patches import PatchSampler


def random_pair(name: str, degradation: str, *, height: int = 24, width: int = 36, scale: int = 2) -> Pair:
    """LR is the area mean of a random HR image of the given size."""
    seed = [ord(letter) for letter in name]
    hr = np.random.default_rng(seed).integers(256, size=(height, width, 3), dtype=np.uint8)
    return Pair(name, degradation, hr, area(hr, scale))


def sampler_of(pairs, mixture=None, *, patch_size=12, batch_size=4, seed=0) -> PatchSampler:
    mixture = mixture or dict.fromkeys((pair.degradation for pair in pairs), 1.0)
    return PatchSampler(pairs, mixture, patch_size=patch_size, batch_size=batch_size, seed=seed)


def to_images(batch: torch.Tensor) -> np.ndarray:
    return batch.mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_lr_patch_is_the_degraded_hr_patch(scale: int):
    pairs = [random_pair(name, "clean", scale=scale) for name in "ab"]
    lr, hr = sampler_of(pairs, batch_size=64).batch(0)
    for small, large in zip(to_images(lr), to_images(hr), strict=True):
        np.testing.assert_array_equal(area(large, scale), small)


def test_all_eight_symmetries_occur_equally_and_keep_both_images_aligned():
    pair = random_pair("a", "clean", height=12, width=12)  # as large as the patch: symmetry is all that varies
    lr, hr = sampler_of([pair], batch_size=800).batch(0)
    counts = Counter(image.tobytes() for image in to_images(hr))
    mirrored = pair.hr[:, ::-1]
    expected = {np.rot90(image, turns).tobytes() for image in (pair.hr, mirrored) for turns in range(4)}
    assert set(counts) == expected
    assert len(expected) == 8
    assert min(counts.values()) > 60  # 100 each but for chance: 4 standard deviations
    for small, large in zip(to_images(lr), to_images(hr), strict=True):
        np.testing.assert_array_equal(area(large, 2), small)


def test_patches_reach_every_corner():
    pair = random_pair("a", "clean", height=16, width=20)
    hr = np.zeros_like(pair.hr)
    hr[:2, :2], hr[:2, -2:], hr[-2:, :2], hr[-2:, -2:] = 1, 2, 3, 4
    _, patches = sampler_of([Pair("a", "clean", hr, area(hr, 2))], batch_size=600).batch(0)
    assert set(np.unique(to_images(patches))) == {0, 1, 2, 3, 4}


def test_a_batch_is_float_rgb_between_0_and_1():
    lr, hr = sampler_of([random_pair("a", "clean")]).batch(0)
    assert lr.shape == (4, 3, 6, 6)
    assert hr.shape == (4, 3, 12, 12)
    assert lr.dtype == hr.dtype == torch.float32
    assert hr.min() >= 0
    assert 0.9 < hr.max() <= 1


def test_a_batch_depends_on_the_seed_and_its_number_alone():
    pairs = [random_pair(name, degradation) for name in "ab" for degradation in ("blur", "clean")]
    one, other = sampler_of(pairs), sampler_of(pairs, {"clean": 2.0, "blur": 2.0})
    forth = [one.batch(number) for number in range(4)]
    np.random.seed(1)
    torch.manual_seed(1)
    back = [other.batch(number) for number in reversed(range(4))][::-1]
    for first, second in zip(forth, back, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not torch.equal(forth[0][0], forth[1][0])
    assert not torch.equal(forth[0][0], sampler_of(pairs, seed=1).batch(0)[0])


def test_degradations_occur_by_their_weight_and_images_equally():
    """Not by how many images a degradation has."""
    levels = {("blur", "a"): 10, ("noise", "a"): 20, ("noise", "b"): 30}
    pairs = []
    for (degradation, name), level in levels.items():
        hr = np.full((16, 16, 3), level, dtype=np.uint8)
        pairs.append(Pair(name, degradation, hr, area(hr, 2)))
    pairs.append(Pair("a", "unused", pairs[0].hr + 100, pairs[0].lr + 100))
    lr, _ = sampler_of(pairs, {"noise": 3.0, "blur": 1.0}, batch_size=4000).batch(0)
    counts = Counter(to_images(lr)[:, 0, 0, 0].tolist())
    assert set(counts) == {10, 20, 30}
    assert abs(counts[10] - 1000) <= 1
    assert counts[20] / 4000 == pytest.approx(0.375, abs=0.03)


def test_every_batch_holds_each_degradation_by_its_weight_but_for_one_patch_and_by_chance_in_the_mean():
    pairs = []
    for level, degradation in enumerate(("blur", "clean", "noise")):
        hr = np.full((16, 16, 3), level, dtype=np.uint8)
        pairs.append(Pair("a", degradation, hr, area(hr, 2)))
    mixture = {"noise": 0.7, "blur": 2.0, "clean": 2.5}
    sampler = sampler_of(pairs, mixture, batch_size=5)
    counts = [np.bincount(to_images(sampler.batch(n)[0])[:, 0, 0, 0], minlength=3) for n in range(2000)]
    expected = 5 * np.array([2.0, 2.5, 0.7]) / 5.2
    assert np.abs(np.array(counts) - expected).max() <= 1
    np.testing.assert_allclose(np.mean(counts, axis=0), expected, atol=0.05)  # over 4 standard deviations


def test_a_patch_as_large_as_the_image_is_the_image():
    pair = random_pair("a", "clean", height=12, width=12)
    _, hr = sampler_of([pair], batch_size=1).batch(0)
    assert sorted(to_images(hr).ravel()) == sorted(pair.hr.ravel())


def test_an_image_smaller_than_the_patch_is_named():
    pairs = [random_pair("large", "clean"), random_pair("little", "clean", width=10)]
    with pytest.raises(InputError, match="little is smaller than patch_size = 12"):
        sampler_of(pairs)


def test_a_patch_that_is_no_multiple_of_the_scale_is_refused():
    with pytest.raises(InputError, match="patch_size = 13 must be a multiple of the scale 2"):
        sampler_of([random_pair("a", "clean")], patch_size=13)


def test_a_degradation_without_pairs_is_named():
    with pytest.raises(InputError, match="no training pair of degradation jpeg"):
        sampler_of([random_pair("a", "clean")], {"clean": 1.0, "jpeg": 1.0})


def test_labels_name_the_degradation_of_each_patch():
    names = ["blur", "clean", "noise"]
    flat = {name: np.full((24, 24, 3), 10 * place, dtype=np.uint8) for place, name in enumerate(names)}
    pairs = [Pair("a", name, hr, area(hr, 2)) for name, hr in flat.items()]
    sampler = sampler_of(pairs, {"noise": 1.0, "blur": 2.0, "clean": 1.0}, batch_size=7)
    for number in range(5):
        lr, _ = sampler.batch(number)
        assert sampler.labels(number).tolist() == [image[0, 0, 0] // 10 for image in to_images(lr)]


def test_processes_share_each_batch_out_equally():
    pairs = [random_pair(name, degradation) for name in "ab" for degradation in ("blur", "clean")]
    options: dict[str, Any] = {"patch_size": 12, "batch_size": 6, "seed": 0}
    whole, *parts = (
        PatchSampler(pairs, {"blur": 1.0, "clean": 2.0}, **options, group=group)
        for group in (ALONE, *(Group(rank, 2, torch.device("cpu")) for rank in range(2)))
    )
    for rank, part in enumerate(parts):
        for own, all_of_it in zip((*part.batch(3), part.labels(3)), (*whole.batch(3), whole.labels(3)), strict=True):
            assert torch.equal(own, all_of_it[rank::2])
    with pytest.raises(InputError, match="batch_size = 5 must be a multiple of the 2 processes"):
        PatchSampler(pairs, {"blur": 1.0}, **options | {"batch_size": 5}, group=Group(0, 2, torch.device("cpu")))
