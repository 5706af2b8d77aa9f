"""What a second branch costs in time, at equal parameters within 5 %: ``python -m benchmarks.speed.branches``."""

from dataclasses import replace

import click
import torch
from torch import nn
from torch.nn import functional

from benchmarks.common import compute, seconds, spread, write
from faig.experiments.branches import TwoBranchNetwork, add_branch, num_flops, num_parameters
from faig.networks.models import NetworkParams, NetworkSpec, build_network

SIZES = {"32x8": (32, 8), "64x16": (64, 16)}
NUM_CLASSES, BUDGET = 4, 0.05
RESTORED, PATCHES = 128, (8, 32)
"""LR pixels a side of the image restored; patches of a training step, and their LR pixels."""
HOW = replace(compute(), channels_last=True)  # as in training


@click.command()
@click.option("--runs", default=7)
def main(runs: int) -> None:
    """Measure both networks in turn and write benchmarks/speed/results/branches.json."""
    results = {}
    for name, (width, depth) in SIZES.items():
        spec = NetworkSpec(params=NetworkParams(name="srresnet", width=width, depth=depth), scale=2)
        one = build_network(spec, 0)
        networks = {"one_branch": one, "two_branches": add_branch(one, NUM_CLASSES, BUDGET, 0)}
        for network in networks.values():
            HOW.network_to_device(network)
        own: dict[str, object] = {
            key: {"parameters": num_parameters(network), "gflops": num_flops(network, RESTORED) / 1e9}
            for key, network in networks.items()
        }
        for task, work in {"restore": restore, "train_step": train_step}.items():
            times: dict[str, list[float]] = {key: [] for key in networks}
            for _ in range(runs + 1):  # the first warms up
                for key, network in networks.items():
                    times[key].append(seconds(lambda network=network, work=work: work(network)))
            ratios = [two / one for one, two in zip(*times.values(), strict=True)]
            own[task] = {**{key: spread(values[1:]) for key, values in times.items()}, "ratio": spread(ratios[1:])}
        results[name] = own
    write("speed/branches", results)


def restore(network: nn.Module) -> None:
    """One image."""
    with torch.no_grad(), HOW.autocast():
        network(HOW.to_device(torch.full((1, 3, RESTORED, RESTORED), 0.5)))


def train_step(network: nn.Module) -> None:
    """Forward and backward of one batch, of the prediction too where there is one."""
    count, side = PATCHES
    lr, hr = (HOW.to_device(torch.full((count, 3, size, size), 0.5)) for size in (side, 2 * side))
    with HOW.autocast():
        if isinstance(network, TwoBranchNetwork):
            sr, logits = network.both(lr)
            loss = functional.cross_entropy(logits.float(), torch.arange(count) % NUM_CLASSES)
        else:
            sr, loss = network(lr), torch.zeros(())
    (functional.l1_loss(sr.float(), hr) + loss).backward()


if __name__ == "__main__":
    main()
