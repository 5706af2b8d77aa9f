"""Laws of modulation: its ends are the target and the masked network, and between them weights move on a line."""

import numpy as np
import pytest
import torch

from faig.data.quality import psnr
from faig.experiments.modulation import ModulationParams, curve_points, grid_points, measure, modulate

VALUES = {"curve": (0.0, 0.5, 1.0, 1.5), "grid": (0.0, 1.0), "strip": (0.0, 1.0), "mixed": "blur", "picture": 0}
PARAMS = ModulationParams(**VALUES)
FOUND = {"blur": np.array([3, 11, 40]), "noise": np.array([0, 7])}


def at(model, *dials):
    return modulate(model.target, model.baseline, model.index, dials)


def test_lambda_1_is_the_target_and_0_the_masked_network_bit_for_bit(model):
    both = np.concatenate(list(FOUND.values()))
    for filters in (*FOUND.values(), both):
        masked = model.masked(filters)
        for name in model.target:
            assert torch.equal(at(model, (filters, 1.0))[name], model.target[name])
            assert torch.equal(at(model, (filters, 0.0))[name], masked[name])
    ends = at(model, (FOUND["blur"], 1.0), (FOUND["noise"], 0.0))
    masked = model.masked(FOUND["noise"])
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


def test_curves_and_grid_hold_the_quality_of_the_modulated_networks(model, inputs):
    steps = []
    alone = measure(model, inputs, curve_points(FOUND, PARAMS), steps.append)
    both = measure(model, inputs, grid_points(FOUND, PARAMS), steps.append)
    assert len(steps) == (2 * 4 + 2 * 2) * len(inputs)
    assert len(alone) == 2 * 4 * len(inputs) * 3
    batch = inputs["clean"][0]
    rows = alone[(alone["input"] == "clean") & (alone["dial"] == "blur") & alone["image"].isin(batch.names)]
    for value, image, found in zip(rows["value"], rows["image"], rows["psnr"], strict=True):
        sr = model.restore(at(model, (FOUND["blur"], value)), batch.lr).detach()
        assert found == psnr(sr, batch.hr, 2)[batch.names.index(image)].item()
    ends = {name: alone[(alone["dial"] == name) & (alone["value"] == 0)] for name in FOUND}
    one = both[(both["first"] == 0) & (both["second"] == 1)]
    assert list(one["psnr"]) == list(ends["blur"]["psnr"])


def test_one_dial_has_no_grid(model, inputs):
    points = grid_points({"blur": FOUND["blur"]}, PARAMS)
    assert measure(model, inputs, points).empty


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"curve": [0.0, 1.6]}, r"curve\.1\n.*less than or equal to 1\.5"),
        ({"curve": [-0.1, 0.0, 1.0]}, r"curve\.0\n.*greater than or equal to 0"),
        ({"grid": [0.5, 1.0]}, r"grid = \[0.5, 1.0\] must rise and hold 0 and 1"),
        ({"curve": [1.0, 0.0]}, r"curve = \[1.0, 0.0\] must rise and hold 0 and 1"),
    ],
)
def test_values_out_of_range_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        ModulationParams(**(VALUES | change))
