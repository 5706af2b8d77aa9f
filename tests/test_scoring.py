import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from faig.attribution.comparisons import discriminate, taylor
from faig.attribution.engine import attribute_image, attribute_images
from faig.attribution.losses import LOSSES
from faig.attribution.path import PathModel
from faig.attribution.quadrature import QuadratureParams
from faig.base.processes import Group
from faig.base.resuming import NOTHING, Store
from faig.data.crops import CropParams
from faig.data.targets import TargetParams
from faig.experiments.score_table import METHODS, Key
from faig.experiments.scoring import (
    LearnedParams,
    ScoreParams,
    detour,
    num_passes,
    score_filters,
    unexplained,
    unsettled,
    without_gain,
)

CROPS = CropParams(num=2, size=16)
TWO_NODES = QuadratureParams(rule="gausslegendre", num_nodes=2, max_nodes=2, tolerance=0.1)
LEARNED = LearnedParams(images=CROPS, steps=3, batch_size=1, weight=4.0, ratios=(0.1, 0.3), damping=0.1)
PARAMS = ScoreParams(
    images=CROPS,
    dead_leaves=CROPS,
    loss="squared",
    contrast="share",
    quadrature=TWO_NODES,
    learned=LEARNED,
    num_random=2,
)
GROUP = Group(0, 1, torch.device("cpu"))
BOTH = TargetParams(mixture={"blur": 1.0}, attribute=("blur", "noise"), effort=1.0)
ALONE = TargetParams(mixture={"blur": 1.0}, attribute=("blur",), effort=1.0)


@pytest.fixture
def by_degradation(images):
    return {
        name: [(lr * (0.5 + 0.1 * n), hr) for lr, hr in images] for n, name in enumerate(("clean", "blur", "noise"))
    }


def score(model, by_degradation, target, advance=lambda _: None, store: Store = NOTHING, params=PARAMS):
    """Rankings and checks, the masks learned from the inputs that the other methods score."""
    inputs = {name: [lr for lr, _ in images] for name, images in by_degradation.items()}
    generator = np.random.default_rng(0)
    return score_filters(model, by_degradation, inputs, target, params, 0, generator, GROUP, advance, store)


def test_one_ranking_per_method_and_degradation_and_progress_is_counted(model, by_degradation):
    steps = []
    rankings, checks = score(model, by_degradation, BOTH, steps.append)
    expected = {Key(method, name) for method in METHODS for name in BOTH.attribute}
    assert rankings.keys() == expected | {Key("random", name, 1) for name in BOTH.attribute}
    assert {len(scores) for scores in rankings.values()} == {model.index.num_filters}
    assert sum(steps) == num_passes(BOTH)
    assert checks.keys() == {"blur", "noise", "clean"}
    assert all(checks[name]["nodes"] == 2 for name in BOTH.attribute)
    assert all(0 < checks[name]["learning_error"] < 2 for name in BOTH.attribute)


def test_barriers_are_the_images_means_of_clean_inputs_too(model, by_degradation):
    _, checks = score(model, by_degradation, BOTH)
    for name, images in by_degradation.items():
        assert checks[name]["barrier"] == pytest.approx(
            attribute_images(model, images, TWO_NODES).barriers.mean(), rel=1e-6
        )


def test_a_high_barrier_is_warned_of_with_the_degradation_that_has_it():
    checks = {"blur": {"barrier": 1.72}, "noise": {"barrier": 0.3}}
    assert re.search(r"restore blur images up to 1\.7 dB worse .* smaller learning rate", detour(checks))
    assert detour({"blur": {"barrier": 1.4}, "noise": {"barrier": 0.3}}) == ""


def test_where_fine_tuning_changed_nothing_no_method_fails(model, by_degradation):
    same = PathModel(model.network, model.target, model.target, model.compute)
    rankings, checks = score(same, by_degradation, BOTH)
    for method in ("faig", "learned", "second_order", "taylor"):
        assert not rankings[Key(method, "blur")].any()
    assert "learning_error" not in checks["blur"]


def test_integrals_that_do_not_close_are_named_with_the_key_that_mends_them():
    checks = {"blur": {"convergence_error": 0.0514}, "noise": {"convergence_error": 0.0499}, "clean": {}}
    text = unexplained(checks, TWO_NODES)
    assert re.search(r"of blur images miss 5\.1% .* try score\.quadrature\.num_nodes above 2, or rule: auto", text)
    assert text.count("\n") == 1
    auto = replace(TWO_NODES, rule="auto", num_nodes=1, max_nodes=64)
    assert "try score.quadrature.max_nodes above 64.\n" in unexplained(checks, auto)


