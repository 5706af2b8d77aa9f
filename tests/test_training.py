"""Laws of training: schedule, averaged weights, and a run that was interrupted ends as if it had not been."""

import itertools
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from faig.base.compute import Compute
from faig.base.errors import InputError
from faig.data.crops import batches, single
from faig.data.degradation import area
from faig.data.pairs import Pair
from faig.data.patches import PatchSampler
from faig.data.quality import psnr
from faig.networks import training
from faig.networks.models import NetworkParams, NetworkSpec, build_network
from faig.networks.training import (
    CHECKPOINT,
    TrainingParams,
    Watch,
    fit,
    learning_rate,
    load_checkpoint,
    mean_psnr,
    save_checkpoint,
    start,
    step,
    train,
)

CPU = Compute(device=torch.device("cpu"), precision="fp32")
SPEC = NetworkSpec(params=NetworkParams(name="srresnet", width=4, depth=1), scale=2)


def params_of(**changes: Any) -> TrainingParams:
    values: dict[str, Any] = {
        "iterations": 10,
        "batch_size": 2,
        "patch_size": 16,
        "learning_rate": 1e-2,
        "warmup": 0.2,
        "adam_betas": (0.9, 0.99),
        "ema_decay": 0.5,
        "log_every": 2,
        "checkpoint_every": 4,
        "validation_images": 2,
    }
    return TrainingParams(**values | changes)


def pair_of(name: str, degradation: str = "clean", *, size: int = 24) -> Pair:
    """LR: the area mean of a random HR image."""
    seed = [ord(letter) for letter in name]
    hr = np.random.default_rng(seed).integers(256, size=(size, size, 3), dtype=np.uint8)
    return Pair(name, degradation, hr, area(hr, 2))


def serialize(weights: dict[str, Tensor]) -> bytes:
    return to_safetensors({name: value.contiguous() for name, value in weights.items()})


PAIRS = [pair_of(name, degradation) for name in "abc" for degradation in ("clean", "noise")]


def sampler_of(seed: int = 0, pairs: list[Pair] = PAIRS) -> PatchSampler:
    mixture = dict.fromkeys((pair.degradation for pair in pairs), 1.0)
    return PatchSampler(pairs, mixture, patch_size=16, batch_size=2, seed=seed)


def no_validation(network: nn.Module) -> float:
    return 0.0


def run(
    folder: Path,
    *,
    params: TrainingParams | None = None,
    sampler: PatchSampler | None = None,
    validate: Callable[[nn.Module], float] = no_validation,
    watch: Watch | None = None,
) -> tuple[dict[str, Tensor], list[dict[str, float]]]:
    network = build_network(SPEC, seed=1)
    return train(network, sampler or sampler_of(), params or params_of(), CPU, validate, folder, "test", watch=watch)


def first_weight(network: nn.Module) -> float:
    return next(network.parameters()).flatten()[0].item()


class Interrupted(Exception):  # noqa: N818
    pass


def interrupt_at(call: int) -> Callable[[nn.Module], float]:
    """A validation whose ``call``-th call is the end of the run."""
    calls = itertools.count(1)

    def validate(network: nn.Module) -> float:
        if next(calls) == call:
            raise Interrupted
        return first_weight(network)

    return validate


# Schedule


@pytest.mark.parametrize("warmup", [0.2, 0.0])
def test_the_rate_is_positive_peaks_at_the_given_one_ends_near_0_and_has_no_jump(warmup: float):
    params = params_of(iterations=1000, warmup=warmup)
    rates = np.array([learning_rate(iteration, params) for iteration in range(1000)])
    assert rates.max() == params.learning_rate
    assert rates.min() > 0
    assert rates[-1] < 1e-4 * params.learning_rate
    assert np.abs(np.diff(rates)).max() < 1.1 * params.learning_rate / 200  # the warm-up's slope is the steepest


def test_the_rate_rises_over_the_warm_up_and_then_falls():
    params = params_of(iterations=100, warmup=0.25)
    changes = np.diff([learning_rate(iteration, params) for iteration in range(100)])
    assert (changes[:25] > 0).all()
    assert (changes[25:] < 0).all()


def test_without_warm_up_the_rate_is_half_a_cosine():
    params = params_of(iterations=100, warmup=0.0)
    for iteration in range(100):
        expected = params.learning_rate * (1 + math.cos(math.pi * iteration / 100)) / 2
        assert learning_rate(iteration, params) == pytest.approx(expected)


