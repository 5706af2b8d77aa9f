"""Laws of agreement between sets of filters: what chance gives, and where filters lie."""

import itertools

import numpy as np
import pytest

from faig.base.statistics import BootstrapParams
from faig.data.targets import TargetParams
from faig.experiments.score_table import Layers
from faig.report.agreement import agreement, chance, depth_profile, jaccard, specialists

BOOTSTRAP = BootstrapParams(num_resamples=400, confidence=0.9)
SIZES = (12, 20, 10)
LAYERS = Layers(("first", "middle", "last"), np.repeat(range(3), SIZES))


def generator():
    return np.random.default_rng(0)


def test_jaccard_of_equal_of_disjoint_and_of_hand_made_sets():
    a, b = np.array([1, 2, 3]), np.array([3, 4])
    assert jaccard(a, a[::-1]) == 1
    assert jaccard(a, np.array([7, 8, 9])) == 0
    assert jaccard(a, b) == jaccard(b, a) == 1 / 4


def test_chance_is_the_mean_over_all_pairs_of_sets():
    sets = [np.array(chosen) for chosen in itertools.combinations(range(6), 2)]
    exact = np.mean([jaccard(np.array([0, 1]), other) for other in sets])
    samples = chance(np.array([2]), np.array([2]), np.array([6]), num_draws=20000, generator=generator())
    assert samples.mean() == pytest.approx(exact, abs=0.01)


def test_chance_by_layer_knows_full_layers():
    sizes = np.array([3, 4])
    samples = chance(np.array([3, 0]), np.array([3, 0]), sizes, num_draws=10, generator=generator())
    assert (samples == 1).all()
    assert (chance(np.array([3, 0]), np.array([0, 3]), sizes, num_draws=10, generator=generator()) == 0).all()


def test_equal_discoveries_agree_beyond_chance_and_random_ones_do_not():
    draw = generator()
    own = {name: draw.permutation(sum(SIZES))[:8] for name in ("blur", "noise")}
    results = agreement(LAYERS, own, own, BOOTSTRAP, generator())
    for name, other in (("blur", "noise"), ("noise", "blur")):
        values = results[name]
        assert values["jaccard"] == 1 > values["same_count_high"] >= values["same_count"]
        assert values["random"] <= values["random_high"] < 1
        assert values["other"] == {other: jaccard(own["blur"], own["noise"])}
    rates = []
    for _ in range(100):
        mine, theirs = ({"blur": draw.permutation(sum(SIZES))[:8]} for _ in range(2))
        values = agreement(LAYERS, mine, theirs, BOOTSTRAP, generator())["blur"]
        rates.append(values["jaccard"] > values["random_high"])
    assert np.mean(rates) < 0.15


def test_depths_by_hand_and_their_interval():
    first, last = np.arange(4), np.arange(sum(SIZES) - 4, sum(SIZES))
    profile = depth_profile(LAYERS, {"blur": last, "noise": np.concatenate([first, last])}, BOOTSTRAP, generator())
    assert profile["blur"]["mean"] == profile["blur"]["mean_low"] == profile["blur"]["mean_high"] == 1
    assert profile["noise"]["mean"] == 0.5
    assert profile["noise"]["mean_low"] < 0.5 < profile["noise"]["mean_high"]
    assert profile["noise"]["all"] == pytest.approx((0 * 12 + 0.5 * 20 + 1 * 10) / 42)


def test_a_specialist_is_trained_on_one_degradation_alone():
    def target(mixture, attribute):
        return TargetParams(mixture=mixture, attribute=attribute, effort=1.0)

    targets = {
        "blind": target({"blur": 1.0, "noise": 1.0}, ("blur", "noise")),
        "mostly": target({"noise": 9.0, "clean": 1.0}, ("noise",)),
        "sharp": target({"blur": 1.0}, ("blur",)),
        "sharper": target({"blur": 1.0}, ("blur",)),
    }
    assert specialists(targets, "blind") == {"blur": "sharp"}
