"""Does the response of the discovered filters grow with the severity of a degradation?

Test images are degraded anew with one operation at rising levels, seen in training or not. The response to an image of
the filters of d is log RMS of what masking them changes in the target's output (see
:mod:`faig.experiments.prediction`). Taken relative to the output's detail, it does not fall merely because a blurred
image has less to change.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from faig.base.errors import InputError
from faig.base.params import Name, settings
from faig.data.degradation import GIVEN, degrade, image_generator, parse_operations


@settings
class LevelsParams:
    """A degradation's levels: values of ``key`` of its operation ``operation``, whole ones where it asks for them."""

    operation: str
    key: str
    values: Annotated[tuple[int | float, ...], Field(min_length=6)]

    def __post_init__(self) -> None:
        if list(self.values) != sorted(set(self.values)):
            raise ValueError(f"values = {list(self.values)} must rise")


@settings
class SeverityParams:
    """Settings of the severity stage: which levels of which degradations; none where there are no levels to vary."""

    levels: dict[Name, LevelsParams]


def at_level(key: str, operations: Sequence[Any] | str, levels: LevelsParams, value: float, *, scale: int) -> list[Any]:
    """The operations of params.yaml's degradation ``key`` with one of their values replaced.

    Raises:
        InputError: the degradation is given as files, has no such operation or key, or the value is out of its range.
    """
    if operations == GIVEN:
        raise InputError(f"severity.levels names {key.split('.')[-1]}, which is {GIVEN}: files have no other levels")
    changed, found = [], 0
    for operation in operations:
        if isinstance(operation, dict) and levels.key in operation.get(levels.operation, {}):
            operation = {levels.operation: {**operation[levels.operation], levels.key: value}}
            found += 1
        changed.append(operation)
    if found != 1:
        number = f"{found} operations" if found else "no operation"
        raise InputError(f"{key} has {number} {levels.operation} with {levels.key}: severity.levels varies one of one")
    parse_operations(key, changed, scale=scale)
    return changed


def trained_level(operations: Sequence[Any], levels: LevelsParams) -> float:
    """The value that the operations of params.yaml themselves have."""
    [value] = [
        operation[levels.operation][levels.key]
        for operation in operations
        if isinstance(operation, dict) and levels.key in operation.get(levels.operation, {})
    ]
    return value


def degraded(
    hr: np.ndarray, name: str, key: str, operations: Sequence[Any], *, scale: int, downsampling: str, seed: int
) -> np.ndarray:
    """LR (H, W, 3) of an 8-bit HR image; its noise is the same at all levels but for the level."""
    generator = image_generator(seed, key, name)
    parsed = parse_operations(key, operations, scale=scale)
    return degrade(hr, parsed, scale=scale, downsampling=downsampling, generator=generator)