def test_a_single_iteration_has_a_rate():
    assert learning_rate(0, params_of(iterations=1, log_every=1, checkpoint_every=1)) == 1e-2


# Steps


def test_the_averaged_weights_follow_their_formula():
    """average_n = d_n average_(n-1) + (1 - d_n) weights_n with d_n = min(ema_decay, n / (n + 9))."""
    params, sampler = params_of(ema_decay=0.4), sampler_of()
    state = start(build_network(SPEC, seed=1), params, CPU)
    slow = {name: value.double().clone() for name, value in state.network.state_dict().items()}
    for number in range(1, 11):
        step(state, sampler, params)
        decay = min(0.4, number / (number + 9))
        for name, value in state.network.state_dict().items():
            slow[name] = decay * slow[name] + (1 - decay) * value.double()
    for name, value in state.average.items():
        torch.testing.assert_close(value.double(), slow[name], rtol=1e-5, atol=1e-7)


def test_a_step_is_adam_on_the_l1_loss():
    params, sampler = params_of(), sampler_of()
    network, state = build_network(SPEC, seed=1), start(build_network(SPEC, seed=1), params, CPU)
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate(0, params), betas=params.adam_betas)
    lr, hr = sampler.batch(0)
    loss = (network(lr) - hr).abs().mean()
    loss.backward()
    optimizer.step()
    assert step(state, sampler, params).item() == pytest.approx(loss.item(), rel=1e-6)
    for name, value in state.network.state_dict().items():
        torch.testing.assert_close(value, network.state_dict()[name], rtol=1e-4, atol=1e-6)


def test_the_loss_falls_on_a_problem_that_can_be_learnt(tmp_path: Path):
    """HR is brighter than LR: the network has to learn one bias."""
    lr = np.full((12, 12, 3), 100, dtype=np.uint8)
    pairs = [Pair("a", "clean", lr.repeat(2, axis=0).repeat(2, axis=1) + np.uint8(50), lr)]
    params = params_of(iterations=60, log_every=20, checkpoint_every=20)
    _, curve = run(tmp_path / "run", params=params, sampler=sampler_of(pairs=pairs))
    assert curve[-1]["train_loss"] < 0.3 * curve[0]["train_loss"]


def test_the_curve_has_a_point_every_log_every_iterations_and_one_at_the_end(tmp_path: Path):
    params = params_of(iterations=7)
    _, curve = run(tmp_path / "run", params=params, validate=first_weight)
    assert [point["iteration"] for point in curve] == [2, 4, 6, 7]
    assert [point["learning_rate"] for point in curve] == [learning_rate(place, params) for place in (1, 3, 5, 6)]
    assert all(list(point) == ["iteration", "learning_rate", "train_loss", "validation_psnr"] for point in curve)


def test_the_result_is_what_was_validated_last(tmp_path: Path):
    weights, curve = run(tmp_path / "run", validate=first_weight)
    assert curve[-1]["validation_psnr"] == float(next(iter(weights.values())).flatten()[0])


def test_training_neither_uses_nor_moves_global_random_state(tmp_path: Path):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, _ = run(tmp_path / "a")
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    second, _ = run(tmp_path / "b")
    assert serialize(first) == serialize(second)


# Checkpoints


@pytest.mark.parametrize("call", [1, 2, 3, 4, 5])
def test_an_interrupted_run_ends_with_the_bytes_of_an_undisturbed_one(tmp_path: Path, call: int):
    """Calls 1 and 2 come before the first checkpoint, call 3 after it (iteration 4), call 5 after the second."""
    weights, curve = run(tmp_path / "undisturbed", validate=first_weight)
    with pytest.raises(Interrupted):
        run(tmp_path / "run", validate=interrupt_at(call))
    assert (tmp_path / "run" / CHECKPOINT).exists() == (call > 2)
    resumed_weights, resumed_curve = run(tmp_path / "run", validate=first_weight)
    assert serialize(resumed_weights) == serialize(weights)
    assert resumed_curve == curve


def test_a_resumed_run_repeats_nothing_before_its_checkpoint(tmp_path: Path):
    with pytest.raises(Interrupted):
        run(tmp_path / "run", validate=interrupt_at(5))
    sampler = sampler_of()
    drawn: list[int] = []
    original = sampler.batch
    sampler.batch = lambda number: drawn.append(number) or original(number)
    run(tmp_path / "run", sampler=sampler)
    assert drawn == [8, 9]


