"""Laws of costs told beforehand: linear in the pixels, near to what a larger image needs, refused before the work."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import CPU, ROOT
from torch import nn

from faig.attribution import cost
from faig.attribution.cost import Cost, measure_cost, saved_bytes
from faig.attribution.path import PathModel
from faig.base.errors import InputError
from faig.base.params import load_params
from faig.base.processes import ALONE, Group
from faig.data.targets import TargetParams
from faig.experiments import forecast as forecasts
from faig.experiments.forecast import Forecast, forecast, passes
from faig.experiments.scoring import ScoreParams, score_filters

MIB = 2**20
COMMITTED = load_params("score", ScoreParams, ROOT / "params.yaml")
BOTH = TargetParams(mixture={"blur": 1, "noise": 1}, attribute=("blur", "noise"), effort=1)


def image(side: int, channels: int = 3) -> torch.Tensor:
    return torch.rand(1, channels, side, side, generator=torch.Generator().manual_seed(0))


def path_of(network: nn.Module) -> PathModel:
    other = {name: value + 0.1 for name, value in network.state_dict().items()}
    return PathModel(network, network.state_dict(), other, CPU)


def test_a_cost_is_linear_in_the_pixels_but_for_what_is_fixed():
    small = Cost(pixels=100, seconds=2.0, kept=60.0, working=40.0, fixed=7)
    large = small.at(300)
    assert (large.pixels, large.seconds, large.kept, large.working, large.fixed) == (300, 6.0, 180.0, 120.0, 7)
    assert large.memory == 3 * (small.memory - 7) + 7
    assert large.at(100) == small
    assert small.largest(large.memory) == pytest.approx(300)
    assert small.largest(7) == small.largest(0) == 0


def test_a_large_image_is_told_from_a_crop_of_it(model, monkeypatch):
    seen = []
    monkeypatch.setattr(cost, "_seconds", lambda model, lr: seen.append(tuple(lr.shape)) or 0.5)
    told = {side: measure_cost(model, image(side)) for side in (8, 32, 64)}
    assert set(seen[:3]) == {(1, 3, 8, 8)}
    assert set(seen[3:]) == {(1, 3, 32, 32)}
    assert told[64].pixels == 64 * 64
    assert told[64].seconds == pytest.approx(4 * told[32].seconds) == 2.0
    assert told[64] == told[32].at(64 * 64)


def test_what_autograd_keeps_of_a_larger_crop_is_as_told(model):
    told = measure_cost(model, image(96))
    assert told.kept == pytest.approx(saved_bytes(model, image(96)), rel=0.02)


def test_kept_bytes_of_two_convolutions_are_their_input_and_the_map_between():
    """fp32: the input (3 channels) and the map (5); the loss keeps the output (2). ReLU keeps its result, once."""
    model = path_of(nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 2, 3, padding=1)))
    assert saved_bytes(model, image(20)) == 4 * 20 * 20 * (3 + 5 + 2)


def test_weights_do_not_count_whatever_the_size():
    """A layer of many weights and a map of few values: what is kept is the maps alone, and all of it grows."""
    model = path_of(nn.Sequential(nn.Conv2d(3, 64, 9, padding=4), nn.Conv2d(64, 3, 9, padding=4)))
    assert saved_bytes(model, image(16)) * 4 == saved_bytes(model, image(32)) == 4 * 32 * 32 * (3 + 64 + 3)


def test_a_network_that_takes_no_small_crop_is_run_on_a_larger_one(monkeypatch):
    class Choosy(nn.Sequential):
        def forward(self, input):
            if input.shape[-1] < 64:
                raise RuntimeError("at least 64 pixels")
            return super().forward(input)

    model, seen = path_of(Choosy(nn.Conv2d(3, 3, 3, padding=1))), []
    monkeypatch.setattr(cost, "_seconds", lambda model, lr: seen.append(lr.shape[-1]) or 1.0)
    assert measure_cost(model, image(100)).seconds == pytest.approx((100 / 64) ** 2)
    assert set(seen) == {64}
    with pytest.raises(InputError, match=r"cannot restore an input of shape \(1, 3, 40, 40\): at least 64 pixels"):
        measure_cost(model, image(40))


def settings(**changes: object) -> ScoreParams:
    learned = replace(COMMITTED.learned, steps=3, images=replace(COMMITTED.learned.images, num=2))
    return replace(COMMITTED, images=replace(COMMITTED.images, num=2), learned=learned, **changes)


def crops(num: int, side: int = 8) -> dict:
    names = ("clean", "blur", "noise")
    return {name: [(image(side), image(2 * side)) for _ in range(num)] for name in names}


@pytest.mark.parametrize("attribute", [("blur", "noise"), ("blur",)])
def test_passes_are_counted_as_they_are_made(model, monkeypatch, attribute):
    """Forward passes of the whole run, counted; those with a backward pass are one each, but for second order's."""
    target = replace(BOTH, attribute=attribute)
    params, images = settings(), {name: pairs for name, pairs in crops(2).items() if name in ("clean", *attribute)}
    counts, restore, grad = {"forward": 0, "backward": 0}, model.restore, torch.autograd.grad

    def count(kind, function):
        def counted(*arguments, **options):
            counts[kind] += 1
            return function(*arguments, **options)

        return counted

    monkeypatch.setattr(model, "restore", count("forward", restore))
    monkeypatch.setattr(torch.autograd, "grad", count("backward", grad))
    learnt_from = {name: [lr for lr, _ in pairs] for name, pairs in images.items()}
    score_filters(model, images, learnt_from, target, params, 0, np.random.default_rng(0), ALONE, lambda _: None)
    each, steps, both = passes(target, params)
    told = 2 * each + steps + 2 * both
    assert told == pytest.approx(counts["forward"] / 3 + counts["backward"] * 2 / 3)


