"""Laws of sinc filters, resizing, and of operations whose kind and strength are drawn anew for each image."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from scipy.special import j1

from faig.base.params import read_params
from faig.data.degradation import degrade, downsample, image_generator, parse_operations
from faig.data.kernels import gaussian_kernel, generalized_kernel, plateau_kernel, sinc_kernel
from faig.data.operations import Interpolation, Jpeg, Resize, Sinc, resample, to_8bit
from faig.data.random_operations import (
    LUMA,
    RandomBlur,
    RandomJpeg,
    RandomNoise,
    RandomResize,
    RandomSinc,
    draw_kind,
    draw_shape,
    draw_size,
)

REAL = read_params(ROOT / "presets/real.yaml")["degradations"]["real"]
INTERPOLATIONS: tuple[Interpolation, ...] = ("area", "bilinear", "bicubic")
NUM_DRAWS = 2000
TOLERANCE = 4 * (0.25 / NUM_DRAWS) ** 0.5
"""Four standard deviations of a share, at most."""
BLUR: dict[str, Any] = {
    "probability": 1.0,
    "kernel_size": (7, 7),
    "sigma": (1.0, 1.0),
    "generalized_shape": (3.0, 3.0),
    "plateau_shape": (2.0, 2.0),
    "cutoff": (0.5, 0.5),
}
NOISE: dict[str, Any] = {"probability": 1.0, "gray": 0.0, "sigma": (0.1, 0.1), "poisson_scale": (2.0, 2.0)}


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def noise_image(*shape: int) -> np.ndarray:
    return rng(0).random((*shape, 3))


def lr_of(operations: list[Any], hr: np.ndarray, *, scale: int = 2, name: str = "a") -> np.ndarray:
    parsed = parse_operations("new", operations, scale=scale)
    return degrade(hr, parsed, scale=scale, downsampling="bicubic", generator=image_generator(0, "new", name))


# Kernels


@pytest.mark.parametrize("size", [1, 7, 21, 63])
@pytest.mark.parametrize("cutoff", [0.05, 1 / 3, 1.0])
def test_the_sinc_kernel_is_the_ideal_low_pass_filter(size: int, cutoff: float):
    """omega J1(omega r) / (2 pi r), omega^2 / (4 pi) at its centre."""
    radius, omega = size // 2, np.pi * cutoff
    r = np.hypot(*np.mgrid[-radius : radius + 1, -radius : radius + 1])
    r[radius, radius] = 1
    expected = omega * j1(omega * r) / (2 * np.pi * r)
    expected[radius, radius] = omega**2 / (4 * np.pi)
    kernel = sinc_kernel(size, cutoff)
    np.testing.assert_allclose(kernel, expected / expected.sum(), atol=1e-12)
    assert kernel.sum() == pytest.approx(1, abs=1e-12)
    for same in (kernel[::-1], kernel[:, ::-1], kernel.T):
        np.testing.assert_allclose(kernel, same, atol=1e-15)


def test_a_sinc_filter_passes_waves_below_its_cutoff_and_stops_those_above():
    for share, expected in ((0.2, 1.0), (0.35, 1.0), (0.65, 0.0), (0.9, 0.0)):
        wave = np.broadcast_to(np.cos(np.pi * share * np.arange(96))[:, None, None], (96, 96, 3))
        filtered = Sinc(kernel_size=41, cutoff=0.5)(wave, rng())[24:72, 24:72]
        assert (filtered * wave[24:72, 24:72]).mean() / (wave[24:72, 24:72] ** 2).mean() == pytest.approx(
            expected, abs=0.1
        )


def test_a_large_cutoff_changes_a_smooth_image_little_and_a_small_one_much():
    y, x = np.mgrid[:48, :48] / 8
    image = np.stack([0.5 + 0.3 * np.sin(x + channel * y) for channel in range(3)], axis=2)
    errors = [
        np.abs(Sinc(kernel_size=21, cutoff=cutoff)(image, rng()) - image)[12:-12, 12:-12].max() for cutoff in (1, 0.02)
    ]
    assert errors[0] < 0.01 < 0.1 < errors[1]


def test_shape_1_is_the_gaussian_and_more_is_flatter():
    same = generalized_kernel(9, 2, 1, 30, 1.0)
    np.testing.assert_allclose(same, gaussian_kernel(9, 2, 1, 30), atol=1e-15)
    kernels = [generalized_kernel(9, 2, 2, 0, shape) for shape in (0.5, 1, 3)]
    ratios = [kernel[4, 5] / kernel[4, 4] for kernel in kernels]
    assert ratios[0] < ratios[1] < ratios[2]
    plateau = plateau_kernel(9, 2, 2, 0, 2.0)
    np.testing.assert_allclose(plateau[4] / plateau[4, 4], [1 / (1 + (x / 2) ** 4) for x in range(-4, 5)], atol=1e-12)


@pytest.mark.parametrize("kernel", [generalized_kernel, plateau_kernel])
@pytest.mark.parametrize("sigma", [0.0, 0.2, 30.0])
@pytest.mark.parametrize("shape", [0.01, 1.0, 20.0])
def test_kernels_of_any_shape_sum_to_1_and_are_centred(kernel: Callable[..., np.ndarray], sigma: float, shape: float):
    drawn = kernel(21, sigma, 2.0, 40, shape)
    assert drawn.sum() == pytest.approx(1, abs=1e-12)
    assert drawn.min() >= 0
    np.testing.assert_allclose(drawn, drawn[::-1, ::-1], atol=1e-12)


# Resizing


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_resizing_by_1_is_the_identity(interpolation: Interpolation):
    image = noise_image(10, 13)
    assert Resize(factor=1, interpolation=interpolation).target((10, 13), (5, 6), rng()) == ((10, 13), interpolation)
    np.testing.assert_array_equal(resample(image, (10, 13), interpolation), image)
    hr = (255 * noise_image(8, 12)).astype(np.uint8)
    resize = {"resize": {"factor": 1, "interpolation": interpolation}}
    np.testing.assert_array_equal(lr_of([resize, "downsample"], hr), downsample(hr, 2, "bicubic"))
    np.testing.assert_array_equal(lr_of([resize], hr, scale=1), hr)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("size", [(5, 7), (20, 30), (1, 1), (9, 30)])
def test_a_flat_image_stays_flat_and_a_ramp_is_not_shifted(interpolation: Interpolation, size: tuple[int, int]):
    flat = np.broadcast_to([0.1, 0.5, 0.9], (10, 14, 3)).copy()
    np.testing.assert_allclose(resample(flat, size, interpolation), np.broadcast_to(flat[0, 0], (*size, 3)), atol=1e-12)
    ramp = np.broadcast_to(np.arange(10.0)[:, None, None], (10, 14, 3)).copy()
    assert resample(ramp, size, interpolation).mean() == pytest.approx(4.5, abs=0.5 if size == (1, 1) else 0.05)


def test_area_averages_whole_blocks():
    image = noise_image(8, 12)
    expected = image.reshape(4, 2, 4, 3, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(resample(image, (4, 4), "area"), expected, atol=1e-12)


@pytest.mark.parametrize("factor", [0.01, 0.3, 0.5, 0.7, 1.9, 3.7])
@pytest.mark.parametrize("scale", [1, 2, 3])
def test_the_lr_image_has_its_size_whatever_the_image_had_before(factor: float, scale: int):
    hr = (255 * noise_image(24, 36)).astype(np.uint8)
    resize = {"resize": {"factor": factor, "interpolation": "bilinear"}}
    for order in ([resize, "downsample"], ["downsample", resize]) if scale > 1 else ([resize],):
        assert lr_of(order, hr, scale=scale).shape == (24 // scale, 36 // scale, 3)


def test_downsample_leaves_an_image_of_the_lr_size_alone():
    hr = (255 * noise_image(12, 16)).astype(np.uint8)
    once = [{"resize": {"factor": 0.5, "interpolation": "area"}}]
    np.testing.assert_array_equal(lr_of([*once, "downsample"], hr), to_8bit(resample(hr / 255, (6, 8), "area")))


def test_operations_after_resizing_find_the_other_size():
    """Blur of one strength spreads twice as far on an image of half the size."""
    hr = np.zeros((64, 64, 3), np.uint8)
    hr[31:33, 31:33] = 255
    half = {"resize": {"factor": 0.5, "interpolation": "area"}}
    blur = {"gaussian_blur": {"kernel_size": 21, "sigma": 2.0}}
    before, after = (lr_of([*order, "downsample"], hr)[:, :, 0] for order in ([blur, half], [half, blur]))
    assert (after > 0).sum() > 2 * (before > 0).sum()


def test_an_image_may_not_grow_without_bounds():
    larger = {"resize": {"factor": 3.0, "interpolation": "bilinear"}}
    with pytest.raises(ValueError, match="16 x 8 pixels 144 x 72 pixels large: more than 4 times is refused"):
        lr_of([larger, larger, "downsample"], np.zeros((8, 16, 3), np.uint8))


# What is drawn


def test_kinds_occur_with_their_probabilities():
    shares, generator = {"a": 0.6, "b": 0.3, "c": 0.1, "d": 0.0}, rng()
    counts = Counter(draw_kind(shares, generator) for _ in range(NUM_DRAWS))
    for kind, share in shares.items():
        assert counts[kind] / NUM_DRAWS == pytest.approx(share, abs=TOLERANCE)


def test_ranges_are_kept_to_and_reached():
    generator = rng()
    sizes = Counter(draw_size((7, 13), generator) for _ in range(NUM_DRAWS))
    assert set(sizes) == {7, 9, 11, 13}
    assert max(abs(count / NUM_DRAWS - 0.25) for count in sizes.values()) < TOLERANCE
    shapes = np.array([draw_shape((0.5, 4.0), generator) for _ in range(NUM_DRAWS)])
    assert 0.5 <= shapes.min() < 0.55 < 3.9 < shapes.max() <= 4
    assert (shapes < 1).mean() == pytest.approx(0.5, abs=TOLERANCE)
    assert [draw_shape((2.0, 2.0), generator), draw_shape((0.5, 0.5), generator)] == [2.0, 0.5]
    assert (np.array([draw_shape((1.0, 2.0), generator) for _ in range(NUM_DRAWS)]) == 1).mean() == pytest.approx(
        0.5, abs=TOLERANCE
    )


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("isotropic", gaussian_kernel(7, 1, 1, 0)),
        ("generalized_isotropic", generalized_kernel(7, 1, 1, 0, 3)),
        ("plateau_isotropic", plateau_kernel(7, 1, 1, 0, 2)),
        ("anisotropic", gaussian_kernel(7, 1, 1, 0)),  # whose sigmas are equal here
        ("generalized_anisotropic", generalized_kernel(7, 1, 1, 0, 3)),
        ("plateau_anisotropic", plateau_kernel(7, 1, 1, 0, 2)),
        ("sinc", sinc_kernel(7, 0.5)),
    ],
)
def test_each_kind_of_blur_has_its_kernel(kind: Any, expected: np.ndarray):
    blur = RandomBlur(kinds={kind: 1.0}, **BLUR)
    np.testing.assert_allclose(blur.kernel(rng()), expected, atol=1e-12)
    impulse = np.zeros((15, 15, 3))
    impulse[7, 7] = 1
    np.testing.assert_allclose(blur(impulse, rng())[4:11, 4:11, 1], expected, atol=1e-12)


def test_kernels_that_are_not_round_point_anywhere():
    blur = RandomBlur(kinds={"anisotropic": 1.0}, **dict(BLUR, sigma=(0.5, 3.0)))
    generator, angles = rng(), []
    for _ in range(200):
        kernel = blur.kernel(generator)
        y, x = np.mgrid[3:-4:-1, -3:4]
        angles.append(np.arctan2(2 * (kernel * x * y).sum(), (kernel * (x * x - y * y)).sum()))  # twice the angle
    assert abs(np.mean(np.exp(1j * np.array(angles)))) < 0.25


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_probability_is_that_of_doing_anything(probability: float):
    image = noise_image(4, 4)
    for operation in (
        RandomBlur(kinds={"isotropic": 1.0}, **dict(BLUR, probability=probability)),
        RandomNoise(kinds={"gaussian": 1.0}, **dict(NOISE, probability=probability)),
        RandomSinc(kernel_size=(7, 7), cutoff=(0.3, 0.3), probability=probability),
        RandomJpeg(quality=(20, 20), probability=probability),
    ):
        generator = rng()
        changed = [(operation(image, generator) != image).any() for _ in range(400)]
        assert np.mean(changed) == pytest.approx(probability, abs=4 * (probability * (1 - probability) / 400) ** 0.5)


def test_sizes_are_drawn_by_their_probabilities_from_their_ranges():
    resize = RandomResize(
        of="image",
        kinds={"up": 0.2, "down": 0.7, "keep": 0.1},
        up=(1.1, 1.5),
        down=(0.15, 0.9),
        interpolations=("area", "bicubic"),
    )
    generator = rng()
    drawn = [resize.target((1000, 2000), (9, 9), generator) for _ in range(NUM_DRAWS)]
    factors = np.array([size[0] / 1000 for size, _ in drawn])
    assert (factors > 1).mean() == pytest.approx(0.2, abs=TOLERANCE)
    assert (factors == 1).mean() == pytest.approx(0.1, abs=TOLERANCE)
    assert 0.15 <= factors.min() < 0.16 < 1.49 < factors.max() <= 1.5
    assert not ((factors > 0.9) & (factors < 1.1) & (factors != 1)).any()
    assert all(size[1] == pytest.approx(2 * size[0], abs=1) for size, _ in drawn)  # both sides alike
    counts = Counter(interpolation for _, interpolation in drawn)
    assert counts["area"] / NUM_DRAWS == pytest.approx(0.5, abs=TOLERANCE)
    assert set(counts) == {"area", "bicubic"}


def test_sizes_may_be_those_of_the_lr_image():
    resize = RandomResize(of="lr", kinds={"keep": 1.0}, up=(1.0, 1.0), down=(1.0, 1.0), interpolations=("area",))
    assert resize.target((50, 70), (12, 16), rng()) == ((12, 16), "area")


@pytest.mark.parametrize("kind", ["gaussian", "poisson"])
@pytest.mark.parametrize("level", [0.2, 0.6])
def test_noise_has_its_level_and_gray_noise_is_equal_in_all_channels(kind: Any, level: float):
    image = np.broadcast_to([level, level / 2, level], (96, 96, 3))
    for gray in (0.0, 1.0):
        noise = RandomNoise(kinds={kind: 1.0}, **dict(NOISE, gray=gray))(image, rng()) - image
        seen = np.full(3, image[0, 0] @ LUMA) if gray else image[0, 0]
        expected = np.full(3, 0.1) if kind == "gaussian" else 2 * np.sqrt(seen / 256)
        np.testing.assert_allclose(noise.std(axis=(0, 1)), expected, rtol=0.04)
        assert abs(noise.mean()) < 0.003
        equal = np.abs(noise - noise[:, :, :1]).max()
        assert equal < 1e-12 if gray else equal > 0.05


def test_the_levels_of_noise_are_within_their_ranges():
    noise = RandomNoise(kinds={"gaussian": 1.0}, **dict(NOISE, sigma=(0.05, 0.2)))
    gray, generator = np.full((48, 48, 3), 0.5), rng()
    levels = [noise(gray, generator).std() for _ in range(100)]
    assert 0.045 < min(levels) < 0.06 < 0.18 < max(levels) < 0.21


def test_qualities_are_within_their_range():
    image, generator = noise_image(16, 16), rng()
    allowed = {Jpeg(quality=quality)(image, rng()).tobytes() for quality in (30, 31, 32)}
    assert {RandomJpeg(probability=1.0, quality=(30, 32))(image, generator).tobytes() for _ in range(50)} == allowed


def test_groups_come_in_either_order():
    """Coarse JPEG after the noise takes most of it away; before it, none."""
    noise, jpeg = {"gaussian_noise": {"sigma": 0.3}}, {"jpeg": {"quality": 5}}
    hr = np.full((16, 16, 3), 128, np.uint8)
    rough = [lr_of([{"shuffle": [["downsample", noise], [jpeg]]}], hr, name=str(name)).std() for name in range(60)]
    first = np.mean(np.array(rough) > 0.2 * 255)  # noise last is left as it is
    assert 0.25 < first < 0.75


# The whole


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_real_degradations_are_fixed_by_the_name_and_differ_between_names(scale: int):
    hr = (255 * noise_image(24, 48)).astype(np.uint8)
    images = [lr_of(REAL, hr, scale=scale, name=name) for name in ("a", "a", "b", "c")]
    assert {image.shape for image in images} == {(24 // scale, 48 // scale, 3)}
    np.testing.assert_array_equal(images[0], images[1])
    assert len({image.tobytes() for image in images}) == 3


def test_real_degradations_draw_half_a_hundred_ways_without_fail():
    hr = (255 * noise_image(16, 16)).astype(np.uint8)
    assert len({lr_of(REAL, hr, name=str(number)).tobytes() for number in range(50)}) == 50