def test_a_degradation_that_the_target_does_not_restore_better_is_named(model, by_degradation):
    _, checks = score(model, by_degradation, BOTH)
    for name in BOTH.attribute:
        found = attribute_images(model, by_degradation[name], TWO_NODES)
        assert checks[name]["improvement"] == pytest.approx(found.improvement, rel=1e-9)
    checks = {"blur": {"improvement": -0.031}, "noise": {"improvement": 0.001}, "clean": {"improvement": -0.5}}
    assert re.fullmatch(r"On blur images the target's loss is 3\.1% above .*\n", without_gain(checks, BOTH.attribute))


def test_the_loss_of_the_settings_is_what_faig_and_taylor_explain(model, by_degradation):
    params = replace(PARAMS, loss="absolute", contrast="plain")
    found, checks = score(model, by_degradation, BOTH, params=params)
    for name in BOTH.attribute:
        images = by_degradation[name]
        own = attribute_images(model, images, TWO_NODES, loss=LOSSES["absolute"])
        np.testing.assert_allclose(found[Key("faig", name)], own.scores.mean(axis=0, dtype=np.float64), rtol=1e-9)
        expanded = [taylor(model, lr, hr, LOSSES["absolute"]) for lr, hr in images]
        np.testing.assert_allclose(found[Key("taylor", name)], np.mean(expanded, axis=0, dtype=np.float64), rtol=1e-6)
        assert checks[name]["barrier"] == pytest.approx(own.barriers.mean())


def test_learning_that_did_not_settle_is_named():
    checks = {"blur": {"learning_error": 1.26}, "noise": {"learning_error": 0.9}, "clean": {}}
    assert re.search(r"remove blur has not settled: .* is 1\.3 times .* smaller damping", unsettled(checks))
    assert unsettled({"noise": {"learning_error": 0.9}, "clean": {}}) == ""


def test_random_rankings_are_shared_by_the_degradations_and_differ_from_each_other(model, by_degradation):
    rankings, _ = score(model, by_degradation, BOTH)
    assert np.array_equal(rankings[Key("random", "blur", 1)], rankings[Key("random", "noise", 1)])
    assert not np.array_equal(rankings[Key("random", "blur", 0)], rankings[Key("random", "blur", 1)])


def test_a_lone_degradation_is_contrasted_with_clean(model, by_degradation):
    rankings, _ = score(model, by_degradation, ALONE)
    means = {
        name: attribute_images(model, by_degradation[name], TWO_NODES).scores.mean(axis=0, dtype=np.float64)
        for name in ("blur", "clean")
    }
    np.testing.assert_allclose(rankings[Key("faig", "blur")], discriminate(means, "blur", "share"), rtol=1e-9)


def scored(model, by_degradation, store: Store) -> dict[Key, np.ndarray]:
    return score(model, by_degradation, BOTH, store=store)[0]


def test_scoring_goes_on_after_the_last_image(model, by_degradation, tmp_path, monkeypatch):
    """Stopped in any image, then started again: the same bits, and no image is scored twice."""
    expected = scored(model, by_degradation, NOTHING)
    calls = []

    def counted(*arguments, loss):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return attribute_image(*arguments, loss=loss)

    monkeypatch.setattr("faig.experiments.scoring.attribute_image", counted)
    store = Store(tmp_path / "store")
    with pytest.raises(KeyboardInterrupt):
        scored(model, by_degradation, store)
    found = scored(model, by_degradation, store)
    assert len(calls) == 2 * 3 + 1
    for key, scores in expected.items():
        np.testing.assert_array_equal(found[key], scores)


def test_what_was_kept_and_is_damaged_is_computed_anew(tmp_path):
    store = Store(tmp_path)
    assert store.get("a", lambda: {"scores": np.arange(3)})["scores"].tolist() == [0, 1, 2]
    assert store.get("a", lambda: pytest.fail("was kept"))["scores"].tolist() == [0, 1, 2]
    for content in (b"", (tmp_path / "a.npz").read_bytes()[:-50], b"no archive"):
        (tmp_path / "a.npz").write_bytes(content)
        assert store.get("a", lambda: {"scores": np.arange(4)})["scores"].tolist() == [0, 1, 2, 3]
