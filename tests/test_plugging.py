"""Laws of the experiment with plug-ins: what is trained, what is put together, and what is measured of it."""

from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner, Result
from conftest import CPU, ROOT, TINY
from test_retraining import TRAINING
from torch import nn

from faig.attribution.filters import FilterIndex
from faig.attribution.path import PathModel, Weights, mask
from faig.base.errors import InputError
from faig.base.statistics import BootstrapParams
from faig.data.images import write_png
from faig.data.pairs import Pair, list_pairs, write_entries
from faig.data.quality import psnr
from faig.data.tensors import to_image, to_tensor
from faig.experiments.plugging import (
    JOINT,
    CombineParams,
    PlugInParams,
    Trained,
    left_alone,
    measure,
    trainings,
    variants,
)
from faig.experiments.retraining import train_only
from faig.experiments.score_table import Key, write_scores
from faig.networks.models import build_network
from faig.networks.plugins import Plugin, add_tasks, extract, load_plugin, moving_weights, plug_in, remove
from faig.networks.training import fit
from faig.networks.weights import load_network, save_network
from faig.report.argument import summarize_plugins
from stages import combine as combine_stage
from stages import plug_in as plug_in_stage
from tools.preset import apply_preset

STRENGTHS = (0.5, 1.0)
FOUND = {"blur": np.array([40, 3, 9]), "noise": np.array([5, 60])}


def equal(first: Weights, second: Weights) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def trained_of(model: PathModel, found: dict[str, np.ndarray]) -> dict[str, Trained]:
    """Of each training, plug-ins and whole networks that are made up: shifted versions of the target."""
    made = {}
    for number, each in enumerate(each for each in trainings(found) if not each.upon):
        full = {name: value + 0.01 * number for name, value in model.target.items()}
        made[each.name] = Trained(extract(full, model.baseline, model.index, each.filters), full, 1000 + number)
    return made


def in_turn_of(trained: dict[str, Trained]) -> list[Plugin]:
    """As if what was trained in turn were what was trained apart; nothing where there is one degradation."""
    apart = [each.plugin for name, each in trained.items() if name != JOINT]
    return apart if len(apart) > 1 else []


# What is trained


def test_the_joint_training_has_the_union_of_the_filters_and_the_sum_of_the_iterations():
    blur, noise, joint, turn = trainings({"blur": np.array([7, 3]), "noise": np.array([3, 5])})
    assert (blur.name, blur.degradations, noise.degradations) == ("blur", ("blur",), ("noise",))
    assert (joint.name, joint.degradations, joint.filters.tolist()) == (JOINT, ("blur", "noise"), [3, 5, 7])
    assert (turn.name, turn.degradations, turn.filters.tolist(), turn.upon) == (
        "in_turn/noise",
        ("noise",),
        [5],
        ("blur",),
    )
    params = PlugInParams(learning_rate=0.5, left_alone=0.0, training=TRAINING)
    assert params.of(blur, whole=True) == TRAINING
    assert params.of(joint, whole=False) == replace(TRAINING, iterations=6, learning_rate=0.5)


def pair(degradation: str, height: int = 12, width: int = 16) -> Pair:
    generator = np.random.default_rng(0)
    hr, lr = (generator.integers(0, 256, (s * height, s * width, 3), dtype=np.uint8) for s in (2, 1))
    return Pair("one", degradation, hr, lr)


def test_patches_are_of_the_own_degradations_and_the_rest_is_what_was_spared():
    train, spared = [pair(name) for name in ("clean", "blur", "noise", "blur_noise")], [pair("clean"), pair("noise")]
    blur, _, joint, _ = trainings(FOUND)
    chosen = blur.pairs(train, spared)
    assert chosen == [train[1], *spared]
    assert blur.mixture(chosen, 0.4) == pytest.approx({"blur": 0.6, "clean": 0.2, "noise": 0.2})
    assert joint.pairs(train, spared) == [train[1], train[2], spared[0]]
    assert joint.mixture(joint.pairs(train, spared), 0.4) == pytest.approx({"blur": 0.3, "noise": 0.3, "clean": 0.4})
    assert blur.mixture(blur.pairs(train, []), 0.4) == {"blur": 1.0}


def test_what_is_left_alone_is_what_the_baseline_makes_of_it(model):
    whole, wide = pair("clean"), pair("noise", height=8, width=20)
    first, second = left_alone(model, model.baseline, [whole, wide], 16)
    assert (first.degradation, first.lr.shape, first.hr.shape) == ("clean", (8, 8, 3), (16, 16, 3))
    assert np.array_equal(second.lr, wide.lr[:, 6:14])
    assert np.array_equal(first.hr, to_image(model.restore(model.baseline, to_tensor(first.lr))))
    [all_of_it] = left_alone(model, model.baseline, [whole], 400)
    assert np.array_equal(all_of_it.lr, whole.lr)


def test_in_turn_each_training_has_the_filters_that_those_before_it_left_free():
    found = {"a": np.array([1, 2]), "b": np.array([2, 3]), "c": np.array([3, 4, 1])}
    turns = [each for each in trainings(found) if each.upon]
    assert [(each.name, each.filters.tolist()) for each in turns] == [("in_turn/b", [3]), ("in_turn/c", [4])]
    assert [each.upon for each in turns] == [("a",), ("a", "in_turn/b")]


