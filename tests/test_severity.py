"""Laws of the severity study: levels change one value, and noise differs in its level alone."""

import numpy as np
import pytest

from faig.experiments.severity import LevelsParams, at_level, degraded, trained_level

LEVELS = {"operation": "gaussian_noise", "key": "sigma", "values": [0.0, 0.02, 0.05, 0.1, 0.15, 0.2]}
NOISE = ["downsample", {"gaussian_noise": {"sigma": 0.1}}]
BLUR = [{"gaussian_blur": {"kernel_size": 5, "sigma": 2.0}}, "downsample", {"jpeg": {"quality": 50}}]


def levels(**changes):
    return LevelsParams(**(LEVELS | changes))


def test_one_value_is_replaced_and_nothing_else():
    assert at_level("noise", NOISE, levels(), 0.05, scale=2) == ["downsample", {"gaussian_noise": {"sigma": 0.05}}]
    changed = at_level("blur", BLUR, levels(operation="gaussian_blur"), 3.0, scale=2)
    assert changed == [{"gaussian_blur": {"kernel_size": 5, "sigma": 3.0}}, *BLUR[1:]]
    assert BLUR[0] == {"gaussian_blur": {"kernel_size": 5, "sigma": 2.0}}


@pytest.mark.parametrize(
    ("operations", "change", "value", "message"),
    [
        (BLUR, {}, 0.1, "blur has no operation gaussian_noise with sigma"),
        (NOISE, {"key": "quality"}, 1.0, "blur has no operation gaussian_noise with quality"),
        (NOISE, {}, -1.0, r"sigma = -1\.0"),
    ],
)
def test_what_cannot_be_varied_is_refused(operations, change, value, message):
    with pytest.raises(ValueError, match=message):
        at_level("blur", operations, levels(**change), value, scale=2)


@pytest.mark.parametrize("values", [[0.1, 0.2], [0.1, 0.2, 0.3, 0.4, 0.6, 0.5], [0.1, 0.1, 0.2, 0.3, 0.4, 0.5]])
def test_there_are_six_rising_levels(values):
    with pytest.raises(ValueError, match="values"):
        levels(values=values)


def test_noise_is_the_same_at_all_levels_but_for_the_level():
    hr = np.full((64, 64, 3), 128, dtype=np.uint8)
    options = {"scale": 2, "downsampling": "area", "seed": 3}
    clean, low, high = (
        degraded(hr, "a", "noise", at_level("noise", NOISE, levels(), value, scale=2), **options).astype(float)
        for value in (0.0, 0.05, 0.1)
    )
    assert (clean == 128).all()
    assert (low - 128).std() / 255 == pytest.approx(0.05, rel=0.05)
    np.testing.assert_allclose(high - 128, 2 * (low - 128), atol=2)


def test_the_trained_level_is_the_degradation_s_own():
    assert trained_level(NOISE, levels()) == 0.1


def test_levels_go_without_downsampling_at_scale_1():
    hr = np.random.default_rng(0).integers(256, size=(8, 8, 3), dtype=np.uint8)
    operations = at_level("noise", NOISE[1:], levels(), 0.0, scale=1)
    np.testing.assert_array_equal(degraded(hr, "a", "noise", operations, scale=1, downsampling="area", seed=3), hr)
