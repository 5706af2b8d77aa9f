"""The paper's two one-branch networks at any width, depth and scale.

Shapes: N images, C = width, H x W = LR pixels, s = scale.
"""

from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import AfterValidator, Field
from torch import Tensor, nn
from torch.nn import functional

from faig.base.params import Scale, settings

LEAK = 0.1  # negative slope of the leaky ReLU, both networks


def _require_known(name: str) -> str:
    if name not in NETWORKS:
        raise ValueError(f"name = {name!r} is not one of {', '.join(NETWORKS)}")
    return name


@settings
class NetworkParams:
    """Which network: ``name`` of :data:`NETWORKS`, ``width`` in channels, ``depth`` in blocks or convolutions."""

    name: Annotated[str, AfterValidator(_require_known)]
    width: Annotated[int, Field(ge=2, le=4096, multiple_of=2)]
    depth: Annotated[int, Field(ge=1, le=1000)]


@settings
class NetworkSpec:
    """All that is needed to rebuild a network without its weights: its params and the scale."""

    params: NetworkParams
    scale: Scale

    def __str__(self) -> str:
        """In words, for messages."""
        return f"{self.params.name} of width {self.params.width}, depth {self.params.depth}, scale {self.scale}"


def upsampling(width: int, scale: int) -> list[nn.Module]:
    """Convolution and pixel shuffle, (N, C, H, W) -> (N, C, sH, sW): no step at scale 1, one at 2 and 3, two at 4."""
    steps = {1: [], 2: [2], 3: [3], 4: [2, 2]}[scale]
    layers: list[nn.Module] = []
    for step in steps:
        layers += [nn.Conv2d(width, step**2 * width, 3, padding=1), nn.PixelShuffle(step), nn.LeakyReLU(LEAK)]
    return layers


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(x))), no batch norm."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        return x + self.conv2(functional.relu(self.conv1(x)))


class Network(nn.Module):
    """What all networks of :data:`NETWORKS` have in common.

    Each is built from (width, depth, scale); its ``forward`` takes LR (N, 3, H, W) in [0, 1] to SR (N, 3, sH, sW).
    """

    def __init__(self, width: int, depth: int, scale: int) -> None:
        super().__init__()

    def initialize(self) -> None:
        """Draw the initial weights from torch's current generator: He initialisation, unless a network has its own."""
        initialize_he(self, mode="fan_in")

    def blocks(self) -> list[tuple[nn.Module, int]]:
        """The modules whose output (N, C, H, W) a second branch modulates, in order, each with its channels C."""
        raise NotImplementedError


class SRResNet(Network):
    """SRResNet without batch norm (Ledig et al. 2017; Wang et al. 2018) over the bilinearly upsampled input.

    At width 64, depth 16, scale 2: 151,936 filters, as in the paper.
    """

    def __init__(self, width: int, depth: int, scale: int) -> None:
        super().__init__(width, depth, scale)
        self.scale = scale
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.body = nn.Sequential(*[ResidualBlock(width) for _ in range(depth)])
        self.upsample = nn.Sequential(*upsampling(width, scale))
        self.high = nn.Conv2d(width, width, 3, padding=1)
        self.last = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """LR (N, 3, H, W) in [0, 1] -> SR (N, 3, sH, sW), not clipped."""
        base = functional.interpolate(x, scale_factor=self.scale, mode="bilinear", align_corners=False)
        features = self.body(functional.leaky_relu(self.first(x), LEAK))
        features = functional.leaky_relu(self.high(self.upsample(features)), LEAK)
        return base + self.last(features)

    def initialize(self) -> None:
        """He initialisation, scaled down layer by layer so that the output starts close to bilinear upsampling.

        The authors (BasicSR's MSRResNet) take a tenth everywhere. Trained for minutes instead of days, such a network
        hardly learned to remove noise; with features as large as the image, masking separated degradations badly.
        """
        initialize_he(self, mode="fan_in")
        factors = {"first": 0.3, "body": 0.1, "upsample": 0.3, "high": 0.3, "last": 1.0}
        for name, value in self.named_parameters():
            value.data.mul_(factors[name.split(".")[0]])

    def blocks(self) -> list[tuple[nn.Module, int]]:
        """The residual blocks."""
        return [(block, self.first.out_channels) for block in self.body]


class SRCNN(Network):
    """The paper's SRCNN-style chain: convolutions and leaky ReLUs, no skip connection.

    Channels 3 - C/2 - C - ... - C (``depth`` convolutions C to C), upsampling, C, 3.
    At width 128, depth 4, scale 2: 156,224 filters, as in the paper.
    """

    def __init__(self, width: int, depth: int, scale: int) -> None:
        super().__init__(width, depth, scale)
        self.depth = depth
        channels = [3, width // 2, *[width] * (depth + 1)]
        layers: list[nn.Module] = []
        for before, after in pairwise(channels):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.LeakyReLU(LEAK)]
        layers += upsampling(width, scale)
        layers += [nn.Conv2d(width, width, 3, padding=1), nn.LeakyReLU(LEAK), nn.Conv2d(width, 3, 3, padding=1)]
        self.features = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """LR (N, 3, H, W) in [0, 1] -> SR (N, 3, sH, sW), not clipped."""
        return self.features(x)

    def initialize(self) -> None:
        """He initialisation that keeps the size of gradients, not of features, from layer to layer."""
        initialize_he(self, mode="fan_out")

    def blocks(self) -> list[tuple[nn.Module, int]]:
        """The activations before the upsampling."""
        pairs = list(pairwise(self.features))[: 2 * self.depth + 4 : 2]  # each convolution and its activation
        return [(activation, layer.out_channels) for layer, activation in pairs if isinstance(layer, nn.Conv2d)]


NETWORKS: dict[str, type[Network]] = {"srresnet": SRResNet, "srcnn": SRCNN}
"""All networks by the name that params.yaml gives them."""


def initialize_he(network: nn.Module, *, mode: Literal["fan_in", "fan_out"]) -> None:
    """Draw normal weights after He et al. 2015 for every convolution, from torch's current generator; biases are 0.

    ``fan_in`` keeps the size of features from layer to layer, ``fan_out`` that of gradients.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode=mode, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def build_network(spec: NetworkSpec, seed: int = 0) -> Network:
    """Build the network of ``spec`` on the CPU, its initial weights drawn from ``seed`` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _construct(spec)
        network.initialize()
        return network


def skeleton(spec: NetworkSpec) -> Network:
    """Build the network on the device ``meta``, where weights have shapes but no memory.

    They are not initialized: drawing normal numbers on this device imports torch's compiler, which takes two seconds.
    """
    with torch.device("meta"):
        return _construct(spec)


def _construct(spec: NetworkSpec) -> Network:
    return NETWORKS[spec.params.name](spec.params.width, spec.params.depth, spec.scale)
