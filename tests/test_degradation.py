"""Laws of degradations: kernels equal slow versions from their definitions, noise has its level, 0 is identity."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from faig.base.params import ParamsError
from faig.data.degradation import (
    DOWNSAMPLE,
    DOWNSAMPLING,
    OPERATIONS,
    Shuffle,
    bicubic_taps,
    clean_operations,
    degrade,
    downsample,
    image_generator,
    parse_operations,
)
from faig.data.kernels import convolve, gaussian_kernel, motion_kernel
from faig.data.operations import (
    AnisotropicGaussianBlur,
    GaussianBlur,
    GaussianNoise,
    Jpeg,
    MotionBlur,
    PoissonNoise,
    to_8bit,
)

SCALES = (2, 3, 4)
EXTREMES = np.random.default_rng(0).choice(np.array([0, 1, 128, 254, 255], np.uint8), size=(24, 36, 3))
"""Levels at which rounding and clipping matter, sides that every scale divides."""

SETTINGS: dict[str, dict[str, Any]] = {
    "gaussian_blur": {"kernel_size": 9, "sigma": 1.5},
    "anisotropic_gaussian_blur": {"kernel_size": 9, "sigma_x": 2, "sigma_y": 0.7, "angle": 30},
    "motion_blur": {"kernel_size": 9, "length": 6, "angle": -45},
    "gaussian_noise": {"sigma": 0.1},
    "poisson_noise": {"peak": 30},
    "jpeg": {"quality": 20},
    "sinc": {"kernel_size": 9, "cutoff": 0.4},
    "resize": {"factor": 0.4, "interpolation": "area"},
    "random_blur": {
        "probability": 1,
        "kinds": {"anisotropic": 0.5, "plateau_isotropic": 0.25, "sinc": 0.25},
        "kernel_size": [7, 9],
        "sigma": [1, 2],
        "generalized_shape": [0.5, 4],
        "plateau_shape": [1, 2],
        "cutoff": [0.2, 0.5],
    },
    "random_sinc": {"probability": 1, "kernel_size": [7, 9], "cutoff": [0.3, 0.5]},
    "random_resize": {
        "of": "image",
        "kinds": {"up": 0, "down": 1},
        "up": [1, 1.5],
        "down": [0.2, 0.5],
        "interpolations": ["area", "bilinear"],
    },
    "random_noise": {
        "probability": 1,
        "kinds": {"gaussian": 0.5, "poisson": 0.5},
        "gray": 0.4,
        "sigma": [0.05, 0.1],
        "poisson_scale": [1, 3],
    },
    "random_jpeg": {"probability": 1, "quality": [20, 60]},
}
"""Valid settings of every operation; a new operation is tested by being listed here."""


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def flat(level: float, side: int = 128) -> np.ndarray:
    return np.full((side, side, 3), level)


def lr_of(operations: list[Any], scale: int, image: np.ndarray = EXTREMES) -> np.ndarray:
    """LR of an image under operations as params.yaml lists them."""
    parsed = parse_operations("degradations.new", operations, scale=scale)
    return degrade(image, parsed, scale=scale, downsampling="bicubic", generator=rng())


# Downsampling against slow second implementations


def slow_cubic(x: float) -> float:
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def slow_bicubic_line(line: np.ndarray, scale: int) -> np.ndarray:
    """One line of MATLAB's imresize, pixel by pixel: u = x scale + (1 - scale) / 2 from 1, kernel h(x / scale)."""
    length, out = len(line), []
    for number in range(1, length // scale + 1):
        centre = number * scale + 0.5 * (1 - scale)
        weighted = total = 0.0
        for place in range(math.floor(centre - 2 * scale), math.ceil(centre + 2 * scale) + 1):
            weight = slow_cubic((centre - place) / scale)
            inside = place
            while not 1 <= inside <= length:  # mirrored, the edge pixel repeated: 0 -> 1, length + 1 -> length
                inside = 1 - inside if inside < 1 else 2 * length + 1 - inside
            weighted, total = weighted + weight * float(line[inside - 1]), total + weight
        out.append(weighted / total)
    return np.array(out)


def slow_bicubic(image: np.ndarray, scale: int, *, round_between: bool = True) -> np.ndarray:
    shorter = np.apply_along_axis(slow_bicubic_line, 0, image, scale)
    if round_between:
        shorter = np.clip(np.floor(shorter + 0.5), 0, 255)
    return np.clip(np.floor(np.apply_along_axis(slow_bicubic_line, 1, shorter, scale) + 0.5), 0, 255)


def slow_bilinear(image: np.ndarray, scale: int) -> np.ndarray:
    """The two pixels a side around (i + 1/2) scale - 1/2, weighted by their distance: no wider at larger scales."""
    out = np.zeros((image.shape[0] // scale, image.shape[1] // scale, 3))
    for row, column in np.ndindex(out.shape[:2]):
        y, x = (row + 0.5) * scale - 0.5, (column + 0.5) * scale - 0.5
        for v, u in ((v, u) for v in (math.floor(y), math.ceil(y)) for u in (math.floor(x), math.ceil(x))):
            weight = (1 - abs(y - v)) * (1 - abs(x - u))
            # ceil is floor where the place is a pixel: count it once
            out[row, column] += weight * image[v, u] / (1 + (y == v)) / (1 + (x == u))
    return np.floor(out + 0.5)


def slow_area(image: np.ndarray, scale: int) -> np.ndarray:
    out = np.zeros((image.shape[0] // scale, image.shape[1] // scale, 3))
    for row, column, channel in np.ndindex(out.shape):
        block = [
            int(image[row * scale + down, column * scale + right, channel])
            for down in range(scale)
            for right in range(scale)
        ]
        out[row, column, channel] = math.floor(sum(block) / scale**2 + 0.5)
    return out


SLOW: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "bicubic": slow_bicubic,
    "bilinear": slow_bilinear,
    "area": slow_area,
}


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("kernel", DOWNSAMPLING)
def test_each_kernel_equals_its_slow_version(kernel: str, scale: int):
    fast = downsample(EXTREMES, scale, kernel)
    assert fast.dtype == np.uint8
    np.testing.assert_array_equal(fast, SLOW[kernel](EXTREMES, scale))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("kernel", DOWNSAMPLING)
def test_images_smaller_than_the_kernel_are_downsampled_too(kernel: str, scale: int):
    small = EXTREMES[:scale, : 2 * scale]
    np.testing.assert_array_equal(downsample(small, scale, kernel), SLOW[kernel](small, scale))


def test_bicubic_weights_at_scale_2_are_the_known_ones():
    """Keys' kernel at 1/4, 3/4, 5/4 and 7/4, halved: exact binary fractions."""
    taps, weights = bicubic_taps(40, 2)
    used = weights[10] != 0
    np.testing.assert_array_equal(weights[10][used], np.array([-3, -9, 29, 111, 111, 29, -9, -3]) / 256)
    np.testing.assert_array_equal(taps[10][used], np.arange(17, 25))


def test_bicubic_rounds_between_the_passes():
    once = slow_bicubic(EXTREMES, 2, round_between=False)
    assert (once != slow_bicubic(EXTREMES, 2)).mean() > 0.05


def test_bicubic_shortens_the_columns_first():
    turned = downsample(EXTREMES.swapaxes(0, 1), 2, "bicubic").swapaxes(0, 1)
    assert (turned != downsample(EXTREMES, 2, "bicubic")).any()


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("kernel", DOWNSAMPLING)
def test_a_flat_image_stays_flat(kernel: str, scale: int):
    image = np.full((12, 24, 3), (0, 77, 255), np.uint8)
    np.testing.assert_array_equal(downsample(image, scale, kernel), image[: 12 // scale, : 24 // scale])


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("kernel", DOWNSAMPLING)
def test_nothing_is_shifted(kernel: str, scale: int):
    """A ramp's LR pixel has the ramp's value at the middle of its block."""
    ramp = np.broadcast_to(np.arange(0, 240, 5, dtype=np.uint8)[:, None, None], (48, 12, 3))
    middle = 5 * ((np.arange(48 // scale) + 0.5) * scale - 0.5)
    lr = downsample(ramp, scale, kernel)[:, 1, 0]
    np.testing.assert_allclose(lr[2:-2], middle[2:-2], atol=0.5)


@pytest.mark.parametrize("scale", SCALES)
def test_the_kernels_differ(scale: int):
    lr = {kernel: downsample(EXTREMES, scale, kernel).astype(int) for kernel in DOWNSAMPLING}
    assert (lr["bicubic"] != lr["area"]).mean() > 0.5
    assert (lr["bicubic"] != lr["bilinear"]).mean() > 0.5
    assert (lr["bilinear"] != lr["area"]).mean() > 0.5 or scale == 2


def test_bilinear_at_scale_2_is_the_block_mean():
    np.testing.assert_array_equal(downsample(EXTREMES, 2, "bilinear"), downsample(EXTREMES, 2, "area"))


@pytest.mark.parametrize("kernel", DOWNSAMPLING)
def test_the_named_kernel_is_the_one_used(kernel: str):
    lr = degrade(EXTREMES, [DOWNSAMPLE], scale=3, downsampling=kernel, generator=rng())
    np.testing.assert_array_equal(lr, DOWNSAMPLING[kernel](EXTREMES, 3))


def test_an_unknown_kernel_is_refused():
    with pytest.raises(ValueError, match=r"'lanczos' is not one of bicubic, bilinear, area"):
        downsample(EXTREMES, 2, "lanczos")


@pytest.mark.parametrize("shape", [(24, 35, 3), (23, 36, 3)])
def test_sides_that_are_no_multiple_of_the_scale_are_refused(shape: tuple[int, ...]):
    with pytest.raises(ValueError, match="no multiple of scale = 2"):
        downsample(np.zeros(shape, np.uint8), 2, "bicubic")


# Blur

KERNELS = {
    "isotropic": gaussian_kernel(21, 2, 2, 0),
    "anisotropic": gaussian_kernel(21, 3, 1, 25),
    "cut off": gaussian_kernel(3, 50, 50, 0),
    "motion": motion_kernel(21, 12.5, 70),
    "one pixel": gaussian_kernel(1, 2, 2, 0),
}


def covariance(kernel: np.ndarray) -> np.ndarray:
    """(2, 2) second moments in pixels squared, x to the right and y upwards."""
    radius = len(kernel) // 2
    y, x = np.mgrid[radius : -radius - 1 : -1, -radius : radius + 1]
    mixed = (kernel * x * y).sum()
    return np.array([[(kernel * x * x).sum(), mixed], [mixed, (kernel * y * y).sum()]])


def turned(along: float, across: float, angle: float) -> np.ndarray:
    """Covariance of variances ``along`` and ``across`` a direction ``angle`` degrees counter-clockwise from x."""
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    rotation = np.array([[cos, -sin], [sin, cos]])
    return rotation @ np.diag([along, across]) @ rotation.T


@pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
def test_kernels_sum_to_1_are_not_negative_and_are_centred(kernel: np.ndarray):
    assert kernel.sum() == pytest.approx(1, abs=1e-12)
    assert kernel.min() >= 0
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-12)


def test_the_isotropic_kernel_is_the_sampled_gaussian():
    kernel = gaussian_kernel(21, 2, 2, 0)
    line = [math.exp(-(x**2) / (2 * 2**2)) for x in range(-10, 11)]
    np.testing.assert_allclose(kernel, np.outer(line, line) / sum(line) ** 2, atol=1e-15)
    np.testing.assert_allclose(kernel, gaussian_kernel(21, 2, 2, 33), atol=1e-12)


@pytest.mark.parametrize("angle", [0, 30, 90, 135, -60])
def test_the_anisotropic_kernel_has_its_variances_at_its_angle(angle: float):
    np.testing.assert_allclose(covariance(gaussian_kernel(31, 3, 1, angle)), turned(9, 1, angle), atol=0.05)


@pytest.mark.parametrize("angle", [0, 30, 90, 135, -60])
def test_the_motion_kernel_is_a_line_of_its_length_at_its_angle(angle: float):
    along, across = 15**2 / 12, 0  # variance of a uniform line; spreading it over the grid adds at most 1/4
    np.testing.assert_allclose(covariance(motion_kernel(21, 15, angle)), turned(along, across, angle), atol=0.6)


def test_the_longest_motion_fits_its_kernel_at_any_angle():
    for angle in range(-360, 361, 15):
        assert motion_kernel(5, 4, angle).sum() == pytest.approx(1)


@pytest.mark.parametrize("size", [3, 13])
def test_convolution_equals_its_slow_version(size: int):
    """Borders mirrored without repeating the edge pixel, also where the kernel is larger than the image."""
    image, kernel = rng().random((7, 6, 3)), rng().random((size, size))
    expected, radius = np.zeros_like(image), size // 2
    for row, column, up, left in np.ndindex(7, 6, size, size):
        # Mirrored signals have the period 2 (length - 1).
        y, x = (row - up + radius) % 12, (column - left + radius) % 10
        expected[row, column] += kernel[up, left] * image[min(y, 12 - y), min(x, 10 - x)]
    np.testing.assert_allclose(convolve(image, kernel), expected, atol=1e-12)


def test_operations_blur_with_their_kernels():
    """The answer to one bright pixel is the kernel."""
    impulse = np.zeros((21, 21, 3))
    impulse[10, 10] = 1
    for blur, kernel in (
        (GaussianBlur(kernel_size=9, sigma=2), gaussian_kernel(9, 2, 2, 0)),
        (AnisotropicGaussianBlur(kernel_size=9, sigma_x=3, sigma_y=1, angle=20), gaussian_kernel(9, 3, 1, 20)),
        (MotionBlur(kernel_size=9, length=7, angle=20), motion_kernel(9, 7, 20)),
    ):
        np.testing.assert_allclose(blur(impulse, rng())[6:15, 6:15, 1], kernel, atol=1e-12)


def test_blur_comes_before_downsampling_where_it_is_listed_so():
    blur = GaussianBlur(kernel_size=9, sigma=2)
    first, last = (
        degrade(EXTREMES, order, scale=2, downsampling="area", generator=rng())
        for order in ([blur, DOWNSAMPLE], [DOWNSAMPLE, blur])
    )
    np.testing.assert_array_equal(first, downsample(to_8bit(blur(EXTREMES / 255, rng())), 2, "area"))
    np.testing.assert_array_equal(last, to_8bit(blur(downsample(EXTREMES, 2, "area") / 255, rng())))
    assert (first != last).any()


# Noise and JPEG


@pytest.mark.parametrize("sigma", [0.02, 0.1])
def test_gaussian_noise_has_its_level_and_is_independent(sigma: float):
    noise = GaussianNoise(sigma=sigma)(flat(0.5), rng()) - 0.5
    assert noise.std() == pytest.approx(sigma, rel=0.02)
    assert abs(noise.mean()) < sigma / 50
    assert abs(np.corrcoef(noise.reshape(-1, 3).T) - np.eye(3)).max() < 0.03  # between channels
    assert abs(np.corrcoef(noise[:-1].ravel(), noise[1:].ravel())[0, 1]) < 0.03  # between neighbours


def test_the_noise_of_an_8_bit_lr_image_has_its_level():
    gray = np.full((256, 256, 3), 128, np.uint8)
    lr = degrade(gray, [DOWNSAMPLE, GaussianNoise(sigma=0.1)], scale=2, downsampling="bicubic", generator=rng())
    assert lr.std() / 255 == pytest.approx(0.1, rel=0.02)
    assert lr.mean() == pytest.approx(128, abs=0.5)


@pytest.mark.parametrize("level", [0.0, 0.1, 0.7])
def test_poisson_noise_has_the_variance_of_photon_counts(level: float):
    noisy = PoissonNoise(peak=50)(flat(level), rng())
    assert noisy.mean() == pytest.approx(level, rel=0.02)
    assert noisy.var() == pytest.approx(level / 50, rel=0.05)
    np.testing.assert_allclose(noisy * 50, np.round(noisy * 50), atol=1e-9)


def test_values_are_clipped_at_the_end_only():
    """Noise on white, then blur: clipping between the two would darken white by 0.4 sigma."""
    operations = [DOWNSAMPLE, GaussianNoise(sigma=0.2), GaussianBlur(kernel_size=15, sigma=3)]
    white = np.full((128, 128, 3), 255, np.uint8)
    lr = degrade(white, operations, scale=2, downsampling="area", generator=rng())
    assert lr.mean() / 255 > 1 - 0.4 * 0.2 / 4


def test_jpeg_loses_more_at_lower_quality():
    y, x = np.mgrid[:64, :64] / 64
    image = np.stack([x, y, 0.5 + 0.4 * np.sin(9 * x * y)], axis=2)
    errors = [np.abs(Jpeg(quality=quality)(image, rng()) - image).mean() for quality in (100, 60, 20, 1)]
    assert errors == sorted(errors)
    assert errors[0] < 0.005 < errors[-1]


def test_jpeg_keeps_the_channel_order():
    colour = np.broadcast_to([0.8, 0.2, 0.05], (16, 16, 3))
    np.testing.assert_allclose(Jpeg(quality=95)(colour, rng()), colour, atol=0.02)


def test_jpeg_halves_the_resolution_of_colour():
    """Columns of two colours of equal brightness: at 4:2:0 they mix, at 4:4:4 they would stay apart."""
    image = np.broadcast_to([0.6, 0.4, 0.4], (32, 32, 3)).copy()
    image[:, ::2] = [0.38, 0.513, 0.4]
    spread = (Jpeg(quality=100)(image, rng())[:, :, 0] - Jpeg(quality=100)(image, rng())[:, :, 1]).std()
    assert spread < 0.3 * (image[:, :, 0] - image[:, :, 1]).std()


# All operations


def test_every_operation_has_settings_here():
    assert set(SETTINGS) == set(OPERATIONS)
    assert set(SLOW) == set(DOWNSAMPLING)


@pytest.mark.parametrize("scale", [1, *SCALES])
@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_gives_an_8_bit_lr_image_fixed_by_the_generator(name: str, scale: int):
    clean, listed = clean_operations(scale), {name: SETTINGS[name]}
    undegraded = lr_of(clean, scale)
    for order in ([listed, *clean], [*clean, listed]):
        before = EXTREMES.copy()
        one, two = lr_of(order, scale), lr_of(order, scale)
        assert one.shape == (24 // scale, 36 // scale, 3)
        assert one.dtype == np.uint8
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(EXTREMES, before)  # the input is left alone
        assert (one != undegraded).any()


@pytest.mark.parametrize(
    "operation",
    [
        GaussianBlur(kernel_size=21, sigma=0),
        GaussianBlur(kernel_size=1, sigma=3),
        AnisotropicGaussianBlur(kernel_size=21, sigma_x=0, sigma_y=0, angle=30),
        MotionBlur(kernel_size=21, length=0, angle=30),
        GaussianNoise(sigma=0),
    ],
    ids=repr,
)
def test_level_0_changes_nothing(operation: Any):
    image = EXTREMES / 255
    np.testing.assert_allclose(operation(image, rng()), image, atol=1e-14)
    lr = degrade(EXTREMES, [operation, DOWNSAMPLE], scale=2, downsampling="bicubic", generator=rng())
    np.testing.assert_array_equal(lr, downsample(EXTREMES, 2, "bicubic"))


def test_anisotropic_blur_with_equal_sigmas_is_isotropic():
    image = EXTREMES / 255
    one = AnisotropicGaussianBlur(kernel_size=9, sigma_x=1.5, sigma_y=1.5, angle=40)(image, rng())
    np.testing.assert_allclose(one, GaussianBlur(kernel_size=9, sigma=1.5)(image, rng()), atol=1e-12)


def test_8_bit_values_survive_and_halves_are_rounded_up():
    levels = np.arange(256)
    np.testing.assert_array_equal(to_8bit(levels / 255), levels)
    np.testing.assert_array_equal(to_8bit(np.array([-1, 0.5 / 255, 1.5 / 255, 2.49 / 255, 7])), [0, 1, 2, 2, 255])


# Generators


def test_the_generator_depends_on_seed_degradation_and_name_alone():
    def draw(seed: int, degradation: str, name: str) -> float:
        return image_generator(seed, degradation, name).random()

    triples = [(seed, degradation, name) for seed in (0, 1) for degradation in ("noise", "blur") for name in ("a", "b")]
    forth = {triple: draw(*triple) for triple in triples}
    np.random.seed(5)
    back = {triple: draw(*triple) for triple in reversed(triples)}
    assert forth == back
    assert len(set(forth.values())) == len(triples)


# params.yaml


def test_operations_are_parsed_in_their_order():
    listed = [*({name: SETTINGS[name]} for name in OPERATIONS), DOWNSAMPLE]
    parsed = parse_operations("degradations.new", listed, scale=2)
    assert [type(item) for item in parsed[:-1]] == list(OPERATIONS.values())
    assert parsed[-1] == DOWNSAMPLE
    assert parsed[0] == GaussianBlur(kernel_size=9, sigma=1.5)


def test_groups_are_parsed_as_lists_are():
    def parse(groups: object) -> tuple[Any, ...]:
        return parse_operations("degradations.new", [{"shuffle": groups}], scale=2)

    jpeg = {"jpeg": {"quality": 20}}
    assert parse([[DOWNSAMPLE], [jpeg]]) == (Shuffle(((DOWNSAMPLE,), (Jpeg(quality=20),))),)
    for groups, message in (
        ([[DOWNSAMPLE]], r"degradations\.new\.0\.shuffle must be two lists of operations or more"),
        ([[DOWNSAMPLE], jpeg], r"degradations\.new\.0\.shuffle\.1 must be a list of operations"),
        ([[DOWNSAMPLE], [jpeg, "blur"]], r"degradations\.new\.0\.shuffle\.1\.1 = 'blur'"),
        ([[DOWNSAMPLE], [DOWNSAMPLE]], r"degradations\.new must name downsample exactly once"),
        ([[jpeg], [jpeg]], r"degradations\.new must name downsample exactly once"),
    ):
        with pytest.raises(ParamsError, match=message):
            parse(groups)


def test_what_is_given_is_not_made():
    with pytest.raises(ParamsError, match=r"degradations\.new is given: its LR images are files"):
        parse_operations("degradations.new", "given", scale=2)


def test_what_is_no_list_is_refused():
    with pytest.raises(ParamsError, match=r"degradations\.new must be a list of operations"):
        parse_operations("degradations.new", "downsample", scale=2)


@pytest.mark.parametrize("operations", [[], [DOWNSAMPLE, DOWNSAMPLE]])
def test_downsample_is_named_once(operations: list[object]):
    with pytest.raises(ParamsError, match=r"degradations\.new must name downsample exactly once"):
        parse_operations("degradations.new", operations, scale=2)


def test_at_scale_1_there_is_no_downsampling_and_clean_is_the_image_itself():
    with pytest.raises(ParamsError, match=r"degradations\.new must not name downsample: at scale 1"):
        parse_operations("degradations.new", [DOWNSAMPLE, {"jpeg": {"quality": 20}}], scale=1)
    clean = parse_operations("degradations.clean", clean_operations(1), scale=1)
    for kernel in DOWNSAMPLING:
        lr = degrade(EXTREMES, clean, scale=1, downsampling=kernel, generator=rng())
        np.testing.assert_array_equal(lr, EXTREMES)


@pytest.mark.parametrize("scale", SCALES)
def test_clean_is_downsampling_alone(scale: int):
    assert parse_operations("degradations.clean", clean_operations(scale), scale=scale) == (DOWNSAMPLE,)


@pytest.mark.parametrize("operation", [{"sharpen": {}}, "jpeg", None, {"a": 1, "b": 2}])
def test_an_unknown_operation_names_its_place_and_the_known_ones(operation: object):
    with pytest.raises(ParamsError, match=r"degradations\.new\.1 .*known are downsample, shuffle, .*random_jpeg$"):
        parse_operations("degradations.new", [DOWNSAMPLE, operation], scale=2)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("gaussian_blur", {"kernel_size": 4}, "kernel_size = 4 must be odd"),
        ("gaussian_blur", {"kernel_size": -3}, "kernel_size = -3"),
        ("gaussian_blur", {"sigma": "2"}, "sigma = '2'"),
        ("gaussian_blur", {"width": 3}, "width is not a known key"),
        ("anisotropic_gaussian_blur", {"angle": 400}, "angle = 400"),
        ("motion_blur", {"length": 9}, "length = 9.* must be at most kernel_size - 1 = 8"),
        ("gaussian_noise", {"sigma": -0.1}, r"sigma = -0\.1"),
        ("gaussian_noise", {"sigma": float("inf")}, "sigma = inf"),
        ("poisson_noise", {"peak": 0}, "peak = 0"),
        ("jpeg", {"quality": 101}, "quality = 101"),
        ("sinc", {"cutoff": 1.1}, r"cutoff = 1\.1"),
        ("resize", {"factor": 4.5}, r"factor = 4\.5"),
        ("resize", {"interpolation": "nearest"}, "interpolation = 'nearest'"),
        ("random_blur", {"kinds": {"sinc": 0.9}}, r"\.kinds: the probabilities of sinc add up to 0\.9, not to 1"),
        ("random_blur", {"kinds": {}}, r"\.kinds: the probabilities of nothing add up to 0, not to 1"),
        ("random_blur", {"kinds": {"box": 1.0}}, r"kinds\.box = 'box'"),
        ("random_blur", {"kernel_size": [7, 8]}, r"kernel_size\.1: kernel_size = 8 must be odd"),
        ("random_blur", {"sigma": [3.0, 0.2]}, r"\.sigma: \[3\.0, 0\.2\] is an empty range"),
        ("random_blur", {"sigma": [3.0]}, r"sigma\.1 is missing"),
        ("random_blur", {"probability": 1.5}, r"probability = 1\.5"),
        ("random_sinc", {"cutoff": [0.0, 1.0]}, r"cutoff\.0 = 0\.0"),
        ("random_resize", {"up": [0.9, 1.5]}, r"up\.0 = 0\.9"),
        ("random_resize", {"down": [0.1, 1.1]}, r"down\.1 = 1\.1"),
        ("random_resize", {"of": "hr"}, "of = 'hr'"),
        ("random_resize", {"interpolations": []}, r"interpolations = \[\]"),
        ("random_noise", {"kinds": {"gaussian": 0.5, "poisson": 0.6}}, r"add up to 1\.1, not to 1"),
        ("random_noise", {"poisson_scale": [3, 1]}, r"poisson_scale: \[3\.0, 1\.0\] is an empty range"),
        ("random_jpeg", {"quality": [95, 30]}, r"quality: \[95, 30\] is an empty range"),
    ],
)
def test_settings_out_of_range_name_the_place_and_the_value(name: str, change: dict[str, Any], message: str):
    with pytest.raises(ParamsError, match=rf"^params\.yaml: degradations\.new\.1\.{name}.*{message}"):
        parse_operations("degradations.new", [DOWNSAMPLE, {name: SETTINGS[name] | change}], scale=2)


@pytest.mark.parametrize("name", OPERATIONS)
def test_no_setting_has_a_default(name: str):
    for setting in SETTINGS[name]:
        fewer = {key: value for key, value in SETTINGS[name].items() if key != setting}
        with pytest.raises(ParamsError, match=rf"degradations\.new\.1\.{name}\.{setting} is missing"):
            parse_operations("degradations.new", [DOWNSAMPLE, {name: fewer}], scale=2)
    with pytest.raises(ParamsError, match=name):
        parse_operations("degradations.new", [DOWNSAMPLE, {name: None}], scale=2)
