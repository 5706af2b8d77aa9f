"""Laws of PSNR, SSIM and the gradient-map distance, each against a second implementation."""

import math

import numpy as np
import pytest
import torch
from skimage.color import rgb2ycbcr
from skimage.metrics import structural_similarity
from torch import Tensor

from faig.base.errors import InputError
from faig.data.quality import (
    MAX_PSNR,
    border_of,
    gradient_distance,
    gradient_map,
    gray,
    luma,
    psnr,
    psnr_y,
    ssim,
    ssim_y,
    to_8bit,
)

MEASURES = {
    "psnr": lambda a, b: psnr(a, b, border=2),
    "ssim": lambda a, b: ssim(a, b, border=2),
    "psnr_y": lambda a, b: psnr_y(a, b, border=2),
    "ssim_y": lambda a, b: ssim_y(a, b, border=2),
    "gradient_distance": gradient_distance,
}
BEST = {"psnr": MAX_PSNR, "ssim": 1.0, "psnr_y": MAX_PSNR, "ssim_y": 1.0, "gradient_distance": 0.0}


def random_pair(num_images: int = 2, height: int = 24, width: int = 19, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    hr = torch.rand(num_images, 3, height, width, generator=generator)
    return hr + 0.2 * torch.randn(hr.shape, generator=generator), hr  # the first leaves [0, 1]


def stored(image: Tensor) -> np.ndarray:
    """(3, H, W) -> (H, W, 3) float64 as a PNG file would hold it, in [0, 1]."""
    levels = np.rint(np.clip(image.numpy(), 0, 1) * np.float32(255)).astype(np.uint8)
    return levels.transpose(1, 2, 0).astype(np.float64) / 255


def slow_luma(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) -> (H, W, 1), by the constants of MATLAB's rgb2ycbcr."""
    red, green, blue = image[..., 0], image[..., 1], image[..., 2]
    return ((65.481 * red + 128.553 * green + 24.966 * blue) / 255 + 16 / 255)[..., None]


def slow_psnr(a: np.ndarray, b: np.ndarray, border: int) -> float:
    total, count = 0.0, 0
    for y in range(border, a.shape[0] - border):
        for x in range(border, a.shape[1] - border):
            for channel in range(a.shape[2]):
                total += (a[y, x, channel] - b[y, x, channel]) ** 2
                count += 1
    return 10 * math.log10(1 / (total / count))


def slow_ssim(sr: np.ndarray, hr: np.ndarray, border: int) -> float:
    """Window by window, written from equations 13 to 16 of Wang et al. 2004."""
    a, b = (image[border : -border or None, border : -border or None] for image in (sr, hr))
    line = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2
    values = []
    for channel in range(a.shape[2]):
        for y in range(a.shape[0] - 10):
            for x in range(a.shape[1] - 10):
                p, q = a[y : y + 11, x : x + 11, channel], b[y : y + 11, x : x + 11, channel]
                mean_p, mean_q = (window * p).sum(), (window * q).sum()
                var_p, var_q = (window * (p - mean_p) ** 2).sum(), (window * (q - mean_q) ** 2).sum()
                covariance = (window * (p - mean_p) * (q - mean_q)).sum()
                numerator = (2 * mean_p * mean_q + 1e-4) * (2 * covariance + 9e-4)
                values.append(numerator / ((mean_p**2 + mean_q**2 + 1e-4) * (var_p + var_q + 9e-4)))
    return float(np.mean(values))


def slow_gradient_map(image: np.ndarray) -> np.ndarray:
    height, width = image.shape
    result = np.empty_like(image)
    for y in range(height):
        for x in range(width):
            above = image[y - 1, x] if y > 0 else 0.0
            below = image[y + 1, x] if y < height - 1 else 0.0
            left = image[y, x - 1] if x > 0 else 0.0
            right = image[y, x + 1] if x < width - 1 else 0.0
            result[y, x] = math.sqrt((below - above) ** 2 + (right - left) ** 2 + 1e-6)
    return result


@pytest.mark.parametrize("border", [0, 3])
def test_psnr_equals_a_loop_over_pixels(border):
    sr, hr = random_pair()
    images = [(stored(a), stored(b)) for a, b in zip(sr, hr, strict=True)]
    expected = [slow_psnr(a, b, border) for a, b in images]
    on_luma = [slow_psnr(slow_luma(a), slow_luma(b), border) for a, b in images]
    assert psnr_y(sr, hr, border).tolist() == pytest.approx(on_luma, rel=1e-12)
    assert psnr(sr, hr, border).tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("levels", [1, 7, 100])
def test_psnr_of_a_constant_offset_is_known(levels):
    hr = torch.full((1, 3, 8, 8), 50 / 255)
    assert psnr(hr + levels / 255, hr, border=0).item() == pytest.approx(20 * math.log10(255 / levels), abs=1e-9)


def test_psnr_of_black_and_white_is_zero():
    assert psnr(torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 4, 4), border=0).item() == 0.0


