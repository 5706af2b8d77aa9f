"""The paper's two one-branch networks at any width, depth and scale, and weights files that rebuild them.

Shapes: N images, C = width, H x W = LR pixels, s = scale.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

import torch
from pydantic import Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import Tensor, nn
from torch.nn import functional

from faig.base.files import replacing
from faig.base.params import ParamsError, Scale, check, settings

LEAK = 0.1  # negative slope of the leaky ReLU, both networks
HEADER_KEY = "network"


@settings
class NetworkParams:
    """Which network: ``name`` of :data:`NETWORKS`, ``width`` in channels, ``depth`` in blocks or convolutions."""

    name: Literal["srresnet", "srcnn"]
    width: Annotated[int, Field(ge=2, le=4096, multiple_of=2)]
    depth: Annotated[int, Field(ge=1, le=1000)]


@settings
class NetworkChoice(NetworkParams):
    """Also where its weights come from: ``pretrained`` is a folder of published ones: published/none trains them."""

    pretrained: Path

    @property
    def params(self) -> NetworkParams:
        """The network alone."""
        return NetworkParams(name=self.name, width=self.width, depth=self.depth)


@settings
class NetworkSpec:
    """Everything that rebuilds a network: its params and the scale."""

    params: NetworkParams
    scale: Scale


def upsampling(width: int, scale: int) -> list[nn.Module]:
    """Convolution and pixel shuffle, one step for scales 2 and 3, two steps for 4: (N, C, H, W) -> (N, C, sH, sW)."""
    steps = {2: [2], 3: [3], 4: [2, 2]}[scale]
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


class SRResNet(nn.Module):
    """SRResNet without batch norm (Ledig et al. 2017; Wang et al. 2018) over the bilinearly upsampled input.

    At width 64, depth 16, scale 2: 151,936 filters, as in the paper.
    """

    def __init__(self, width: int, depth: int, scale: int) -> None:
        super().__init__()
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
        """Kaiming's weights, scaled so that the output starts close to bilinear upsampling.

        The authors (BasicSR's MSRResNet) take a tenth everywhere. Trained for minutes instead of days, such a network
        hardly learned to remove noise; with features as large as the image, masking separated degradations badly.
        """
        initialize_kaiming(self, mode="fan_in")
        factors = {"first": 0.3, "body": 0.1, "upsample": 0.3, "high": 0.3, "last": 1.0}
        for name, value in self.named_parameters():
            value.data.mul_(factors[name.split(".")[0]])


class SRCNN(nn.Module):
    """The paper's SRCNN-style chain: convolutions and leaky ReLUs, no skip connection.

    Channels 3 - C/2 - C - ... - C (``depth`` convolutions C to C), upsampling, C, 3.
    At width 128, depth 4, scale 2: 156,224 filters, as in the paper.
    """

    def __init__(self, width: int, depth: int, scale: int) -> None:
        super().__init__()
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
        """Kaiming."""
        initialize_kaiming(self, mode="fan_out")


NETWORKS = {"srresnet": SRResNet, "srcnn": SRCNN}


def initialize_kaiming(network: nn.Module, *, mode: Literal["fan_in", "fan_out"]) -> None:
    """Normal weights after He et al. 2015, zero biases, for every convolution, from torch's current generator."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode=mode, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def build_network(spec: NetworkSpec, seed: int = 0) -> nn.Module:
    """The network of ``spec`` on the CPU, its initial weights drawn from ``seed`` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _construct(spec)
        network.initialize()
        return network


def save_network(path: Path, spec: NetworkSpec, weights: Mapping[str, Tensor]) -> None:
    """Write ``weights`` as safetensors (fp32, CPU) whose header holds ``spec``; atomic, equal bytes for equal weights.

    Raises:
        ValueError: a weight is not finite, or the weights are not those of the network of ``spec``.
    """
    tensors = {name: value.detach().to("cpu", torch.float32).contiguous() for name, value in weights.items()}
    _check_shapes({name: value.shape for name, value in tensors.items()}, spec, where=str(path))
    for name, value in tensors.items():
        if not torch.isfinite(value).all():
            raise ValueError(f"{path}: weights of {name} are not finite; nothing was written")
    with replacing(path) as partial:
        partial.write_bytes(serialize(tensors, metadata={HEADER_KEY: json.dumps(asdict(spec), sort_keys=True)}))


def load_network(path: Path) -> tuple[nn.Module, NetworkSpec]:
    """Rebuild a network from its weights file alone, on the CPU, in evaluation mode.

    Raises:
        ValueError: the file is missing, is not safetensors, has no usable header, or its weights do not fit the header.
    """
    if not path.is_file():
        raise ValueError(f"{path} does not exist: run the stage that writes it first (`dvc repro`)")
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get(HEADER_KEY, "null")
            spec = check(HEADER_KEY, json.loads(header), NetworkSpec, source=f"{path}: header")
            _check_shapes({name: file.get_slice(name).get_shape() for name in file.keys()}, spec, where=str(path))  # noqa: SIM118
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, json.JSONDecodeError, RecursionError, ParamsError) as error:
        raise ValueError(f"{path} is not a weights file of this project: {error}") from error
    network = _skeleton(spec)
    network.load_state_dict(weights, assign=True)
    return network.eval(), spec


def load_pretrained(path: Path, spec: NetworkSpec) -> dict[str, Tensor]:
    """Weights of a file that must be those of the network of ``spec``.

    Raises:
        ValueError: as :func:`load_network`, or they are another network's.
    """
    network, found = load_network(path)
    if found != spec:
        raise ValueError(f"{path} is {_describe(found)}, but params.yaml asks for {_describe(spec)}")
    return network.state_dict()


def _describe(spec: NetworkSpec) -> str:
    return f"{spec.params.name} of width {spec.params.width}, depth {spec.params.depth}, scale {spec.scale}"


def _skeleton(spec: NetworkSpec) -> nn.Module:
    """The network without memory for its weights.

    They are not initialized: drawing normal numbers on this device imports torch's compiler, two seconds.
    """
    with torch.device("meta"):
        return _construct(spec)


def _construct(spec: NetworkSpec) -> SRResNet | SRCNN:
    return NETWORKS[spec.params.name](spec.params.width, spec.params.depth, spec.scale)


def _check_shapes(found: Mapping[str, Sequence[int]], spec: NetworkSpec, *, where: str) -> None:
    expected = {name: tuple(value.shape) for name, value in _skeleton(spec).state_dict().items()}
    for name in sorted(expected.keys() | found.keys()):
        shape = tuple(found[name]) if name in found else None
        if shape != expected.get(name):
            raise ValueError(
                f"{where}: weights of {name} have shape {shape}, but {_describe(spec)} needs {expected.get(name)}"
            )
