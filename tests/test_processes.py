"""Laws of scoring and training in several processes: the same results, and an error in one of them ends all."""

import os
import subprocess
import sys
import time
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest
import torch

from faig.base.processes import Group, process_group
from stages.shared.cli import relaunched

ROOT = Path(__file__).parents[1]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
SCRIPT = """
import sys
import numpy as np, torch
from conftest import TINY, noise
from faig.experiments.scoring import LearnedParams, ScoreParams
from faig.base.compute import Compute
from faig.data.crops import CropParams
from faig.networks.models import build_network
from faig.attribution.path import PathModel
from faig.base.processes import process_group
from faig.attribution.quadrature import QuadratureParams
from faig.experiments.scoring import score_filters
from faig.data.targets import TargetParams

compute = Compute(torch.device("cpu"), "fp32")
crops = CropParams(num=1, size=16)
params = ScoreParams(
    images=crops, dead_leaves=crops, loss="squared", contrast="share", num_random=1,
    quadrature=QuadratureParams(rule="gausslegendre", num_nodes=2, max_nodes=2, tolerance=0.1),
    learned=LearnedParams(images=crops, steps=2, batch_size=1, weight=4.0, ratios=(0.1, 0.3), damping=0.1),
)
network, generator = build_network(TINY, seed=1), torch.Generator().manual_seed(2)
baseline = {name: 0.2 * noise(value, generator) for name, value in network.state_dict().items()}
target = {name: value + 0.05 * noise(value, generator) for name, value in baseline.items()}
sizes = ((1, 3, 8, 8), (1, 3, 16, 16))
images = [tuple(torch.rand(size, generator=generator) for size in sizes) for _ in range(3)]
moved = {name: [(lr * share, hr) for lr, hr in images] for name, share in (("clean", 1), ("blur", 0.6), ("noise", 0.8))}
settings = TargetParams(mixture={"blur": 1.0}, attribute=("blur", "noise"), effort=1.0)
with process_group(compute.device) as group:
    if sys.argv[2] == "fail" and group.rank == 1:
        raise ValueError("this process is broken")
    model = PathModel(network, baseline, target, compute)
    inputs = {name: [lr for lr, _ in pairs] for name, pairs in moved.items()}
    generator = np.random.default_rng(0)
    scores, _ = score_filters(model, moved, inputs, settings, params, 0, generator, group, lambda _: None)
    if group.is_writer:
        np.savez(sys.argv[1], **{f"{key.method}_{key.degradation}": value for key, value in scores.items()})
"""


TRAINING = """
import itertools, os, sys
from pathlib import Path
import numpy as np, torch
from conftest import TINY
from faig.base.compute import Compute
from faig.networks.models import build_network
from faig.data.pairs import Pair
from faig.base.processes import process_group
from faig.networks.training import TrainingParams, fit

output, mode = Path(sys.argv[1]), sys.argv[2]
generator = np.random.default_rng(0)
images = [generator.integers(256, size=(side, side, 3), dtype=np.uint8) for side in (48, 24, 48, 24)]
pairs = [Pair(name, "noise", images[2 * number], images[2 * number + 1]) for number, name in enumerate("ab")]
params = TrainingParams(
    iterations=30, batch_size=4, patch_size=16, learning_rate=1e-3,
    warmup=0.1, adam_betas=(0.9, 0.99), ema_decay=0.99, log_every=5, checkpoint_every=10, validation_images=1,
)
compute = Compute(torch.device("cpu"), "fp32")
with process_group(compute.device) as group:

    calls = itertools.count()

    def objective(network, lr, hr, labels, compute):
        if mode == "die" and group.rank == 1 and next(calls) == 17:
            os._exit(9)
        return torch.nn.functional.l1_loss(network(lr), hr)

    weights, points, _ = fit(
        build_network(TINY, seed=1), pairs, pairs, {"noise": 1.0}, params, compute, seed=0,
        checkpoints=output.parent / "checkpoints", description="test", objective=objective, group=group,
    )
    losses = np.array([point["train_loss"] for point in points])
    np.savez(output.with_suffix(f".{group.rank}.npz"), **weights, losses=losses)
"""