def test_who_watches_is_told_of_the_whole_curve_at_each_point_and_a_resumed_run_goes_on_from_its_checkpoint(
    tmp_path: Path,
):
    told: list[list[Any]] = []
    with pytest.raises(Interrupted):
        run(tmp_path / "run", validate=interrupt_at(4), watch=lambda curve: told.append(list(curve)))
    assert [len(curve) for curve in told] == [0, 1, 2, 3]
    told.clear()
    _, curve = run(tmp_path / "run", validate=first_weight, watch=lambda curve: told.append(list(curve)))
    assert told == [curve[:length] for length in range(2, 6)]


def test_a_state_is_loaded_as_it_was_saved(tmp_path: Path):
    params, sampler = params_of(), sampler_of()
    state, other = (start(build_network(SPEC, seed), params, CPU) for seed in (1, 2))
    for _ in range(3):
        step(state, sampler, params)
    state.curve.append({"iteration": 3, "train_loss": 0.1})
    save_checkpoint(state, tmp_path)
    load_checkpoint(other, tmp_path)
    assert (other.iteration, other.curve) == (state.iteration, state.curve)
    assert serialize(other.average) == serialize(state.average)
    assert serialize(other.network.state_dict()) == serialize(state.network.state_dict())
    assert step(state, sampler, params) == step(other, sampler, params)


def test_a_run_that_is_done_is_not_run_again_until_its_checkpoint_is_deleted(tmp_path: Path):
    """Its results may be lost before they are written."""
    weights, curve = run(tmp_path / "deep" / "run")
    broken = BrokenSampler(PAIRS, {"clean": 1.0}, patch_size=16, batch_size=2, seed=0)
    broken.first_bad = 0
    again, same = run(tmp_path / "deep" / "run", sampler=broken)
    assert serialize(again) == serialize(weights)
    assert same == curve


class BrokenSampler(PatchSampler):
    """Gives NaN from one batch on."""

    first_bad = 5

    def batch(self, number: int) -> tuple[Tensor, Tensor]:
        lr, hr = super().batch(number)
        return (lr * math.nan, hr) if number >= self.first_bad else (lr, hr)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path: Path):
    folder = tmp_path / "run"
    sampler = BrokenSampler(PAIRS, {"clean": 1.0}, patch_size=16, batch_size=2, seed=0)
    message = f"diverged between iterations 5 and 6: .* kept in {re.escape(str(folder))}.*learning_rate = 0.01"
    with pytest.raises(InputError, match=message):
        run(folder, sampler=sampler)
    state = start(build_network(SPEC, seed=1), params_of(), CPU)
    load_checkpoint(state, folder)
    assert state.iteration == 4
    assert all(value.isfinite().all() for value in [*state.average.values(), *state.network.parameters()])


def test_without_a_checkpoint_the_error_says_so(tmp_path: Path):
    sampler = BrokenSampler(PAIRS, {"clean": 1.0}, patch_size=16, batch_size=2, seed=0)
    sampler.first_bad = 1
    with pytest.raises(InputError, match=r"iterations 1 and 2: .*there is no checkpoint yet"):
        run(tmp_path / "run", sampler=sampler)


# On pairs


def fit_once(folder: Path, train_pairs: list[Pair] = PAIRS, **changes: Any) -> dict[str, Tensor]:
    arguments: dict[str, Any] = {
        "params": params_of(),
        "mixture": {"clean": 1.0},
        "seed": 0,
        "network_seed": 1,
        "test": "de",
    }
    arguments |= changes
    test_pairs = [pair_of(name, degradation) for name in arguments["test"] for degradation in ("clean", "noise")]
    network = build_network(SPEC, arguments["network_seed"])
    used = {key: arguments[key] for key in ("mixture", "params", "seed")}
    return fit(network, train_pairs, test_pairs, **used, compute=CPU, checkpoints=folder, description="test")[0]


def interrupted_fit(folder: Path, monkeypatch: pytest.MonkeyPatch, **arguments: Any) -> set[str]:
    """Names of the checkpoints in ``folder`` after a run that is stopped behind its first checkpoint."""
    calls = itertools.count()
    last = 2 * len(arguments.get("mixture", ["clean"]))  # the third validation: the first checkpoint is at the second

    def interrupting(*args: Any) -> float:
        if next(calls) == last:
            raise Interrupted
        return 0.0

    with monkeypatch.context() as patch:
        patch.setattr(training, "mean_psnr", interrupting)
        with pytest.raises(Interrupted):
            fit_once(folder, **arguments)
    return {path.name for path in folder.iterdir()}


