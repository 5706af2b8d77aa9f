"""Laws of modulation: its ends are the target and the masked network, and what is reported follows from the curves."""

import numpy as np
import pandas as pd
import pytest
import torch

from faig.base.params import ParamsError, validate
from faig.data.crops import Batch
from faig.data.quality import psnr
from faig.experiments.masking import mask
from faig.experiments.modulation import (
    ModulationParams,
    best_pair,
    curve_points,
    grid_points,
    measure,
    modulate,
    summarize,
)

VALUES = {
    "target": "blind",
    "ratio": 0.1,
    "curve": [0.0, 0.5, 1.0, 1.5],
    "grid": [0.0, 1.0],
    "strip": [0.0, 1.0],
    "mixed": "blur_noise",
    "picture": 0,
    "num_resamples": 50,
    "confidence": 0.9,
}
PARAMS = validate("modulate", VALUES, ModulationParams, source="params.yaml")
FOUND = {"blur": np.array([3, 11, 40]), "noise": np.array([0, 7])}


def at(model, *dials):
    return modulate(model.target, model.baseline, model.index, dials)


def test_lambda_1_is_the_target_and_0_the_masked_network_bit_for_bit(model):
    both = np.concatenate(list(FOUND.values()))
    for filters in (*FOUND.values(), both):
        masked = mask(model.target, model.baseline, model.index, filters)
        for name in model.target:
            assert torch.equal(at(model, (filters, 1.0))[name], model.target[name])
            assert torch.equal(at(model, (filters, 0.0))[name], masked[name])
    ends = at(model, (FOUND["blur"], 1.0), (FOUND["noise"], 0.0))
    masked = mask(model.target, model.baseline, model.index, FOUND["noise"])
    assert all(torch.equal(ends[name], masked[name]) for name in masked)


@pytest.mark.parametrize("value", [0.25, 1.0, 1.3])
def test_weights_by_loops(model, value):
    expected = {name: weight.clone() for name, weight in model.target.items()}
    for layer, out, inp in zip(*model.index.locate(FOUND["blur"]), strict=True):
        key = model.index.keys[layer]
        first, last = model.baseline[key][out, inp], model.target[key][out, inp]
        expected[key][out, inp] = first + value * (last - first)
    for name, weight in at(model, (FOUND["blur"], value)).items():
        torch.testing.assert_close(weight, expected[name], rtol=1e-6, atol=1e-7)
        untouched = expected[name] == model.target[name]
        assert torch.equal(weight[untouched], model.target[name][untouched])


def test_dials_of_different_filters_do_not_meet_and_a_shared_filter_takes_the_product(model):
    alone = at(model, (FOUND["blur"], 0.5))
    together = at(model, (FOUND["blur"], 0.5), (FOUND["noise"], 0.25))
    for name, flags in model.index.spread(FOUND["noise"], model.target).items():
        kept = ~flags.expand_as(alone[name])
        assert torch.equal(together[name][kept], alone[name][kept])
    shared = at(model, (FOUND["blur"], 0.5), (FOUND["blur"], 0.5))
    for name, weight in at(model, (FOUND["blur"], 0.25)).items():
        torch.testing.assert_close(shared[name], weight)


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(0)
    shapes = ((2, 3, 8, 8), (2, 3, 16, 16))
    names = ("clean", "blur", "noise", "blur_noise")
    return {name: [Batch(("a", "b"), *(torch.rand(shape, generator=generator) for shape in shapes))] for name in names}


def test_curves_and_grid_hold_the_quality_of_the_modulated_networks(model, inputs):
    steps = []
    alone = measure(model, inputs, curve_points(FOUND, PARAMS), border=2, advance=steps.append)
    both = measure(model, inputs, grid_points(FOUND, PARAMS), border=2, advance=steps.append)
    assert len(steps) == 2 * 4 + 2 * 2
    assert len(alone) == 2 * 4 * 4 * 2
    batch = inputs["noise"][0]
    rows = alone[(alone["input"] == "noise") & (alone["dial"] == "blur")]
    for value, image, found in zip(rows["value"], rows["image"], rows["psnr"], strict=True):
        sr = model.restore(at(model, (FOUND["blur"], value)), batch.lr).detach()
        assert found == psnr(sr, batch.hr, 2)[batch.names.index(image)].item()
    ends = {name: alone[(alone["dial"] == name) & (alone["value"] == 0)] for name in FOUND}
    one = both[(both["first"] == 0) & (both["second"] == 1)]
    assert list(one["psnr"]) == list(ends["blur"]["psnr"])


def test_one_dial_has_no_grid(model, inputs):
    points = grid_points({"blur": FOUND["blur"]}, PARAMS)
    assert measure(model, inputs, points, border=2, advance=lambda _: None).empty


def summary(psnr_of):
    rows = [
        {"dial": "blur", "value": value, "input": name, "image": image, "psnr": psnr_of(value, name, image)}
        for value in PARAMS.curve
        for name in ("blur", "clean")
        for image in ("a", "b")
    ]
    return summarize(pd.DataFrame(rows), PARAMS, lambda: np.random.default_rng(0))["blur"]


def test_what_is_reported_of_a_hand_made_curve():
    own = {0.0: 20.0, 0.5: 24.0, 1.0: 26.0, 1.5: 22.0}
    values = summary(lambda value, name, image: own[value] + (image == "b") if name == "blur" else 30 - value)
    assert (values["psnr_masked"], values["psnr_target"], values["psnr_best"]) == (20.5, 26.5, 26.5)
    assert values["best_lambda"] == 1.0
    assert values["monotonicity"] == values["monotonicity_low"] == values["monotonicity_high"] == 1
    assert values["other_db"] == {"clean": 1.0}


def test_monotonicity_counts_the_steps_that_rise_by_image():
    values = summary(lambda value, name, image: value if image == "a" else -value)
    assert values["monotonicity"] == 0.5
    assert 0 <= values["monotonicity_low"] < 0.5 < values["monotonicity_high"] <= 1


def test_the_best_pair_of_a_hand_made_grid():
    rows = [(0.0, 0.0, 20), (0.0, 1.0, 22), (0.5, 1.0, 27), (1.0, 1.0, 26)]
    table = pd.DataFrame(
        [(a, b, x + move) for a, b, x in rows for move in (-1, 1)], columns=["first", "second", "psnr"]
    )
    assert best_pair(table, ["blur", "noise"]) == {
        "best_blur": 0.5,
        "best_noise": 1.0,
        "psnr_best": 27.0,
        "psnr_target": 26.0,
        "psnr_masked": 20.0,
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"curve": [0.0, 1.6]}, r"modulate\.curve"),
        ({"curve": [-0.1, 0.0, 1.0]}, r"modulate\.curve"),
        ({"grid": [0.5, 1.0]}, r"grid = \[0.5, 1.0\] must rise and hold 0 and 1"),
        ({"curve": [1.0, 0.0]}, r"curve = \[1.0, 0.0\] must rise and hold 0 and 1"),
        ({"ratio": 0}, r"modulate\.ratio = 0"),
    ],
)
def test_values_out_of_range_are_refused(change, message):
    with pytest.raises(ParamsError, match=message):
        validate("modulate", VALUES | change, ModulationParams, source="params.yaml")
