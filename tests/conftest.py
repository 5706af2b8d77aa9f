"""What several test files share: tiny networks, weights and images, and the list of the project's files."""

import subprocess
from io import StringIO
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from faig.attribution.path import PathModel
from faig.base.compute import Compute
from faig.data.crops import Batch
from faig.networks.models import NetworkParams, NetworkSpec, build_network
from tools.preset import load, merge, round_trip

ROOT = Path(__file__).parents[1]
CPU = Compute(device=torch.device("cpu"), precision="fp32")
TINY = NetworkSpec(params=NetworkParams(name="srresnet", width=4, depth=1), scale=2)


torch.set_num_threads(1)  # tiny tensors: threads would only wait for each other


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The two smoke runs, by far the longest, start first, side by side where there are two workers."""
    items.sort(key=lambda item: not item.path.name.startswith("test_smoke"))


def project_files() -> list[Path]:
    """Files that are, or would be, in the repository."""
    command = ["git", "ls-files", "-z", "-co", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def overlay(params: str, changes: str) -> str:
    """The YAML text ``params`` with the values of the YAML text ``changes``, as presets are written into it."""
    values, written = load(params, "params"), StringIO()
    list(merge(values, load(changes, "changes")))
    round_trip().dump(values, written)
    return written.getvalue()


@pytest.fixture
def tiny_network() -> nn.Module:
    """SRResNet of 4 channels and 1 block, x2."""
    return build_network(TINY, seed=1)


@pytest.fixture
def model() -> PathModel:
    """The tiny network between two sets of weights, biases included, that differ by about a quarter."""
    network = build_network(TINY, seed=1)
    generator = torch.Generator().manual_seed(2)
    baseline = {name: 0.2 * noise(value, generator) for name, value in network.state_dict().items()}
    target = {name: value + 0.05 * noise(value, generator) for name, value in baseline.items()}
    return PathModel(network, baseline, target, CPU)


@pytest.fixture
def inputs() -> dict[str, list[Batch]]:
    """Images ``a``, ``b`` (LR 8 x 8) and ``c`` (LR 10 x 10) of two degradations, HR twice as large."""
    generator = torch.Generator().manual_seed(0)

    def batch(names: tuple[str, ...], size: int) -> Batch:
        lr, hr = (torch.rand(len(names), 3, side, side, generator=generator) for side in (size, 2 * size))
        return Batch(names, lr, hr)

    return {name: [batch(("a", "b"), 8), batch(("c",), 10)] for name in ("clean", "blur")}


@pytest.fixture
def images() -> list[tuple[Tensor, Tensor]]:
    """Three pairs of LR (1, 3, 8, 8) and HR (1, 3, 16, 16)."""
    generator = torch.Generator().manual_seed(3)
    return [
        (torch.rand(1, 3, 8, 8, generator=generator), torch.rand(1, 3, 16, 16, generator=generator)) for _ in range(3)
    ]


def noise(value: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(value.shape, generator=generator)
