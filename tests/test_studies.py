"""Laws of the studies of other scores, on the tiny network; and of their tables."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT

from benchmarks.studies import waifu2x
from benchmarks.studies.candidates import CANDIDATES, PATH, Case, bezier, refined, scored_along, trajectory
from benchmarks.studies.single_filters import Effect, Truth, greedy, own_and_selective, towards_baseline
from examples.waifu2x.network import make_network
from faig.attribution.comparisons import discriminate
from faig.attribution.engine import attribute_images
from tools import studies


@pytest.fixture
def case(model, images) -> Case:
    by_input = {
        name: [(lr * (1 - 0.2 * n), hr) for lr, hr in images] for n, name in enumerate(("clean", "blur", "noise"))
    }
    return Case(model, by_input, ("blur", "noise"), count=20)


def package_scores(case: Case) -> dict[str, np.ndarray]:
    """FAIG as the score stage has it."""
    means = {
        name: attribute_images(case.model, case.images[name], PATH).scores.mean(axis=0) for name in ("blur", "noise")
    }
    return {name: discriminate(means, name, "share") for name in means}


def assert_close(first: dict[str, np.ndarray], second: dict[str, np.ndarray], share: float) -> None:
    assert first.keys() == second.keys()
    for name, values in first.items():
        assert np.abs(values - second[name]).sum() <= share * np.abs(values).sum()


def test_the_candidate_faig_is_the_package_s(case):
    assert_close(CANDIDATES["FAIG"](case), package_scores(case), 1e-4)


def test_along_a_curve_whose_middle_is_the_mean_faig_is_the_same(case):
    model = case.model
    middle = {key: (value + model.target[key]) / 2 for key, value in model.baseline.items()}
    scores, notes = scored_along(case, bezier(model, middle))
    assert_close(scores, package_scores(case), 1e-3)
    assert max(notes["convergence_error"].values()) < 0.01


def test_integrals_along_any_curve_and_any_checkpoints_close(case):
    """The way does not change their sum."""
    model, generator = case.model, torch.Generator().manual_seed(5)
    around = {
        key: value + 0.03 * torch.randn(value.shape, generator=generator) for key, value in model.baseline.items()
    }
    scores, notes = scored_along(case, bezier(model, around))
    assert max(notes["convergence_error"].values()) < 0.05
    on_the_way = Case(model, case.images, case.attributed, case.count, [model.baseline, around, model.target])
    other = trajectory(on_the_way)
    assert max(on_the_way.notes["trajectory"]["convergence_error"].values()) < 0.05
    assert not np.allclose(scores["blur"], other["blur"])


def test_rounds_choose_as_many_filters_as_are_asked_for_each_once(case):
    for scores in refined(case).values():
        assert np.count_nonzero(scores) == case.count
        assert len(np.unique(scores[scores > 0])) == case.count


@pytest.mark.slow
def test_filters_chosen_one_by_one_are_no_less_selective_than_the_best_alone(case):
    truth = Truth(case)
    alone = np.array(
        [own_and_selective(truth.effects(np.array([n])), "blur")[1] for n in range(case.model.index.num_filters)]
    )
    found = greedy(truth, "blur", alone)
    assert found["1"][1] == pytest.approx(alone.max(), abs=1e-4)
    assert set(truth.effects(np.zeros(0, dtype=np.int64)).values()) == {Effect(0.0, 0.0, 0.0)}


def test_what_is_selective_costs_no_other_input():
    blur, noise = Effect(1.0, 0.3, 0.7), Effect(-3.0, 0.1, 0.4)
    for rise, selective in ((0.25, 0.75), (-0.25, 1.0)):
        effects = {"clean": Effect(rise, 0.2, 0.0), "blur": blur, "noise": noise}
        assert own_and_selective(effects, "blur") == (1.0, selective)
        assert towards_baseline(effects, "blur") == pytest.approx(0.7 - 0.2 - 0.1)


def test_waifu2x_s_weights_come_out_of_a_wheel_or_a_folder_and_double_the_image(tmp_path: Path):
    state = make_network().state_dict()
    arrays = {key.replace(".weight", "/W").replace(".bias", "/b"): value.numpy() for key, value in state.items()}
    for name in ("scale", "noise3_scale"):
        np.savez(tmp_path / f"anime_style_{name}_rgb.npz", **arrays)
    with zipfile.ZipFile(tmp_path / "waifu2x.whl", "w") as wheel:
        for path in tmp_path.glob("*.npz"):
            wheel.write(path, f"waifu2x/models/upconv7/{path.name}")
    for source in (tmp_path, tmp_path / "waifu2x.whl"):
        model = waifu2x.pair(source)
        assert not model.moving
        assert model.index.num_filters == 3 * 16 + 16 * 32 + 32 * 64 + 64 * 128 + 128 * 256 + 256 * 256 + 256 * 3
        assert model.restore(model.target, torch.rand(1, 3, 5, 9)).shape == (1, 3, 10, 18)


def test_a_clean_cut_removes_enough_and_spares_the_rest():
    best = {"removed": 0.5, "collateral": 0.1, "clean_lost_db": 0.5}
    assert studies.is_clean_cut(best)
    assert studies.is_clean_cut({"removed": 0.5, "clean_lost_db": -1.0})
    for key, value in (("removed", 0.49), ("removed", 1.11), ("collateral", 0.11), ("clean_lost_db", 0.51)):
        assert not studies.is_clean_cut({**best, key: value})


def test_the_tables_hold_what_was_measured(tmp_path: Path):
    for make in studies.TABLES.values():
        assert make(tmp_path).startswith("*Not measured")
    values = {"removed": 0.8, "removed_low": 0.7, "removed_high": 0.9, "collateral": 0.05, "clean_lost_db": 0.1}
    worse = {**values, "collateral": 0.3}
    found = {"filters": 200, "ratio": 0.03, "methods": {"FAIG": {"seconds": 2.4, "blur": values, "noise": worse}}}
    (tmp_path / "benchmarks/studies/results").mkdir(parents=True)
    (tmp_path / "benchmarks/studies/results/attributions.json").write_text(json.dumps({"networks": {"net": found}}))
    assert studies.overview(tmp_path).endswith("| FAIG | 1 of 2 | 80 % | 80 % | 30 % | 0.1 |")
    text = studies.attributions(tmp_path)
    assert text.startswith("net, the best 3 % of 200 filters:")
    assert text.endswith("| FAIG | 80 % (70 to 90) | 5 % | 0.10 | 80 % (70 to 90) | 30 % | 0.10 | 2 |")


def test_every_method_of_the_results_is_a_candidate():
    networks = studies.results_of(ROOT, "attributions")["networks"]
    assert {method for found in networks.values() for method in found["methods"]} <= set(CANDIDATES)
