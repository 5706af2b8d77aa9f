"""Discovered filters: the top share of a ranking."""

import numpy as np


def num_discovered(num_filters: int, ratio: float) -> int:
    """Count of filters that the share ``ratio`` stands for: rounded, and at least one for a ratio above 0.

    Raises:
        ValueError: the ratio is not within 0 to 1.
    """
    if not 0 <= ratio <= 1:
        raise ValueError(f"the share of filters must be from 0 to 1, not {ratio}")
    return max(round(num_filters * ratio), 1 if ratio > 0 else 0)


def discovered(scores: np.ndarray, ratio: float) -> np.ndarray:
    """Numbers of the top ``ratio`` share of filters by score (F,), best first; ties go to the lower number."""
    order = np.argsort(-np.asarray(scores), kind="stable")
    return order[: num_discovered(len(order), ratio)]
