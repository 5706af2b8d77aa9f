import numpy as np
import pytest
import torch

from faig.attribution import ScoreParams, discriminate, faig
from faig.crops import CropParams
from faig.processes import Group
from faig.quadrature import QuadratureParams
from faig.score_table import Key
from faig.scoring import METHODS, num_passes, score_filters
from faig.targets import TargetParams

CROPS = CropParams(num=2, size=16)
TWO_NODES = QuadratureParams(rule="gausslegendre", num_nodes=2, max_nodes=2, tolerance=0.1)
PARAMS = ScoreParams(images=CROPS, dead_leaves=CROPS, rule="share", quadrature=TWO_NODES, num_random=2)
GROUP = Group(0, 1, torch.device("cpu"))
BOTH = TargetParams(mixture={"blur": 1.0}, attribute=("blur", "noise"), effort=1.0)
ALONE = TargetParams(mixture={"blur": 1.0}, attribute=("blur",), effort=1.0)


@pytest.fixture
def by_degradation(images):
    return {
        name: [(lr * (0.5 + 0.1 * n), hr) for lr, hr in images] for n, name in enumerate(("clean", "blur", "noise"))
    }


def test_one_ranking_per_method_and_degradation_and_progress_is_counted(model, by_degradation):
    steps = []
    rankings, checks = score_filters(model, by_degradation, BOTH, PARAMS, np.random.default_rng(0), GROUP, steps.append)
    expected = {Key(method, name) for method in METHODS for name in BOTH.attribute}
    assert rankings.keys() == expected | {Key("random", name, 1) for name in BOTH.attribute}
    assert {len(scores) for scores in rankings.values()} == {model.index.num_filters}
    assert sum(steps) == num_passes(BOTH)
    assert checks.keys() == {"blur", "noise"}
    assert all(check["nodes"] == 2 for check in checks.values())


def test_random_rankings_are_shared_by_the_degradations_and_differ_from_each_other(model, by_degradation):
    rankings, _ = score_filters(model, by_degradation, BOTH, PARAMS, np.random.default_rng(0), GROUP, lambda _: None)
    assert np.array_equal(rankings[Key("random", "blur", 1)], rankings[Key("random", "noise", 1)])
    assert not np.array_equal(rankings[Key("random", "blur", 0)], rankings[Key("random", "blur", 1)])


def test_a_lone_degradation_is_contrasted_with_clean(model, by_degradation):
    rankings, _ = score_filters(model, by_degradation, ALONE, PARAMS, np.random.default_rng(0), GROUP, lambda _: None)
    means = {
        name: faig(model, by_degradation[name], TWO_NODES).scores.mean(axis=0, dtype=np.float64)
        for name in ("blur", "clean")
    }
    np.testing.assert_allclose(rankings[Key("faig", "blur")], discriminate(means, "blur", "share"), rtol=1e-9)
