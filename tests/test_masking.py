import math

import numpy as np
import pandas as pd
import pytest
import torch

from faig.data.crops import Batch
from faig.data.quality import gradient_distance, psnr, ssim
from faig.experiments.masking import MaskParams, effects, mask, measure, num_networks
from faig.experiments.score_table import Key

PARAMS = MaskParams(num_resamples=200, confidence=0.95, min_gain=0.5, picture=0)


def everything(model):
    return np.arange(model.index.num_filters)


def test_masking_nothing_is_the_target_bit_for_bit(model):
    masked = mask(model.target, model.baseline, model.index, np.array([], dtype=int))
    assert masked.keys() == model.target.keys()
    assert all(torch.equal(masked[name], value) for name, value in model.target.items())


def test_masking_all_is_the_baseline_s_kernels_and_the_target_s_biases(model):
    masked = mask(model.target, model.baseline, model.index, everything(model))
    for name, value in masked.items():
        origin = model.baseline if name.endswith("weight") else model.target
        assert torch.equal(value, origin[name])


def test_masking_changes_the_chosen_filters_alone_and_no_input_in_place(model):
    chosen = np.array([0, 7, 40])
    before = {name: value.clone() for name, value in model.target.items()}
    masked = mask(model.target, model.baseline, model.index, chosen)
    expected = {name: value.clone() for name, value in model.target.items()}
    for layer, out, inp in zip(*model.index.locate(chosen), strict=True):
        key = model.index.keys[layer]
        expected[key][out, inp] = model.baseline[key][out, inp]
    for name, value in masked.items():
        assert torch.equal(value, expected[name])
        assert torch.equal(model.target[name], before[name])


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(0)

    def batch(names, size):
        shapes = ((len(names), 3, size, size), (len(names), 3, 2 * size, 2 * size))
        return Batch(names, *(torch.rand(shape, generator=generator) for shape in shapes))

    return {name: [batch(("a", "b"), 10), batch(("c",), 12)] for name in ("clean", "blur")}


def test_measurements_equal_a_plain_loop(model, inputs):
    chosen = {Key("faig", "blur"): np.array([1, 5]), Key("random", "blur"): np.array([5, 1])}
    steps = []
    table = measure(model, inputs, chosen, border=2, advance=steps.append)
    assert num_networks(chosen) == 3
    assert sum(steps) == 3 * len(inputs)
    assert len(table) == 4 * 3 * len(inputs)
    networks = {
        "baseline": model.baseline,
        "target": model.target,
        "faig": mask(model.target, model.baseline, model.index, np.array([1, 5])),
    }
    networks["random"] = networks["faig"]
    for row in table.to_dict("records"):
        batch = next(batch for batch in inputs[row["input"]] if row["image"] in batch.names)
        place = batch.names.index(row["image"])
        lr, hr = batch.lr[place : place + 1], batch.hr[place : place + 1]
        sr, target = (model.restore(weights, lr).detach() for weights in (networks[row["method"]], model.target))
        assert row["psnr"] == pytest.approx(psnr(sr, hr, 2).item(), abs=1e-2)
        assert row["ssim"] == pytest.approx(ssim(sr, hr, 2).item(), abs=1e-3)
        assert row["gradient_distance"] == pytest.approx(gradient_distance(sr, target).item(), abs=1e-2)


def table_of(quality):
    """{(method, degradation): {input: [PSNR per image]}} -> a table as measure returns it."""
    rows = [
        {"method": method, "degradation": of, "replicate": 0, "input": name, "image": str(number), "psnr": value}
        for (method, of), by_input in quality.items()
        for name, values in by_input.items()
        for number, value in enumerate(values)
    ]
    return pd.DataFrame(rows)


TARGET = {"blur": [30.0, 32.0], "noise": [28.0, 26.0], "clean": [33.0, 35.0]}
BASELINE = {"blur": [26.0, 26.0], "noise": [20.0, 20.0], "clean": [34.0, 36.0]}


def effects_of(masked, degradation="blur"):
    quality = {("baseline", ""): BASELINE, ("target", ""): TARGET, ("faig", degradation): masked}
    return effects(table_of(quality), ["blur", "noise"], PARAMS, lambda: np.random.default_rng(0))["faig"][degradation]


def test_masked_like_the_baseline_removes_all_masked_like_the_target_nothing():
    assert effects_of(BASELINE)["removed"] == pytest.approx(1)
    assert effects_of(BASELINE)["selectivity"] == pytest.approx(0)
    nothing = effects_of(TARGET)
    assert nothing["removed"] == nothing["collateral"] == 0


def test_removed_collateral_and_selectivity_on_a_hand_made_table():
    values = effects_of({"blur": [28.0, 28.0], "noise": [27.0, 25.5], "clean": [32.0, 35.0]})
    assert values["removed"] == pytest.approx(3 / 5)  # lost 2 and 4 of gains 4 and 6
    assert values["collateral"] == pytest.approx(0.75 / 7)
    assert values["selectivity"] == pytest.approx(3 / 5 - 0.75 / 7)
    assert values["lost_db"] == pytest.approx({"blur": 3.0, "noise": 0.75, "clean": 0.5})
    assert values["lost_share"] == pytest.approx({"blur": 3 / 5, "noise": 0.75 / 7})  # no gain on clean: no share
    for name in ("removed", "collateral", "selectivity"):
        assert values[f"{name}_low"] <= values[name] <= values[f"{name}_high"]


def test_a_gain_too_small_to_divide_by_leaves_the_shares_out():
    small = {"blur": [26.2, 26.2], "noise": TARGET["noise"], "clean": TARGET["clean"]}
    quality = {
        ("baseline", ""): BASELINE,
        ("target", ""): small,
        ("faig", "blur"): BASELINE,
        ("faig", "noise"): BASELINE,
    }
    values = effects(table_of(quality), ["blur", "noise"], PARAMS, lambda: np.random.default_rng(0))["faig"]
    assert values["blur"].keys() == {"lost_db", "lost_share"}
    assert values["noise"].keys() == {"removed", "removed_low", "removed_high", "lost_db", "lost_share"}
    assert values["blur"]["lost_share"].keys() == {"noise"}
    numbers = [number for group in values.values() for number in group.values() if isinstance(number, float)]
    assert all(math.isfinite(number) for number in numbers)


def test_replicates_are_averaged():
    rows = table_of({("baseline", ""): BASELINE, ("target", ""): TARGET, ("random", "blur"): TARGET})
    again = table_of({("random", "blur"): BASELINE}).assign(replicate=1)
    table = pd.concat([rows, again], ignore_index=True)
    values = effects(table, ["blur", "noise"], PARAMS, lambda: np.random.default_rng(0))["random"]["blur"]
    assert values["removed"] == pytest.approx(0.5)