def test_runs_of_other_settings_or_data_share_no_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    known = interrupted_fit(tmp_path, monkeypatch)
    assert interrupted_fit(tmp_path, monkeypatch) == known
    others: list[dict[str, Any]] = [
        {"params": params_of(learning_rate=2e-2)},
        {"params": params_of(iterations=12)},
        {"mixture": {"clean": 1.0, "noise": 1.0}},
        {"seed": 1},
        {"network_seed": 2},
        {"train_pairs": PAIRS[:2]},
        {"test": "d"},
    ]
    for number, other in enumerate(others, start=2):
        known = interrupted_fit(tmp_path, monkeypatch, **other)
        assert len(known) == number, other


def test_an_interrupted_fit_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    weights = fit_once(tmp_path / "undisturbed")
    assert len(interrupted_fit(tmp_path / "run", monkeypatch)) == 1
    assert serialize(fit_once(tmp_path / "run")) == serialize(weights)


def test_only_degradations_of_the_mixture_are_trained_on(tmp_path: Path):
    one = fit_once(tmp_path, PAIRS)
    other = fit_once(tmp_path, [pair for pair in PAIRS if pair.degradation == "clean"])
    assert serialize(one) == serialize(other)


# Mean PSNR


class Nearest(nn.Module):
    """Repeats each pixel."""

    def forward(self, x: Tensor) -> Tensor:
        return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)


def test_mean_psnr_is_the_mean_over_images_of_all_sizes():
    pairs = [pair_of("a"), pair_of("b"), pair_of("c", size=40), pair_of("d", "noise")]
    made = batches(pairs, "clean")
    assert [len(batch.names) for batch in made] == [2, 1]
    network = Nearest()
    slow = []
    for batch in made:
        for number in range(len(batch.names)):
            lr, hr = single([batch], number)
            slow.append(psnr(network(lr), hr, border=2).item())
    assert mean_psnr(network, made, CPU) == pytest.approx(np.mean(slow), rel=1e-12)


def test_mean_psnr_leaves_no_gradient():
    network = build_network(SPEC)
    mean_psnr(network, batches(PAIRS, "clean"), CPU)
    assert all(value.grad is None for value in network.parameters())


@pytest.mark.parametrize("content", [b"", b"no checkpoint", None])
def test_an_unreadable_checkpoint_is_left_out(tmp_path: Path, content: bytes | None):
    if content is None:  # cut off
        state = start(build_network(SPEC), params_of(), CPU)
        step(state, sampler_of(), params_of())
        save_checkpoint(state, tmp_path)
        content = (tmp_path / CHECKPOINT).read_bytes()[:-100]
    (tmp_path / CHECKPOINT).write_bytes(content)
    fresh = start(build_network(SPEC), params_of(), CPU)
    with pytest.warns(UserWarning, match=rf"{CHECKPOINT} is no checkpoint that can be read .*: training starts anew"):
        load_checkpoint(fresh, tmp_path)
    assert fresh.iteration == 0


def test_weights_that_the_output_does_not_depend_on_stay_and_are_resumed(tmp_path: Path):
    """They have no gradient, and Adam keeps nothing of them."""

    def idle() -> nn.Module:
        network = build_network(SPEC, seed=1)
        network.idle = nn.Conv2d(1, 1, 1)
        nn.init.ones_(network.idle.weight)
        nn.init.zeros_(network.idle.bias)  # pyright: ignore
        return network

    def run_idle(folder: str, validate: Callable[[nn.Module], float]) -> dict[str, Tensor]:
        return train(idle(), sampler_of(), params_of(), CPU, validate, tmp_path / folder, "test")[0]

    weights = run_idle("undisturbed", no_validation)
    assert weights["idle.weight"].item() == 1
    with pytest.raises(Interrupted):
        run_idle("run", interrupt_at(3))
    assert serialize(run_idle("run", no_validation)) == serialize(weights)


def test_integer_tables_are_neither_averaged_nor_changed(tmp_path: Path):
    network = build_network(SPEC, seed=1)
    network.register_buffer("table", torch.arange(5))
    weights, _ = train(network, sampler_of(), params_of(), CPU, no_validation, tmp_path / "run", "test")
    assert torch.equal(weights["table"], torch.arange(5))
