"""Dead leaves: images of overlapping shapes with power-law sizes, whose edges and scales resemble photographs'.

Model: Matheron 1968; Lee, Mumford and Huang 2001. Such images train restoration networks (Achddou et al. 2021).
"""

from typing import Annotated

import cv2
import numpy as np
from pydantic import Field

from faig.base.params import Count, Positive, settings
from faig.base.seeds import derive_seed

PREFIX = "dead_leaves_"
"""Names of dead-leaves images start so; photographs' names must not."""
COVER = 8
"""Shapes are laid until their areas add up to this many canvases: then about exp(-8) of the canvas is uncovered."""


@settings
class DeadLeavesParams:
    """Settings of the images; lengths in pixels of the finished image.

    ``supersampling``: how many times larger an image is drawn than it is; ``exponent``: the density of radii falls as
    radius^-exponent between ``min_radius`` and ``max_radius``.
    """

    num_images: Annotated[int, Field(ge=0)]
    size: Count
    supersampling: Annotated[int, Field(ge=1, le=8)]
    min_radius: Positive
    max_radius: Positive
    exponent: Annotated[float, Field(gt=1, allow_inf_nan=False)]

    def __post_init__(self) -> None:
        if self.min_radius > self.max_radius:
            raise ValueError(f"min_radius = {self.min_radius} must not be above max_radius = {self.max_radius}")


def dead_leaves_names(params: DeadLeavesParams) -> list[str]:
    """Names of all images, without a suffix."""
    return [f"{PREFIX}{number:03d}" for number in range(params.num_images)]


def dead_leaves(params: DeadLeavesParams, seed: int, name: str) -> np.ndarray:
    """Draw one image, uint8 (size, size, 3), which depends on the pipeline's seed and its name alone.

    Each shape covers what lies under it. The image is drawn ``supersampling`` times larger without antialiasing
    and averaged down, so that edges fall anywhere between pixels.
    """
    generator = np.random.default_rng(derive_seed(seed, "dead_leaves", name))
    side = params.size * params.supersampling
    palette = _palette(generator)
    canvas = np.empty((side, side, 3), np.float32)
    canvas[:] = palette[0]
    covered = 0.0
    while covered < COVER * side**2:
        colour = palette[generator.integers(len(palette))] + generator.normal(0, 8, size=3)
        covered += _draw_shape(canvas, _radius(params, generator) * params.supersampling, colour.tolist(), generator)
    small = cv2.resize(canvas, (params.size, params.size), interpolation=cv2.INTER_AREA)
    return np.clip(np.floor(small + 0.5), 0, 255).astype(np.uint8)


def _radius(params: DeadLeavesParams, generator: np.random.Generator) -> float:
    """Draw a radius from the truncated power law."""
    # By inversion: radius^(1 - exponent) is uniform between its values at the two limits.
    power = 1 - params.exponent
    low, high = params.min_radius**power, params.max_radius**power
    return float((low + generator.random() * (high - low)) ** (1 / power))


def _palette(generator: np.random.Generator) -> np.ndarray:
    """Draw 16 colours (16, 3), levels 0 to 255: wide in brightness and narrow in hue, as photographs are."""
    brightness = generator.uniform(10, 245, size=(16, 1))
    return np.clip(brightness + generator.normal(0, 35, size=(16, 3)), 0, 255).astype(np.float32)


def _draw_shape(canvas: np.ndarray, radius: float, colour: list[float], generator: np.random.Generator) -> float:
    """Draw a circle, ellipse or rectangle of half-length ``radius`` anywhere; returns its area in pixels."""
    x, y = (float(value) for value in generator.uniform(0, len(canvas), size=2))
    other, angle = radius * float(generator.uniform(0.2, 1)), float(generator.uniform(0, 180))
    kind = generator.integers(3)
    if kind == 0:
        cv2.circle(canvas, (int(x), int(y)), max(int(radius), 1), colour, -1)
        return np.pi * radius**2
    if kind == 1:
        cv2.ellipse(canvas, ((x, y), (2 * radius, 2 * other), angle), colour, -1)
        return np.pi * radius * other
    corners = cv2.boxPoints(((x, y), (2 * radius, 2 * other), angle))
    cv2.fillPoly(canvas, [np.round(corners).astype(np.int32)], colour)
    return 4 * radius * other