def test_a_single_degradation_is_trained_on_alone():
    assert [each.name for each in trainings({"blur": np.array([3])})] == ["blur"]


@pytest.mark.parametrize("granularity", ["kernel", "channel"])
def test_a_plug_in_is_all_that_its_training_changed(granularity, tiny_network: nn.Module, tmp_path):
    index = FilterIndex.of(tiny_network, granularity=granularity)
    filters = np.array([2, 0, index.num_filters - 1])
    baseline = {name: value.clone() for name, value in moving_weights(tiny_network).items()}
    hr = np.random.default_rng(0).integers(256, size=(32, 32, 3), dtype=np.uint8)
    pairs = [Pair("a", "noise", hr, hr[::2, ::2].copy())]
    train_only(tiny_network, index, filters)
    where = {"seed": 0, "checkpoints": tmp_path, "description": "a"}
    tuned, _, _ = fit(tiny_network, pairs, pairs, {"noise": 1.0}, TRAINING, CPU, **where)
    made = extract(tuned, baseline, index, filters)
    assert not equal(tuned, baseline)
    assert equal(plug_in(baseline, index, [(made, 1.0)]), tuned)


# What is put together


def test_one_task_vector_is_its_network_and_none_or_strength_0_the_baseline(model):
    assert equal(add_tasks(model.baseline, [(model.target, 1.0)]), model.target)
    assert equal(add_tasks(model.baseline, [(model.target, 0.0)]), model.baseline)
    assert equal(add_tasks(model.baseline, []), model.baseline)


def test_task_vectors_are_added_as_the_formula_says(model):
    other = {name: value.flip(0) for name, value in model.target.items()}
    added = add_tasks(model.baseline, [(model.target, 0.3), (other, -1.5)])
    for name, value in model.baseline.items():
        base, first, second = value.double(), model.target[name].double(), other[name].double()
        expected = base + 0.3 * (first - base) - 1.5 * (second - base)
        torch.testing.assert_close(added[name].double(), expected, rtol=0, atol=1e-6)


def test_task_vectors_of_a_few_filters_are_plug_ins(model):
    grafts = [(mask(model.baseline, model.target, model.index, filters), 0.7) for filters in FOUND.values()]
    made = [(extract(model.target, model.baseline, model.index, filters), 0.7) for filters in FOUND.values()]
    added, together = add_tasks(model.baseline, grafts), plug_in(model.baseline, model.index, made)
    for name, value in together.items():
        torch.testing.assert_close(added[name], value, rtol=0, atol=1e-7)


def test_what_is_compared_and_what_it_takes_on_disk(model):
    trained = trained_of(model, FOUND)
    rows = [labels for labels, _ in variants(model.baseline, model.index, trained, in_turn_of(trained), STRENGTHS)]
    assert [(row["variant"], row["degradation"], row["strength"]) for row in rows] == [
        ("baseline", "", 0.0),
        ("plugin", "blur", 0.5), ("plugin", "blur", 1.0), ("full", "blur", 1.0),
        ("plugin", "noise", 0.5), ("plugin", "noise", 1.0), ("full", "noise", 1.0),
        ("plugins_together", "", 0.5), ("tasks_together", "", 0.5),
        ("plugins_together", "", 1.0), ("tasks_together", "", 1.0),
        ("plugins_in_turn", "", 1.0),
        ("plugin_joint", "", 1.0), ("full_joint", "", 1.0),
    ]  # fmt: skip
    sizes = {(row["variant"], row["degradation"]): row["num_bytes"] for row in rows}
    assert sizes["tasks_together", ""] == sizes["full", "blur"] + sizes["full", "noise"] == 2001
    assert sizes["plugins_together", ""] == sizes["plugin", "blur"] + sizes["plugin", "noise"]
    assert (sizes["baseline", ""], sizes["full_joint", ""]) == (0, 1002)


def test_where_there_is_one_degradation_nothing_is_put_together(model):
    trained = trained_of(model, {"blur": FOUND["blur"]})
    kinds = {
        labels["variant"]
        for labels, _ in variants(model.baseline, model.index, trained, in_turn_of(trained), STRENGTHS)
    }
    assert kinds == {"baseline", "plugin", "full"}


def test_of_plug_ins_put_together_each_can_be_taken_out_again(model):
    trained = trained_of(model, FOUND)
    found = {
        (labels["variant"], labels["degradation"], labels["strength"]): weights
        for labels, weights in variants(model.baseline, model.index, trained, in_turn_of(trained), STRENGTHS)
    }
    for name, other in (("blur", "noise"), ("noise", "blur")):
        for strength in STRENGTHS:
            without = remove(found["plugins_together", "", strength], model.baseline, model.index, trained[name].plugin)
            assert equal(without, found["plugin", other, strength])


def test_another_baseline_is_refused(model):
    other = {name: 2 * value for name, value in model.baseline.items()}
    with pytest.raises(InputError, match="was made for the baseline"):
        list(variants(other, model.index, trained_of(model, FOUND), [], STRENGTHS))


