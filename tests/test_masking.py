"""Laws of masking: only the chosen filters change, and each masked network is measured as a plain loop would."""

import numpy as np
import pytest
import torch

from faig.attribution.path import mask
from faig.base.errors import InputError
from faig.data.quality import gradient_distance, psnr, ssim
from faig.experiments.evaluation import PSNR, evaluate
from faig.experiments.masking import masked_networks, measure, measure_curves, num_networks, num_passes
from faig.experiments.score_table import Key


def test_masking_nothing_is_the_target_bit_for_bit(model):
    masked = model.masked(np.array([], dtype=int))
    assert masked.keys() == model.target.keys()
    assert all(torch.equal(masked[name], value) for name, value in model.target.items())


def test_masking_all_is_the_baseline_s_kernels_and_the_target_s_biases(model):
    for name, value in model.masked(np.arange(model.index.num_filters)).items():
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
        assert torch.equal(value, model.masked(chosen)[name])
        assert torch.equal(model.target[name], before[name])


ALL = ("psnr", "ssim", "psnr_y", "ssim_y", "gradient_distance")
CHOSEN = {
    Key("faig", "blur", ratio=0.1): np.array([1, 5]),
    Key("random", "blur", 1, ratio=0.1): np.array([5, 1]),
    Key("faig", "blur", ratio=0.2): np.array([1, 5, 9]),
}


def test_measurements_equal_a_plain_loop(model, inputs):
    table = measure(model, inputs, CHOSEN, measures=ALL)
    networks = {("baseline", "", 0, 0.0): model.baseline, ("target", "", 0, 0.0): model.target}
    networks |= {tuple(vars(key).values()): model.masked(filters) for key, filters in CHOSEN.items()}
    assert len(table) == len(networks) * 3 * len(inputs)
    for row in table.to_dict("records"):
        batch = next(batch for batch in inputs[row["input"]] if row["image"] in batch.names)
        place = batch.names.index(row["image"])
        lr, hr = batch.lr[place : place + 1], batch.hr[place : place + 1]
        weights = networks[row["method"], row["degradation"], row["replicate"], row["ratio"]]
        sr, target = (model.restore(each, lr).detach() for each in (weights, model.target))
        assert row["psnr"] == pytest.approx(psnr(sr, hr, 2).item(), abs=1e-2)
        assert row["ssim"] == pytest.approx(ssim(sr, hr, 2).item(), abs=1e-3)
        assert row["gradient_distance"] == pytest.approx(gradient_distance(sr, target).item(), abs=1e-2)


def test_equal_sets_of_filters_are_run_once(model, inputs):
    steps = []
    table = measure(model, inputs, CHOSEN, steps.append)
    assert num_networks(CHOSEN) == 4
    assert sum(steps) == 4 * len(inputs)
    by_method = [
        table.loc[(table["method"] == method) & (table["ratio"] == 0.1), "psnr"] for method in ("faig", "random")
    ]
    assert by_method[0].tolist() == by_method[1].tolist()


def restored(model, filters, lr, *, insert=False):
    [(_, restore)] = masked_networks(model, {Key("faig", "blur", ratio=0.1): filters}, insert=insert)
    return restore(lr).detach()


def test_insertion_of_all_filters_is_the_target_bit_for_bit(model, inputs):
    lr = inputs["blur"][0].lr
    inserted = restored(model, np.arange(model.index.num_filters), lr, insert=True)
    assert torch.equal(inserted, model.restore(model.target, lr))


def test_insertion_of_no_filter_is_the_deletion_of_all(model, inputs):
    lr, all_filters = inputs["blur"][0].lr, np.arange(model.index.num_filters)
    assert torch.equal(restored(model, all_filters[:0], lr, insert=True), restored(model, all_filters, lr))


def test_insertion_is_the_deletion_of_all_other_filters(model, inputs):
    lr, chosen = inputs["blur"][0].lr, np.array([3, 40, 0])
    others = np.array([number for number in range(model.index.num_filters) if number not in chosen])
    assert torch.equal(restored(model, chosen, lr, insert=True), restored(model, others, lr))
    assert not torch.equal(restored(model, chosen, lr, insert=True), restored(model, chosen, lr))


def test_both_curves_are_measured_each_network_once(model, inputs):
    steps = []
    table = measure_curves(model, inputs, ["blur"], CHOSEN, steps.append)
    assert sum(steps) == num_passes(inputs, ["blur"], CHOSEN) == 4 * 2 + 2
    deletion, insertion = (table[table["curve"] == curve].drop(columns="curve") for curve in ("deletion", "insertion"))
    assert deletion.equals(measure(model, inputs, CHOSEN))
    networks = masked_networks(model, CHOSEN, insert=True)
    expected = evaluate(networks, {"blur": inputs["blur"]}, PSNR)
    assert insertion.reset_index(drop=True).equals(expected)
    assert len(insertion) == len(CHOSEN) * 3


def test_insertion_cannot_be_measured_on_inputs_that_are_not_there(model, inputs):
    with pytest.raises(InputError, match="insertion cannot be measured on noise: the inputs are clean, blur"):
        measure_curves(model, inputs, ["blur", "noise"], CHOSEN)


def test_psnr_alone_is_that_of_the_full_table(model, inputs):
    full, alone = measure(model, inputs, CHOSEN, measures=ALL), measure(model, inputs, CHOSEN)
    assert list(full.columns)[-len(ALL) :] == list(ALL)
    assert alone.equals(full.drop(columns=["ssim", "psnr_y", "ssim_y", "gradient_distance"]))