def run(launcher: list[str], output: Path, mode: str, text: str = SCRIPT) -> subprocess.CompletedProcess[str]:
    script = output.with_suffix(".py")
    script.write_text(text)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"}
    command = [*launcher, str(script), str(output), mode]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.slow
def test_two_processes_score_as_one_does(tmp_path):
    one, two = tmp_path / "one.npz", tmp_path / "two.npz"
    for launcher, output in (([sys.executable], one), (TORCHRUN, two)):
        assert run(launcher, output, "work").returncode == 0
    first, second = np.load(one), np.load(two)
    assert set(first) == set(second)
    for name in first:
        np.testing.assert_allclose(second[name], first[name], rtol=1e-6, atol=1e-12)


@pytest.mark.slow
def test_a_process_that_fails_ends_all_and_nothing_is_written(tmp_path):
    result = run(TORCHRUN, tmp_path / "scores.npz", "fail")
    assert result.returncode != 0
    assert "this process is broken" in result.stderr
    assert not (tmp_path / "scores.npz").exists()


def test_items_are_shared_out_each_to_one_process():
    groups = [Group(rank, 3, torch.device("cpu")) for rank in range(3)]
    shares = [group.share(range(7)) for group in groups]
    assert sorted(item for share in shares for item in share) == list(range(7))
    assert [group.is_writer for group in groups] == [True, False, False]


def test_alone_a_sum_is_the_value_itself(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with process_group(torch.device("cpu")) as group:
        assert group.sum(np.array([1.0, 2.0], dtype=np.float32)).tolist() == [1, 2]


def test_without_a_launcher_or_under_torchrun_nothing_is_started(monkeypatch):
    assert not relaunched(None)
    monkeypatch.setenv("FAIG_LAUNCHED", "x")
    assert not relaunched("/not/there")


def test_a_launcher_that_cannot_start_or_fails_is_an_error(monkeypatch):
    monkeypatch.delenv("FAIG_LAUNCHED", raising=False)
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", ModuleSpec("stages.score", None))
    with pytest.raises(ValueError, match="cannot be started"):
        relaunched("/not/there")
    with pytest.raises(ValueError, match=r"failed \(status 1\): see above"):
        relaunched("false")


def weights_of(path: Path, rank: int) -> dict[str, np.ndarray]:
    return dict(np.load(path.with_suffix(f".{rank}.npz")))


@pytest.fixture(scope="module")
def trained_by_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("two") / "two"
    result = run(TORCHRUN, output, "work", TRAINING)
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("30/30") == 1
    return output


@pytest.mark.slow
def test_two_processes_train_as_one_does(trained_by_two, tmp_path):
    """Each takes half of each batch. Sums of gradients are rounded otherwise, which Adam's division enlarges."""
    assert run([sys.executable], tmp_path / "one", "work", TRAINING).returncode == 0
    alone, first, second = weights_of(tmp_path / "one", 0), weights_of(trained_by_two, 0), weights_of(trained_by_two, 1)
    for name, values in alone.items():
        np.testing.assert_array_equal(second[name], first[name])
        np.testing.assert_allclose(first[name], values, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_training_ends_with_the_process_that_dies_and_goes_on_in_the_next_run(trained_by_two, tmp_path):
    began = time.monotonic()
    result = run(TORCHRUN, tmp_path / "broken", "die", TRAINING)
    assert time.monotonic() - began < 60
    assert result.returncode != 0
    assert "exitcode: 9" in result.stderr
    assert not list(tmp_path.glob("*.npz"))
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1
    assert run(TORCHRUN, tmp_path / "resumed", "work", TRAINING).returncode == 0
    resumed, whole = weights_of(tmp_path / "resumed", 0), weights_of(trained_by_two, 0)
    for name, values in whole.items():
        np.testing.assert_array_equal(resumed[name], values)
