"""Laws of dead-leaves images: fixed by seed and name, sizes from the power law, spectra like photographs'."""

from typing import Any

import numpy as np
import pytest

from faig.base.params import ParamsError, validate
from faig.data import dead_leaves as module
from faig.data.dead_leaves import PREFIX, DeadLeavesParams, dead_leaves, dead_leaves_names

VALUES: dict[str, Any] = {
    "num_images": 3,
    "size": 64,
    "supersampling": 2,
    "min_radius": 2.0,
    "max_radius": 24.0,
    "exponent": 2.6,
}


def params_of(**changes: Any) -> DeadLeavesParams:
    return DeadLeavesParams(**(VALUES | changes))


def test_seed_and_name_alone_fix_an_image():
    names = dead_leaves_names(params_of())
    forth = {name: dead_leaves(params_of(), 7, name) for name in names}
    np.random.seed(1)
    back = {name: dead_leaves(params_of(num_images=9), 7, name) for name in reversed(names)}
    for name in names:
        np.testing.assert_array_equal(forth[name], back[name])


def test_other_seeds_and_names_give_other_images():
    made = [dead_leaves(params_of(), seed, name).tobytes() for seed in (0, 1) for name in ("a", "b")]
    assert len(set(made)) == len(made)


@pytest.mark.parametrize("supersampling", [1, 3])
@pytest.mark.parametrize("size", [1, 30, 65])
def test_images_are_8_bit_rgb_of_the_given_size(size: int, supersampling: int):
    image = dead_leaves(params_of(size=size, supersampling=supersampling), 0, "a")
    assert image.shape == (size, size, 3)
    assert image.dtype == np.uint8


def test_names_are_numbered_and_start_with_the_prefix():
    assert dead_leaves_names(params_of()) == [f"{PREFIX}000", f"{PREFIX}001", f"{PREFIX}002"]
    assert dead_leaves_names(params_of(num_images=0)) == []


def test_supersampling_smooths_the_edges():
    jumps = []
    for supersampling in (1, 4):
        image = dead_leaves(params_of(supersampling=supersampling, min_radius=10.0), 0, "a").astype(int)
        steps = np.abs(np.diff(image, axis=1)).sum(axis=2)
        edges = steps[steps > 0]
        jumps.append(np.count_nonzero(edges < 30) / edges.size)
    hard, smooth = jumps
    assert smooth > 2 * hard


def test_lengths_are_in_pixels_of_the_finished_image():
    """One colour holds over about the same distance however much larger the image is drawn."""
    runs = []
    for supersampling in (1, 4):
        image = dead_leaves(params_of(size=128, supersampling=supersampling, min_radius=8.0), 0, "a").astype(int)
        runs.append(np.mean(np.abs(np.diff(image, axis=1)).sum(axis=2) < 6))
    assert runs[1] == pytest.approx(runs[0], abs=0.1)


def test_radii_follow_the_truncated_power_law():
    params, generator = params_of(), np.random.default_rng(0)
    radii = np.sort([module._radius(params, generator) for _ in range(10_000)])
    low, high, power = params.min_radius, params.max_radius, 1 - params.exponent
    expected = (radii**power - low**power) / (high**power - low**power)  # the law's distribution function
    measured = (np.arange(len(radii)) + 0.5) / len(radii)
    assert low <= radii[0]
    assert radii[-1] <= high
    assert np.abs(measured - expected).max() < 1.63 / np.sqrt(len(radii))  # Kolmogorov-Smirnov, 1 %


def test_the_canvas_is_covered(monkeypatch: pytest.MonkeyPatch):
    """A background told from every leaf by its colour: leaves are bright, it is black."""
    palette = np.full((16, 3), 200, np.float32)
    palette[0] = 0
    monkeypatch.setattr(module, "_palette", lambda _: palette)
    draw = module._draw_shape
    monkeypatch.setattr(module, "_draw_shape", lambda canvas, radius, _, rng: draw(canvas, radius, [200.0] * 3, rng))
    black = np.mean(dead_leaves(params_of(size=128), 0, "a") < 100)
    assert black < 0.01


def test_shapes_of_every_kind_report_their_area():
    """Law of large numbers over places and kinds: what is drawn on a canvas that no shape leaves is what is counted."""
    generator = np.random.default_rng(0)
    drawn = counted = 0.0
    for _ in range(60):
        canvas = np.zeros((300, 300, 3), np.float32)
        area = module._draw_shape(canvas, 20.0, [1.0] * 3, generator)
        if not (canvas[[0, -1]].any() or canvas[:, [0, -1]].any()):
            drawn, counted = drawn + canvas[:, :, 0].sum(), counted + area
    assert drawn == pytest.approx(counted, rel=0.1)


def test_the_spectrum_falls_as_photographs_do():
    """Power ~ frequency^-slope, with a slope near 2 (Field 1987); white noise has 0."""
    params = params_of(size=128, min_radius=1.0, max_radius=64.0, exponent=3.0)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(128), np.fft.fftfreq(128)))
    ring = (frequency > 0.03) & (frequency < 0.3)
    power = np.zeros_like(frequency)
    for name in "abcd":
        gray = dead_leaves(params, 0, name).mean(axis=2)
        window = np.outer(np.hanning(128), np.hanning(128))
        power += np.abs(np.fft.fft2((gray - gray.mean()) * window)) ** 2
    slope = -np.polyfit(np.log(frequency[ring]), np.log(power[ring]), 1)[0]
    assert 1.5 < slope < 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_images": -1}, "num_images = -1"),
        ({"min_radius": 30.0}, r"min_radius = 30\.0 must not be above max_radius = 24\.0"),
    ],
)
def test_values_out_of_range_are_refused(change: dict[str, Any], message: str):
    with pytest.raises(ParamsError, match=message):
        validate("dataset.dead_leaves", VALUES | change, DeadLeavesParams, source="params.yaml")
