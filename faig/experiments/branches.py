"""One branch against two (the paper's starting point): does a network need to be told the degradation?

The two-branch network is the one-branch network, its restoration branch, with a prediction branch beside it: a small
encoder of the image's fine detail, where blur and noise show, pooled over the image to an embedding e, from which a
linear layer names the degradation and others modulate the output y of every block: (1 + gamma(e)) y + beta(e) per
channel (FiLM, Perez et al. 2018; SFT, Wang et al. 2018, without its map). The modulation starts as the identity, so
both networks start as the same function.

Shapes: N images, K classes, C = width, E = size of the embedding, H x W = LR pixels, s = scale.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import pandas as pd
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from faig.base.compute import Compute
from faig.base.errors import InputError
from faig.base.params import Count, NonNegative, settings
from faig.data.crops import Batch
from faig.data.tensors import detail
from faig.experiments.evaluation import QUALITY, evaluate
from faig.networks.models import LEAK, Network
from faig.networks.training import Objective, TrainingParams

ONE, TWO = "one_branch", "two_branches"
NOTHING = -1
"""Stands for no degradation where a network names none."""
DETAIL_GAIN = 8.0
"""Brings the detail of noisy images to a size of about 1; without it, naming is learned many times slower."""


@settings
class BranchesParams:
    """Settings of the compare_branches stage.

    ``replicates``: draws of the prediction
    branch and of training patches; ``budget``: parameters that the prediction branch and the modulation may add, as a
    share of the one-branch network's; ``weight``: of the prediction's cross-entropy beside the L1 loss.
    """

    replicates: Count
    training: TrainingParams
    budget: Annotated[float, Field(gt=0, le=0.05)]
    weight: NonNegative
    flops_size: Count


class TwoBranchNetwork(nn.Module):
    """A restoration branch, modulated by a prediction branch of E channels that tells K classes apart."""

    def __init__(self, restoration: Network, num_classes: int, size: int) -> None:
        super().__init__()
        self.restoration = copy.deepcopy(restoration)
        self.encoder = nn.Sequential(
            nn.Conv2d(3, size, 3, stride=2, padding=1),
            nn.LeakyReLU(LEAK),
            nn.Conv2d(size, size, 3, stride=2, padding=1),
            nn.LeakyReLU(LEAK),
        )
        self.classify = nn.Linear(size, num_classes)
        blocks = self.restoration.blocks()
        self.modulations = nn.ModuleList([nn.Linear(size, 2 * channels) for _, channels in blocks])
        for value in self.modulations.parameters():
            nn.init.zeros_(value)

    def forward(self, x: Tensor) -> Tensor:
        """LR (N, 3, H, W) in [0, 1] -> SR (N, 3, sH, sW), not clipped."""
        return self.both(x)[0]

    def both(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """LR (N, 3, H, W) -> SR (N, 3, sH, sW) and the classes' logits (N, K)."""
        embedding = self.encoder(DETAIL_GAIN * detail(x)).mean(dim=(2, 3))
        hooks = []
        for (block, _), layer in zip(self.restoration.blocks(), self.modulations, strict=True):
            gamma, beta = layer(embedding)[..., None, None].chunk(2, dim=1)
            hooks.append(block.register_forward_hook(_Modulation(gamma, beta)))
        try:
            return self.restoration(x), self.classify(embedding)
        finally:
            for hook in hooks:
                hook.remove()


class _Modulation:
    """Hook of a block: its output y (N, C, H, W) becomes (1 + gamma) y + beta, gamma and beta (N, C, 1, 1)."""

    def __init__(self, gamma: Tensor, beta: Tensor) -> None:
        self.gamma, self.beta = gamma, beta

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        return output + self.gamma * output + self.beta


def add_branch(one: Network, num_classes: int, budget: float, seed: int) -> TwoBranchNetwork:
    """``one`` with the largest second branch that adds at most the share ``budget`` of its parameters.

    ``seed`` draws the encoder and the classifier.

    Raises:
        InputError: not even an embedding of one channel fits the budget.
    """
    limit = budget * num_parameters(one)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        best, size = None, 1
        while num_parameters(branched := TwoBranchNetwork(one, num_classes, size)) - num_parameters(one) <= limit:
            best, size = branched, size + 1
    if best is None:
        raise InputError(
            f"compare_branches.budget = {budget}: the smallest second branch adds "
            f"{num_parameters(branched) - num_parameters(one)} to the network's {num_parameters(one)} parameters"
        )
    return best


def num_parameters(network: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(value.numel() for value in network.parameters())


def num_flops(network: nn.Module, size: int) -> int:
    """Floating-point operations, a multiplication and an addition each, of convolutions and matrix products for one
    LR image of ``size`` x ``size`` pixels.
    """
    image = torch.zeros(1, 3, size, size, device=next(network.parameters()).device)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(image)
    return counter.get_total_flops()


def objective(weight: float) -> Objective:
    """L1 loss of the output plus ``weight`` times the prediction's cross-entropy."""

    def loss(network: nn.Module, lr: Tensor, hr: Tensor, labels: Tensor, compute: Compute) -> Tensor:
        assert isinstance(network, TwoBranchNetwork)
        with compute.autocast():
            sr, logits = network.both(lr)
        named = functional.cross_entropy(logits.float(), labels)
        return functional.l1_loss(sr.float(), hr) + weight * named

    return loss


def measure(network: nn.Module, inputs: Mapping[str, Sequence[Batch]], compute: Compute) -> pd.DataFrame:
    """Quality on every image of every degradation, and for two branches which degradation is named.

    Args:
        inputs: test images by degradation; the degradations in sorted order are the classes.

    Returns:
        Columns input, image, those of :data:`QUALITY`, and predicted (empty for one branch).
    """
    classes = sorted(inputs)

    def restore(lr: Tensor) -> Tensor:
        with compute.autocast():
            return network(compute.to_device(lr)).float()

    def named(sr: Tensor, batch: Batch) -> Tensor:
        if not isinstance(network, TwoBranchNetwork):
            return torch.full((len(batch.names),), NOTHING)
        with torch.no_grad(), compute.autocast():
            return network.both(compute.to_device(batch.lr))[1].argmax(dim=1)

    table = evaluate([([{}], restore)], inputs, {**QUALITY, "predicted": named})
    return table.assign(predicted=[classes[int(number)] if number >= 0 else "" for number in table["predicted"]])
