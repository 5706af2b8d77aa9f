"""What the benchmarks share: two realistic sets of weights, clocks, the machine's description, results as JSON."""

import json
import platform
import re
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from faig.attribution.path import PathModel
from faig.base.compute import Compute, ComputeParams, has_native_bf16, resolve
from faig.data.dead_leaves import DeadLeavesParams, dead_leaves
from faig.data.degradation import degrade as synthesize
from faig.data.degradation import parse_operations
from faig.data.tensors import to_tensor
from faig.experiments.loading import load_model
from faig.networks.models import NetworkParams, NetworkSpec, build_network
from tools.tables import read_yaml

NUMBERS = re.compile(r"\[[-\s\d.,e+]+\]")
"""A list of numbers alone, which is written in one line."""
ROOT = Path(__file__).parents[1]
DEGRADATIONS = ("blur", "noise")
Weights = Mapping[str, Tensor]


def compute(precision: str = "auto") -> Compute:
    """CPU or CUDA, whichever there is, as the score stage chooses."""
    wishes = {"device": "auto", "precision": precision, "threads": None, "workers": None, "launcher": None}
    return resolve(ComputeParams(**wishes)).for_gradients()


def photograph(height: int, width: int, seed: int) -> Tensor:
    """A dead-leaves image (1, 3, H, W) in [0, 1]."""
    size = max(height, width)
    params = DeadLeavesParams(
        num_images=1, size=size, supersampling=1, min_radius=3.0, max_radius=size / 3, exponent=2.6
    )
    return to_tensor(dead_leaves(params, seed, "benchmark"))[..., :height, :width]


def degrade(hr: Tensor, degradation: str, seed: int) -> Tensor:
    """x2 input: box-blurred three times (near a Gaussian of sigma 2.4 HR pixels) or with Gaussian noise of 0.1."""
    if degradation == "blur":
        for _ in range(3):
            hr = functional.avg_pool2d(hr, 5, stride=1, padding=2, count_include_pad=False)
    lr = functional.avg_pool2d(hr, 2)
    if degradation == "noise":
        lr = lr + 0.1 * torch.randn(lr.shape, generator=torch.Generator().manual_seed(seed))
    return lr.clamp(0, 1)


def pairs(height: int, width: int, seed: int = 0) -> dict[str, list[tuple[Tensor, Tensor]]]:
    """By degradation one input (1, 3, height, width) and its ground truth, of the same image."""
    hr = photograph(2 * height, 2 * width, seed)
    return {name: [(degrade(hr, name, seed), hr)] for name in DEGRADATIONS}


def trained(width: int, depth: int, steps: int = 40) -> tuple[nn.Module, Weights, Weights]:
    """SRResNet x2 and two sets of weights: after ``steps`` steps on clean, and as many more on degraded patches."""
    network = build_network(NetworkSpec(params=NetworkParams(name="srresnet", width=width, depth=depth), scale=2), 0)
    network.to(memory_format=torch.channels_last)  # pyright: ignore
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-4)
    hr = torch.cat([photograph(64, 64, seed) for seed in range(8)])
    found = []
    for inputs in ([functional.avg_pool2d(hr, 2)], [degrade(hr, name, 0) for name in DEGRADATIONS]):
        for step in range(steps):
            optimizer.zero_grad()
            functional.l1_loss(network(inputs[step % len(inputs)]), hr).backward()
            optimizer.step()
        found.append({name: value.detach().clone() for name, value in network.state_dict().items()})
    return network, found[0], found[1]


def authors_step(
    width: int, depth: int, baseline: Weights, target: Weights, place: float, lr: Tensor, hr: Tensor
) -> None:
    """One of the authors' steps: network, interpolated weights, squared error, gradients, product with the change."""
    network = build_network(NetworkSpec(params=NetworkParams(name="srresnet", width=width, depth=depth), scale=2), 0)
    network.to(lr.device).load_state_dict(
        {name: (value + place * (target[name] - value)).contiguous() for name, value in baseline.items()}
    )
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=True):  # PyTorch's default
        (network(lr) - hr).square().sum().backward()
    for name, value in network.named_parameters():
        assert value.grad is not None
        value.grad.mul(target[name] - baseline[name])


def published() -> Iterator[tuple[str, dict[str, Any], PathModel]]:
    """Every published pair of weights: its name, the params of its run on Set14, and the path between both, in fp32."""
    for folder in sorted(path.parent for path in (ROOT / "published").glob("*/weights/blind.safetensors")):
        params = read_yaml(folder.parent / "runs/Set14/params.yaml")
        baseline, target = (folder / f"{name}.safetensors" for name in ("baseline", "blind"))
        yield folder.parent.name, params, load_model(baseline, target, compute("fp32"))


def degraded(photographs: Sequence[np.ndarray], name: str, params: dict[str, Any]) -> list[tuple[Tensor, Tensor]]:
    """LR (1, 3, H, W) and HR (1, 3, sH, sW) of 8-bit images, degraded as params.yaml says of degradation ``name``."""
    operations = parse_operations(name, params["degradations"][name], scale=params["scale"])
    options = {"scale": params["scale"], "downsampling": params["downsampling"]}
    pairs = []
    for number, hr in enumerate(photographs):
        lr = synthesize(hr, operations, **options, generator=np.random.default_rng([0, number]))
        pairs.append((to_tensor(lr), to_tensor(hr)))
    return pairs


def middle(image: np.ndarray, size: int) -> np.ndarray:
    """The middle ``size`` x ``size`` pixels of an image (H, W, 3)."""
    top, left = ((side - size) // 2 for side in image.shape[:2])
    return np.ascontiguousarray(image[top : top + size, left : left + size])


def seconds(function: Callable[[], object]) -> float:
    """Wall-clock time of one call, until the device has done all of it."""
    start = time.perf_counter()
    function()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def on_device(name: str) -> str:
    """``name``, with ``_cuda`` appended where CUDA computes."""
    return f"{name}_cuda" if torch.cuda.is_available() else name


def spread(values: list[float]) -> dict[str, float]:
    """Median, smallest and largest."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def peak_gib() -> float:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "linux" else 2**30)


def agreement(first: np.ndarray, second: np.ndarray, share: float = 0.01) -> float:
    """Share of the top 1 % of one score vector that is in the other's."""
    count = round(len(first) * share)
    return len(np.intersect1d(np.argsort(-first)[:count], np.argsort(-second)[:count])) / count


def machine() -> dict[str, Any]:
    """What the numbers depend on."""
    info = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    cuda = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": len(names),
        "threads": torch.get_num_threads(),
        "native_bf16": has_native_bf16(torch.device("cpu")),
        "cuda": cuda,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def results_file(name: str) -> Path:
    """Where results are kept, of ``speed/scoring`` say: benchmarks/speed/results/scoring.json."""
    kind, script = name.split("/")
    return ROOT / "benchmarks" / kind / "results" / f"{script}.json"


def write(name: str, results: dict[str, Any]) -> None:
    """Print the results of ``speed/scoring``, say, and keep them in :func:`results_file`."""
    text = json.dumps({"machine": machine(), **results}, indent=2)
    text = NUMBERS.sub(lambda found: re.sub(r"\s+", " ", found[0]).replace("[ ", "[").replace(" ]", "]"), text)
    path = results_file(name)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")
    print(text)