@pytest.mark.parametrize("border", [0, 2])
def test_ssim_equals_a_loop_over_windows(border):
    sr, hr = random_pair(height=17, width=19)
    images = [(stored(a), stored(b)) for a, b in zip(sr, hr, strict=True)]
    expected = [slow_ssim(a, b, border) for a, b in images]
    on_luma = [slow_ssim(slow_luma(a), slow_luma(b), border) for a, b in images]
    assert ssim_y(sr, hr, border).tolist() == pytest.approx(on_luma, abs=2e-6)
    assert ssim(sr, hr, border).tolist() == pytest.approx(expected, abs=2e-6)  # float32 against float64


@pytest.mark.parametrize("noise", [0.01, 0.3])
def test_ssim_equals_scikit_image(noise):
    """scikit-image too averages over the windows that lie inside, so both measure the same region."""
    generator = torch.Generator().manual_seed(1)
    smooth = torch.rand(3, 3, 5, 5, generator=generator)
    hr = torch.nn.functional.interpolate(smooth, size=(40, 33), mode="bicubic")
    sr = hr + noise * torch.randn(hr.shape, generator=generator)
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "win_size": 11}
    expected = [
        structural_similarity(stored(a), stored(b), **settings, data_range=1, channel_axis=2)
        for a, b in zip(sr, hr, strict=True)
    ]
    assert ssim(sr, hr, border=0).tolist() == pytest.approx(expected, abs=2e-6)


def test_luma_equals_scikit_image_and_goes_from_16_to_235():
    _, hr = random_pair()
    expected = rgb2ycbcr(hr.numpy().astype(np.float64), channel_axis=1)[:, :1] / 255
    np.testing.assert_allclose(luma(hr.double()).numpy(), expected, rtol=1e-12)
    black_and_white = torch.tensor([0.0, 1.0], dtype=torch.float64).view(2, 1, 1, 1).expand(2, 3, 1, 1)
    assert (255 * luma(black_and_white)).flatten().tolist() == pytest.approx([16, 235])


def test_between_neutral_images_luma_has_the_psnr_of_its_smaller_range():
    a, b = (image[:, :1].expand(-1, 3, -1, -1) for image in random_pair())
    gain = 20 * math.log10(255 / 219)
    assert (psnr_y(a, b, 2) - psnr(a, b, 2)).tolist() == pytest.approx([gain] * 2, rel=1e-12)


@pytest.mark.parametrize(("db", "lost"), [(30, 0.01), (40, 0.1)])
def test_rounding_luma_again_would_lower_its_psnr_by_little(db, lost):
    _, hr = random_pair(1, 64, 64)
    hr = 0.25 + hr / 2
    noise = torch.randn(hr.shape, generator=torch.Generator().manual_seed(5))
    sr = hr + noise * 10 ** (-db / 20) * 255 / 219 / 0.669  # luma averages the channels' noise: |LUMA| = 0.669
    rounded = [np.rint(255 * slow_luma(stored(image[0]))) / 255 for image in (sr, hr)]
    ours = psnr_y(sr, hr, 0).item()
    assert ours == pytest.approx(db, abs=0.5)
    assert 0.5 * lost < ours - slow_psnr(rounded[0], rounded[1], 0) < 2 * lost


def test_a_border_of_one_scale_is_cut_and_none_at_scale_1():
    assert [border_of(scale) for scale in (1, 2, 3, 4)] == [0, 2, 3, 4]


def test_ssim_of_a_negative_is_negative():
    _, hr = random_pair()
    assert (ssim(1 - hr, hr, border=0) < 0).all()


