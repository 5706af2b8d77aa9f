"""Laws of the one loop that all experiments measure with: it equals a slow loop over images, network by network."""

from functools import partial

import pytest
import torch

from faig.data.crops import Batch
from faig.data.quality import psnr, psnr_y, ssim, ssim_y
from faig.experiments.evaluation import PSNR, QUALITY, evaluate


def test_measurements_equal_a_slow_loop_over_single_images(model, inputs):
    weights = {"baseline": model.baseline, "target": model.target}
    networks = [([{"network": name}], partial(model.restore, values)) for name, values in weights.items()]
    table = evaluate(networks, inputs, QUALITY)
    expected = [
        (name, degradation, image, model.restore(values, batch.lr[n : n + 1]).detach(), batch.hr[n : n + 1])
        for name, values in weights.items()
        for degradation, batches in inputs.items()
        for batch in batches
        for n, image in enumerate(batch.names)
    ]
    assert list(table.columns) == ["network", "input", "image", "psnr", "ssim", "psnr_y", "ssim_y"]
    for row, (*marks, sr, hr) in zip(table.itertuples(index=False), expected, strict=True):
        assert list(row[:3]) == marks
        for place, measure in enumerate((psnr, ssim, psnr_y, ssim_y), start=3):
            assert row[place] == pytest.approx(measure(sr, hr, 2).item(), abs=1e-3)


def test_at_scale_1_whole_images_are_compared():
    generator = torch.Generator().manual_seed(1)
    lr, hr = torch.rand(2, 1, 3, 12, 12, generator=generator)
    table = evaluate([([{}], torch.clone)], {"noise": [Batch(("a",), lr, hr)]}, QUALITY)
    assert table["psnr"].tolist() == psnr(lr, hr, 0).tolist()
    assert table["ssim_y"].tolist() == ssim_y(lr, hr, 0).tolist()


def test_a_network_that_stands_for_several_rows_is_run_once_and_each_has_its_own(model, inputs):
    calls, steps = [], []

    def restore(lr):
        calls.append(lr)
        return model.restore(model.target, lr)

    table = evaluate([([{"name": "a", "number": 1}, {"name": "b", "number": 2}], restore)], inputs, PSNR, steps.append)
    assert len(calls) == sum(map(len, inputs.values()))
    assert steps == [1] * len(inputs)
    first, second = (table[table["name"] == name].reset_index(drop=True) for name in "ab")
    assert set(first["number"]) == {1}
    assert set(second["number"]) == {2}
    assert first.drop(columns=["name", "number"]).equals(second.drop(columns=["name", "number"]))


def test_progress_counts_networks_times_inputs_and_no_network_is_no_row(model, inputs):
    steps = []
    networks = [([{"number": number}], partial(model.restore, model.target)) for number in range(3)]
    assert len(evaluate(networks, inputs, PSNR, steps.append)) == 3 * 3 * len(inputs)
    assert sum(steps) == 3 * len(inputs)
    assert evaluate([], inputs, PSNR).empty


def test_measures_see_the_batch_that_was_restored(model, inputs):
    def brightness(sr, batch):
        assert sr.shape == batch.hr.shape
        return batch.lr.sum(dim=(1, 2, 3))

    table = evaluate([([{}], partial(model.restore, model.target))], inputs, {"sum": brightness})
    expected = [value.sum().item() for batches in inputs.values() for batch in batches for value in batch.lr]
    assert table["sum"].tolist() == pytest.approx(expected)
