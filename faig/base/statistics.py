"""Bootstrap intervals of means over images, and the area under the ROC curve.

Every figure reported with an interval is a function of means over images (a mean, or a ratio of differences of means),
so one bootstrap serves all: resample the images, take the means, apply the function.

Shapes: N images, K columns (per-image quantities), M replicates, R resamples.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from faig.base.params import Count, settings

if TYPE_CHECKING:
    import pandas as pd


@settings
class BootstrapParams:
    """How intervals are drawn: the number of resamples, and the share of them that lies inside the interval."""

    num_resamples: Count
    confidence: Annotated[float, Field(gt=0, lt=1)]


def bootstrap_means(values: ArrayLike, *, num_resamples: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """The columns' means over ``num_resamples`` resamples of the images, with replacement: (N, K) or (N,) -> (R, K).

    Columns are resampled together, so a statistic of several columns keeps their pairing.

    Raises:
        ValueError: no image, no column, more than two axes, a value that is not finite, or fewer than one resample.
    """
    rows = np.asarray(values, dtype=np.float64)
    rows = rows[:, None] if rows.ndim == 1 else rows
    if rows.ndim != 2 or rows.size == 0:
        raise ValueError(f"expected values of shape (images, columns), at least one of each, got {np.shape(values)}")
    if not np.isfinite(rows).all():
        raise ValueError(
            f"{np.count_nonzero(~np.isfinite(rows))} of {rows.size} values are NaN or infinite: leave them out"
        )
    if num_resamples < 1:
        raise ValueError(f"num_resamples must be at least 1, got {num_resamples}")
    num_images = len(rows)
    # How often each image is drawn: (R, N).
    counts = generator.multinomial(num_images, np.full(num_images, 1 / num_images), size=num_resamples)
    # Means of differences from the first row: a constant column stays exactly constant, whatever the rounding.
    return rows[0] + counts @ (rows - rows[0]) / num_images


def by_replicate(rows: "pd.DataFrame", column: str) -> NDArray[np.float64]:
    """Arrange one column of a table as an array (replicates, images), images by name.

    The table has the columns replicate, image and ``column``. Several rows of one replicate and image are averaged.
    """
    return rows.pivot_table(index="replicate", columns="image", values=column).to_numpy()


def bootstrap_replicates(
    values: Mapping[str, NDArray[np.float64]], num_resamples: int, generator: np.random.Generator
) -> dict[str, NDArray[np.float64]]:
    """Means over ``num_resamples`` resamples of images and of replicates at once: (M, N) each -> (R,) each.

    One draw of the images serves all quantities, and one of the replicates all that have equally many, so that their
    differences and ratios keep the pairing.
    """
    [num_images] = {rows.shape[1] for rows in values.values()}
    images = generator.multinomial(num_images, np.full(num_images, 1 / num_images), size=num_resamples) / num_images
    replicates = {
        count: generator.multinomial(count, np.full(count, 1 / count), size=num_resamples) / count
        for count in sorted({len(rows) for rows in values.values()})
    }
    # (R, M) @ (M, N): each resample's mean over replicates, of every image; then the mean over its images.
    return {name: ((replicates[len(rows)] @ rows) * images).sum(axis=1) for name, rows in values.items()}


def percentile_interval(samples: ArrayLike, *, confidence: float) -> tuple[float, float]:
    """The interval (low, high) that holds the middle ``confidence`` share of the samples (R,).

    Raises:
        ValueError: ``confidence`` is not between 0 and 1, there are no samples, or some are not finite.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    samples = np.asarray(samples, dtype=np.float64)
    num_bad = np.count_nonzero(~np.isfinite(samples))
    if samples.ndim != 1 or samples.size == 0 or num_bad:
        raise ValueError(
            f"expected finite samples of shape (resamples,), got shape {samples.shape} with {num_bad} not finite: "
            "if the statistic is a ratio, its denominator reaches 0"
        )
    low, high = np.quantile(samples, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def with_interval(name: str, value: float, samples: ArrayLike, confidence: float) -> dict[str, float]:
    """A figure and its interval over the samples (R,), as metrics files hold them: {name, name_low, name_high}.

    Raises:
        ValueError: as :func:`percentile_interval`.
    """
    low, high = percentile_interval(samples, confidence=confidence)
    return {name: float(value), f"{name}_low": low, f"{name}_high": high}


def auroc(scores: NDArray[np.float64], positive: NDArray[np.bool_], counts: NDArray[np.generic]) -> NDArray[np.float64]:
    """Chance that a positive scores above a negative, ties counting half (Mann, Whitney 1947): one per resample (R,).

    ``scores`` and ``positive`` (N,); ``counts`` (R, N): how often each is in the resample.

    Raises:
        ValueError: a resample holds no positive or no negative.
    """
    # 1 where the positive (rows) scores above the negative (columns), 1/2 at a tie, 0 below.
    above = np.sign(scores[positive][:, None] - scores[~positive]) / 2 + 0.5
    first, second = counts[:, positive].astype(float), counts[:, ~positive].astype(float)
    total = first.sum(axis=1) * second.sum(axis=1)
    if not total.all():
        raise ValueError("AUROC needs at least one positive and one negative in every resample")
    return ((first @ above) * second).sum(axis=1) / total
