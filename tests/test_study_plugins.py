"""The study of plug-ins and their rivals: what each way trains, and the bytes that it is said to need."""

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.studies.plugins import RATES, Way, merged, plan, prepare
from faig.attribution.path import PathModel
from faig.base.compute import Compute
from faig.networks.models import NetworkParams, NetworkSpec, build_network

SPEC = NetworkSpec(params=NetworkParams(name="srresnet", width=4, depth=2), scale=2)
MODEL = PathModel(
    build_network(SPEC, 0),
    build_network(SPEC, 0).state_dict(),
    build_network(SPEC, 1).state_dict(),
    Compute(torch.device("cpu"), "fp32"),
)
NUM_LAYERS = len(MODEL.index.layers)
WAYS = [
    Way("plug-in", "random", 0.01),
    Way("full"),
    Way("biases"),
    Way("last layer"),
    Way("low rank", rank=2),
    Way("low rank", rank=0.5),
]


def trained(way: Way, steps: int = 3) -> tuple[dict[str, Tensor], int]:
    """The baseline after some steps of a way, and the bytes that it is said to need."""
    network = build_network(SPEC, 0)
    num_bytes = prepare(network, way, MODEL, np.array([3, 50]), seed=0)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    x = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    for _ in range(steps):
        optimizer.zero_grad()
        network(x).square().mean().backward()
        optimizer.step()
    return merged(network, network.state_dict()), num_bytes


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_without_a_step_every_way_is_the_baseline(way: Way) -> None:
    weights, _ = trained(way, steps=0)
    assert weights.keys() == MODEL.baseline.keys()
    assert all(torch.equal(weights[name], MODEL.baseline[name]) for name in weights)


def test_each_way_moves_what_it_names_and_nothing_else() -> None:
    for way in WAYS:
        weights, num_bytes = trained(way)
        moved = {name: int((weights[name] != MODEL.baseline[name]).sum()) for name in weights}
        changed, count = {name for name, number in moved.items() if number}, sum(moved.values())
        biases = {name for name in weights if name.endswith("bias")}
        if way.kind == "plug-in":
            flags = MODEL.index.spread(np.array([3, 50]), weights)
            assert changed <= flags.keys()
            assert count == 2 * 9
        elif way.kind == "biases":
            assert changed == biases
            assert num_bytes == 4 * count
        elif way.kind == "last layer":
            assert changed == {"last.weight", "last.bias"}
            assert num_bytes == 4 * count
        elif way.kind == "full":
            assert changed == set(weights)
            assert num_bytes == 4 * sum(value.numel() for value in weights.values())
        else:
            assert not changed & biases
            assert len(changed) == (NUM_LAYERS if way.rank >= 1 else round(NUM_LAYERS / 2))


@pytest.mark.parametrize("rank", [1, 3])
def test_a_low_rank_update_has_that_rank_and_those_bytes(rank: int) -> None:
    weights, num_bytes = trained(Way("low rank", rank=rank))
    expected = 0
    for name, before in MODEL.baseline.items():
        if before.ndim == 4:
            change = (weights[name] - before).flatten(1)
            limit = min(rank, *change.shape)
            values = torch.linalg.svdvals(change.double())
            assert (values[limit:] < 1e-5 * values[0]).all()
            expected += 4 * rank * sum(change.shape)
    assert num_bytes == expected


def test_the_plan_names_nothing_twice_and_has_a_rate_for_all() -> None:
    for width in (32, 64):
        ways = plan(width)
        assert len(set(ways)) == len(ways)
        assert {way.kind for way, _ in ways} <= set(RATES)
        assert len({str(way) for way, _ in ways}) == len({way for way, _ in ways})