def test_the_forecast_adds_up_pixels_and_is_shared_by_processes(model, monkeypatch):
    one = Cost(pixels=64, seconds=0.5, kept=3.0 * MIB, working=1.0 * MIB, fixed=0)
    monkeypatch.setattr(forecasts, "measure_cost", lambda model, lr: one.at(lr.shape[-2] * lr.shape[-1]))
    params, images = settings(), crops(2)
    learnt_from = {name: [image(16)] * 2 for name in images}
    each, steps, both = passes(BOTH, params)
    told = forecast(model, images, learnt_from, BOTH, params, ALONE)
    assert told.seconds == pytest.approx(0.5 * (2 * each + 4 * (steps + 2 * both)))
    assert told.memory == 4 * 4 * MIB
    two = forecast(model, images, learnt_from, BOTH, params, Group(0, 2, torch.device("cpu")))
    assert two == Forecast(told.seconds / 2, 2 * told.memory)


@pytest.mark.parametrize(
    ("seconds", "memory", "text"),
    [
        (41, 300 * MIB, "about 41 s on this machine, 300 MiB of memory"),
        (170, 1200 * MIB, "about 2.8 min on this machine, 1.2 GiB of memory"),
        (9000, 20 * 1024 * MIB, "about 2.5 h on this machine, 20.0 GiB of memory"),
    ],
)
def test_a_forecast_reads(seconds, memory, text):
    assert str(Forecast(seconds, memory)) == text


def test_what_does_not_fit_is_refused_before_the_work_with_a_size_that_fits(model, monkeypatch):
    images, learnt_from = crops(2, side=32), {name: [image(16)] * 2 for name in ("clean", "blur", "noise")}
    params = settings()
    params = replace(params, learned=replace(params.learned, images=replace(params.learned.images, size=32)))
    needed = measure_cost(model, image(32))
    monkeypatch.setattr(forecasts, "free_memory", lambda device: needed.at(20 * 20).memory)
    with pytest.raises(InputError, match=r"GiB are free: lower score.images.size = 64 to 40$"):
        forecast(model, images, learnt_from, BOTH, params, ALONE)
    with pytest.raises(InputError, match=r"lower score.images.size = 64 and score.dead_leaves.size = 64 to 40$"):
        forecast(model, crops(3, side=32), learnt_from, BOTH, params, ALONE)
    monkeypatch.setattr(forecasts, "free_memory", lambda device: needed.fixed // 2)
    with pytest.raises(InputError, match="no size would do"):
        forecast(model, images, learnt_from, BOTH, params, ALONE)
    monkeypatch.setattr(forecasts, "free_memory", lambda device: needed.memory)
    assert forecast(model, images, learnt_from, BOTH, params, ALONE).memory == needed.memory
