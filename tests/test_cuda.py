"""Laws of CUDA, where there is a device: recordings change nothing, and results are the CPU's up to rounding."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from faig.attribution.engine import attribute_images
from faig.attribution.filters import FilterIndex
from faig.attribution.learning import LearningParams, learn_scores, restore_both
from faig.attribution.path import PathModel
from faig.attribution.quadrature import QuadratureParams
from faig.attribution.second_order import expand
from faig.base.compute import Compute, ComputeParams, resolve
from faig.data.degradation import area
from faig.data.pairs import Pair
from faig.data.patches import PatchSampler
from faig.experiments.branches import add_branch, objective
from faig.experiments.retraining import train_only
from faig.networks import training
from faig.networks.cuda_graph import WARM_UP, Recorded
from faig.networks.models import NETWORKS, NetworkParams, NetworkSpec, build_network
from faig.networks.training import TrainingParams, start, step, train

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")

SPECS = [NetworkSpec(params=NetworkParams(name=name, width=16, depth=2), scale=2) for name in NETWORKS]
PARAMS = TrainingParams(
    iterations=24,
    batch_size=4,
    patch_size=16,
    learning_rate=1e-3,
    warmup=0.2,
    adam_betas=(0.9, 0.99),
    ema_decay=0.9,
    log_every=4,
    checkpoint_every=8,
    validation_images=1,
)


@pytest.fixture(params=["fp32", "bf16"])
def cuda(request: pytest.FixtureRequest) -> Compute:
    return resolve(ComputeParams(device="cuda", precision=request.param, threads=None, workers=None, launcher=None))


def sampler() -> PatchSampler:
    generator = np.random.default_rng(0)
    images = [generator.integers(256, size=(32, 32, 3), dtype=np.uint8) for _ in range(4)]
    pairs = [Pair(str(n), name, hr, area(hr, 2)) for n, hr in enumerate(images) for name in ("blur", "noise")]
    return PatchSampler(pairs, {"blur": 1.0, "noise": 1.0}, patch_size=16, batch_size=4, seed=0)


def trained(
    network: nn.Module, compute: Compute, *, recording: bool, loss: training.Objective = training.l1
) -> dict[str, Tensor]:
    state = start(copy.deepcopy(network), PARAMS, compute, loss)
    assert isinstance(state.descend, Recorded)
    if not recording:
        state.descend = state.descend.function
    for _ in range(12):
        step(state, sampler(), PARAMS)
    return {name: value.cpu() for name, value in {**state.network.state_dict(), **state.average}.items()}


def require_equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert [name for name, value in first.items() if not torch.equal(value, second[name])] == []


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.params.name)
def test_a_recording_trains_bit_for_bit_as_single_kernels_do(spec: NetworkSpec, cuda: Compute):
    network = build_network(spec, seed=1)
    require_equal(trained(network, cuda, recording=True), trained(network, cuda, recording=False))


def test_a_recording_trains_two_branches_as_single_kernels_do(cuda: Compute):
    network = add_branch(build_network(SPECS[0], seed=1), 2, 0.05, seed=0)
    one, other = (trained(network, cuda, recording=recording, loss=objective(0.5)) for recording in (True, False))
    require_equal(one, other)


def test_a_recording_returns_its_own_results_and_uses_each_batch():
    total = torch.zeros((), device="cuda")

    def function(batch: tuple[Tensor, ...]) -> Tensor:
        total.add_(batch[0].sum())
        return total.detach()

    recorded = Recorded(function)
    results = [recorded((torch.full((2,), float(number), device="cuda"),)) for number in range(WARM_UP + 4)]
    assert [value.item() for value in results] == np.cumsum([2 * n for n in range(WARM_UP + 4)]).tolist()


@pytest.mark.parametrize("interrupted", [5, 11, 17])
def test_a_run_that_was_interrupted_ends_with_the_bytes_of_an_undisturbed_one(
    interrupted: int, cuda: Compute, tmp_path: Path
):
    class Interrupted(Exception):  # noqa: N818
        pass

    class Stopping(PatchSampler):
        def batch(self, number: int) -> tuple[Tensor, Tensor]:
            if number == interrupted:
                raise Interrupted
            return super().batch(number)

    def run(folder: str, patches: PatchSampler) -> dict[str, Tensor]:
        network = build_network(SPECS[0], seed=1)
        return train(network, patches, PARAMS, cuda, lambda _: 0.0, tmp_path / folder, "test")[0]

    expected = run("whole", sampler())
    stopping = sampler()
    stopping.__class__ = Stopping
    with pytest.raises(Interrupted):
        run("parts", stopping)
    require_equal(run("parts", sampler()), expected)


def test_only_the_chosen_filters_are_trained(cuda: Compute):
    network = build_network(SPECS[0], seed=1)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    index, chosen = FilterIndex.of(network), np.array([0, 5, 30])
    train_only(network, index, chosen)
    state = start(network, PARAMS, cuda)
    for _ in range(WARM_UP + 3):
        step(state, sampler(), PARAMS)
    moved = index.spread(chosen, before)
    for name, value in network.state_dict().items():
        flags = moved.get(name, torch.zeros((), dtype=torch.bool)).expand(value.shape)
        assert torch.equal(value.cpu()[~flags], before[name][~flags])
        assert not flags.any() or (value.cpu() != before[name])[flags].any()


def test_scores_in_fp32_are_the_cpu_s(model: PathModel, images: list[tuple[Tensor, Tensor]]):
    params = QuadratureParams(rule="gausslegendre", num_nodes=4, max_nodes=4, tolerance=0.1)
    wishes = ComputeParams(device="cuda", precision="fp32", threads=None, workers=None, launcher=None)
    moved = PathModel(model.network, model.baseline, model.target, resolve(wishes))
    expected, found = attribute_images(model, images, params), attribute_images(moved, images, params)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-3, atol=1e-5 * expected.scores.max())
    np.testing.assert_allclose(found.changes, expected.changes, rtol=1e-4)


def test_masks_learned_in_fp32_are_the_cpu_s(model: PathModel, images: list[tuple[Tensor, Tensor]]):
    """The same order of the images, so only rounding differs."""
    moved = PathModel(model.network, model.baseline, model.target, Compute(torch.device("cuda"), "fp32"))
    params = LearningParams(steps=6, batch_size=1, weight=4.0, ratios=(0.1, 0.3), damping=0.1)
    inputs = {name: [lr * share for lr, _ in images] for name, share in (("blur", 1.0), ("clean", 0.3))}
    expected, found = (
        learn_scores(each, restore_both(each, inputs), "blur", params, 0).scores for each in (model, moved)
    )
    assert np.corrcoef(expected, found)[0, 1] > 0.99


def test_expansions_in_fp32_are_the_cpu_s(model: PathModel, images: list[tuple[Tensor, Tensor]]):
    moved = PathModel(model.network, model.baseline, model.target, Compute(torch.device("cuda"), "fp32"))
    expected, found = (expand(each, images[0][0], torch.Generator().manual_seed(0)).flat() for each in (model, moved))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6 * np.abs(expected).max())
