"""Laws of the bootstrap and of the area under the ROC curve."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from faig.base.statistics import (
    auroc,
    bootstrap_means,
    bootstrap_replicates,
    by_replicate,
    percentile_interval,
    with_interval,
)


def first_mean(means):
    return means[:, 0]


def interval(values, statistic=first_mean, *, num_resamples=500, confidence=0.95, seed=0):
    """As every summary finds it: resample the images, take the columns' means, then the statistic of these."""
    means = bootstrap_means(values, num_resamples=num_resamples, generator=np.random.default_rng(seed))
    with np.errstate(divide="ignore", invalid="ignore"):
        return percentile_interval(statistic(means), confidence=confidence)


def ratio(means):
    return means[:, 0] / means[:, 1]


def test_constant_data_has_an_interval_of_zero_width():
    assert interval(np.full(7, 0.1)) == (0.1, 0.1)


def test_one_image_has_an_interval_of_zero_width():
    assert interval([28.7]) == (28.7, 28.7)
    assert interval([[3.0, 4.0]], ratio) == (0.75, 0.75)


def test_the_interval_holds_the_estimate_and_lies_within_the_data():
    values = np.array([-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0])
    low, high = interval(values)
    assert -3 < low < 0 < high < 3
    assert abs(low + high) < 0.5  # symmetric, but for chance


def test_a_higher_confidence_is_wider_and_more_images_are_narrower():
    values = np.random.default_rng(1).normal(size=40)
    width = {confidence: np.diff(interval(values, confidence=confidence)).item() for confidence in (0.5, 0.95)}
    assert width[0.5] < width[0.95]
    assert np.diff(interval(np.tile(values, 9))).item() == pytest.approx(width[0.95] / 3, rel=0.2)


def test_the_interval_has_the_width_of_the_normal_approximation():
    values = np.random.default_rng(2).normal(size=100)
    low, high = interval(values, num_resamples=4000)
    error = values.std() / 10
    assert (low, high) == pytest.approx((values.mean() - 1.96 * error, values.mean() + 1.96 * error), abs=0.2 * error)


def test_intervals_cover_the_true_mean_about_as_often_as_they_say():
    draws = np.random.default_rng(3).normal(loc=5.0, size=(200, 30))
    covered = [low <= 5.0 <= high for low, high in (interval(row, num_resamples=200, confidence=0.9) for row in draws)]
    assert 0.8 < np.mean(covered) < 0.96  # 0.9, less what 30 images cost the percentile method, and chance


def test_scaling_the_data_scales_the_interval():
    values = np.random.default_rng(4).normal(size=12)
    np.testing.assert_allclose(interval(2 * values + 3), 2 * np.array(interval(values)) + 3)


def test_columns_are_resampled_together():
    """A ratio of proportional columns is the same in every resample."""
    column = np.random.default_rng(5).uniform(1, 2, size=20)
    assert interval(np.stack([3 * column, column], axis=1), ratio) == pytest.approx((3.0, 3.0), abs=1e-12)


def test_resampled_means_equal_a_loop_over_drawn_images():
    values = np.random.default_rng(6).normal(size=(9, 2))
    means = bootstrap_means(values, num_resamples=20, generator=np.random.default_rng(7))
    counts = np.random.default_rng(7).multinomial(9, [1 / 9] * 9, size=20)
    slow = [np.mean([row for row, n in zip(values, count, strict=True) for _ in range(n)], axis=0) for count in counts]
    np.testing.assert_allclose(means, slow, rtol=1e-12, atol=1e-15)


def test_equal_generators_give_equal_intervals_and_others_do_not():
    values = np.random.default_rng(8).normal(size=12)
    assert interval(values, seed=1) == interval(values, seed=1) != interval(values, seed=2)


def test_percentile_interval_holds_the_middle():
    assert percentile_interval(np.arange(101.0), confidence=0.9) == pytest.approx((5.0, 95.0))


def test_a_figure_has_its_interval_beside_it():
    low, high = percentile_interval(np.arange(101.0), confidence=0.9)
    assert with_interval("lead", 50, np.arange(101.0), 0.9) == {"lead": 50.0, "lead_low": low, "lead_high": high}


@pytest.mark.parametrize(
    ("values", "changed", "message"),
    [
        ([], {}, "at least one of each"),
        ([1.0, np.nan], {}, "1 of 2 values are NaN"),
        ([1.0, 2.0], {"num_resamples": 0}, "num_resamples must be at least 1"),
        ([1.0, 2.0], {"confidence": 1.0}, "confidence must lie between 0 and 1"),
        ([[1.0, 0.0], [2.0, 0.0]], {"statistic": ratio}, "denominator reaches 0"),
    ],
)
def test_unusable_input_is_refused(values, changed, message):
    with pytest.raises(ValueError, match=message):
        interval(values, **changed)


# Replicates


def test_tables_become_replicates_by_images():
    rows = [(replicate, image, 10 * replicate + place) for replicate in (1, 0) for place, image in enumerate("ba")]
    table = pd.DataFrame(rows, columns=["replicate", "image", "psnr"])
    np.testing.assert_array_equal(by_replicate(table, "psnr"), [[1, 0], [11, 10]])
    twice = pd.concat([table, table.assign(psnr=table["psnr"] + 4)])
    np.testing.assert_array_equal(by_replicate(twice, "psnr"), [[3, 2], [13, 12]])


def test_replicates_and_images_are_resampled_together_for_all_quantities():
    values = np.random.default_rng(1).normal(size=(3, 5))
    samples = bootstrap_replicates({"a": values, "b": values + 2, "one": values[:1]}, 4000, np.random.default_rng(0))
    np.testing.assert_allclose(samples["b"] - samples["a"], 2)
    assert samples["a"].mean() == pytest.approx(values.mean(), abs=0.03)
    alone = bootstrap_means(values[0], num_resamples=4000, generator=np.random.default_rng(3))
    assert samples["one"].std() == pytest.approx(alone.std(), rel=0.1)


def test_equal_images_leave_the_spread_over_replicates_and_the_other_way_round():
    spread = np.array([[0.0], [1.0]]) + np.zeros((2, 4))
    samples = bootstrap_replicates({"a": spread}, 500, np.random.default_rng(0))["a"]
    assert set(np.round(samples, 9)) == {0, 0.5, 1}
    samples = bootstrap_replicates({"a": np.array([[0.0, 1.0]] * 3)}, 500, np.random.default_rng(0))["a"]
    assert set(np.round(samples, 9)) == {0, 0.5, 1}


# AUROC


def test_auroc_is_scikit_learn_s_whatever_the_counts():
    generator = np.random.default_rng(0)
    scores, positive = generator.integers(5, size=40).astype(float), generator.random(40) < 0.4
    counts = generator.integers(1, 4, size=(3, 40))
    for found, weights in zip(auroc(scores, positive, counts), counts, strict=True):
        assert found == pytest.approx(roc_auc_score(positive, scores, sample_weight=weights))
    assert auroc(-scores, positive, counts) == pytest.approx(1 - auroc(scores, positive, counts))


def test_auroc_needs_both_kinds():
    with pytest.raises(ValueError, match="at least one positive and one negative"):
        auroc(np.arange(2.0), np.array([True, False]), np.array([[1, 1], [2, 0]]))