def test_quality_is_that_of_the_given_weights(model, inputs):
    trained = trained_of(model, FOUND)
    table = measure(
        model,
        variants(model.baseline, model.index, trained, in_turn_of(trained), STRENGTHS),
        {"blur": inputs["blur"][:1]},
    )
    assert len(table) == 2 * 14
    batch = inputs["blur"][0]
    expected = psnr(model.restore(trained["noise"].full, batch.lr).detach(), batch.hr, 2).tolist()
    rows = pd.DataFrame(table[(table["variant"] == "full") & (table["degradation"] == "noise")])
    assert rows[["image", "psnr"]].to_numpy().tolist() == [["a", expected[0]], ["b", expected[1]]]


def test_shares_are_taken_at_strength_1_which_must_be_measured():
    with pytest.raises(ValueError, match="must hold 1"):
        CombineParams(strengths=(0.5,))


# The stages


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What both stages read: params of the smoke preset, tiny photographs, networks and scores."""
    monkeypatch.chdir(tmp_path)
    params, _ = apply_preset("smoke", (ROOT / "params.yaml").read_text(encoding="utf-8"))
    Path("params.yaml").write_text(params, encoding="utf-8")
    generator = np.random.default_rng(0)
    names = ("clean", "blur", "noise", "blur_noise")
    for split in ("train", "test"):
        for number in range(2):
            for folder, size in (("hr", 32), *((f"lr/{name}", 16) for name in names)):
                image = generator.integers(256, size=(size, size, 3), dtype=np.uint8)
                write_png(tmp_path / folder / split / f"{number}.png", image)
    write_entries(Path("pairs.csv"), list_pairs(Path("hr"), Path("lr"), names))
    for seed, name in enumerate(("baseline", "network")):
        save_network(tmp_path / name, TINY, build_network(TINY, seed).state_dict())
    index = FilterIndex.of(build_network(TINY))
    rankings = {Key("faig", name): generator.standard_normal(index.num_filters) for name in ("blur", "noise")}
    write_scores(tmp_path / "scores", index, rankings, {})
    return tmp_path


def invoke(stage: click.Command, **others: str) -> Result:
    """Run a stage; what an option takes has the option's name, but for ``others``."""
    paths = {name: name for parameter in stage.params if (name := str(parameter.name))}
    paths |= {"pairs": "pairs.csv", **others}
    return CliRunner().invoke(stage, [word for name, path in paths.items() for word in (f"--{name}", path)])


def test_the_stages_train_plug_ins_and_put_them_together(run: Path):
    made = invoke(plug_in_stage.main, output="plugins")
    assert made.exit_code == 0, made.output
    names = ["blur", "joint", "noise"]
    assert sorted(path.stem for path in (run / "plugins").glob("*.safetensors")) == names
    assert sorted(path.stem for path in (run / "plugins/full").iterdir()) == names
    assert [path for path in (run / ".ckpt").rglob("*") if path.is_file()] == []
    plugins = {name: load_plugin(run / f"plugins/{name}.safetensors") for name in names}
    assert plugins["joint"].filters.tolist() == sorted({*plugins["blur"].filters, *plugins["noise"].filters})
    about = plugins["joint"].header.settings
    assert (about["degradation"], about["iterations"], about["mask_ratio"]) == ("joint", 8, 0.03)
    upon = load_plugin(run / "plugins/in_turn/noise.safetensors")
    assert upon.filters.tolist() == sorted({*plugins["noise"].filters} - {*plugins["blur"].filters})
    assert upon.header.settings["upon"] == ["blur"]
    baseline, _ = load_network(run / "baseline")
    tuned, _ = load_network(run / "plugins/full/blur.safetensors")
    assert not any(map(torch.equal, moving_weights(tuned).values(), moving_weights(baseline).values()))

    assert invoke(combine_stage.main, output="table").exit_code == 0
    table = pd.read_parquet(run / "table")
    assert table.groupby(["variant", "degradation", "strength"]).size().tolist() == [4 * 2] * 18
    assert set(table["input"]) == {"clean", "blur", "noise", "blur_noise"}
    sizes = {path.stem: path.stat().st_size for path in (run / "plugins").glob("*.safetensors")}
    rows = table[table["variant"] == "plugin"]
    assert dict(zip(rows["degradation"], rows["num_bytes"], strict=True)) == {n: sizes[n] for n in ("blur", "noise")}
    bootstrap = BootstrapParams(num_resamples=10, confidence=0.9)
    found = summarize_plugins(table, 0.5, bootstrap, np.random.default_rng(0))
    together = ["full_joint", "plugin_joint", "plugins_in_turn", "plugins_together", "tasks_together"]
    assert {name: sorted(values) for name, values in found.items()} == {
        **dict.fromkeys(("blur", "noise"), sorted(["full", "plugin", *together])),
        **dict.fromkeys(("clean", "blur_noise"), together),
    }

    refused = invoke(combine_stage.main, output="other", baseline="network")
    assert refused.exit_code == 1
    assert "the plug-in was made for the baseline" in refused.output
    assert not (run / "other").exists()