def test_gradient_map_equals_a_loop_over_pixels():
    image = torch.rand(1, 1, 7, 9, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    np.testing.assert_allclose(gradient_map(image)[0, 0].numpy(), slow_gradient_map(image[0, 0].numpy()), rtol=1e-12)


def test_gradient_map_of_a_ramp_is_twice_its_slope_inside():
    ramp = torch.arange(8.0).mul(0.1).expand(1, 1, 6, 8)
    inside = gradient_map(ramp)[..., 1:-1, 1:-1]
    torch.testing.assert_close(inside, torch.full_like(inside, math.sqrt(0.2**2 + 1e-6)))


def test_gradient_distance_equals_a_loop_over_pixels():
    a, b = random_pair(height=9, width=7)
    expected = []
    for pair in zip(a, b, strict=True):
        map_a, map_b = (slow_gradient_map(stored(image) @ [0.299, 0.587, 0.114]) for image in pair)
        expected.append(1000 * np.mean((map_a - map_b) ** 2))
    assert gradient_distance(a, b).tolist() == pytest.approx(expected, rel=1e-5)


def test_gray_keeps_the_value_of_neutral_colours():
    neutral = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(gray(neutral.expand(2, 3, 4, 4)), neutral)


def test_to_8bit_gives_the_256_levels_and_is_idempotent():
    once = to_8bit(torch.linspace(-0.2, 1.2, 3000))
    assert len(once.unique()) == 256
    assert once.min() == 0
    assert once.max() == 1
    assert torch.equal(to_8bit(once), once)


@pytest.mark.parametrize("name", MEASURES)
def test_identical_images_are_best(name):
    _, hr = random_pair()
    assert MEASURES[name](hr, hr).tolist() == [BEST[name]] * 2


@pytest.mark.parametrize("name", MEASURES)
def test_symmetric(name):
    a, b = random_pair()
    torch.testing.assert_close(MEASURES[name](a, b), MEASURES[name](b, a), rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", MEASURES)
def test_more_noise_is_worse(name):
    _, hr = random_pair()
    noise = torch.randn(hr.shape, generator=torch.Generator().manual_seed(4))
    little, much = MEASURES[name](hr + 0.02 * noise, hr), MEASURES[name](hr + 0.2 * noise, hr)
    assert (much > little).all() if name == "gradient_distance" else (much < little).all()


@pytest.mark.parametrize("name", MEASURES)
def test_images_are_compared_as_stored(name):
    a, b = random_pair()
    torch.testing.assert_close(MEASURES[name](a, b), MEASURES[name](to_8bit(a), to_8bit(b)), rtol=0, atol=0)


@pytest.mark.parametrize("name", MEASURES)
def test_each_image_is_measured_alone(name):
    a, b = random_pair(num_images=3)
    together = MEASURES[name](a, b)
    alone = torch.cat([MEASURES[name](a[i : i + 1], b[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(together, alone, rtol=1e-6, atol=0)


@pytest.mark.parametrize("measure", [psnr, ssim, psnr_y, ssim_y])
def test_the_border_is_not_looked_at(measure):
    sr, hr = random_pair()
    framed = torch.zeros_like(sr)
    framed[..., 2:-2, 2:-2] = sr[..., 2:-2, 2:-2]
    assert torch.equal(measure(framed, hr, 2), measure(sr, hr, 2))


@pytest.mark.parametrize("name", MEASURES)
def test_half_precision_is_accepted(name):
    a, b = random_pair()
    a, b = a.bfloat16(), b.bfloat16()
    assert torch.equal(MEASURES[name](a, b), MEASURES[name](a.float(), b.float()))


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 18), "one shape"),
        (torch.zeros(1, 3, 16, 16).byte(), torch.zeros(1, 3, 16, 16).byte(), "floating-point"),
        (torch.zeros(1, 3, 16, 16), torch.full((1, 3, 16, 16), math.inf), "NaN or infinity"),
    ],
)
def test_unusable_images_are_refused(name, a, b, message):
    with pytest.raises(ValueError, match=message):
        MEASURES[name](a, b)


@pytest.mark.parametrize(("measure", "border"), [(psnr, 8), (ssim, 3), (psnr_y, 8), (ssim_y, 3)])
def test_a_border_that_leaves_too_little_is_refused(measure, border):
    with pytest.raises(InputError, match=f"border of {border} pixels leaves too little"):
        measure(torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 16), border)
