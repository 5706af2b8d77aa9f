"""What a run of params.yaml as it stands will take: ``make plan`` or ``python -m tools.plan --gpu a100``.

Seconds per training iteration, per gradient of a crop, per restored pixel and per synthesized megapixel are measured
here, with the network of params.yaml on made-up images, in about half a minute; each stage's time is its share of
those. For another device, ``--faster`` says how many times faster it trains than this one, and ``--gpu`` assumes a
share of that GPU's peak. A launcher in params.yaml is not considered.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from faig.attribution.engine import integrate
from faig.attribution.path import PathModel
from faig.attribution.quadrature import END_POINT
from faig.base.compute import resolve
from faig.base.params import PARAMS_FILE, read_params, validate
from faig.base.progress import format_duration
from faig.data.crops import Batch
from faig.data.dead_leaves import dead_leaves_names
from faig.data.degradation import degrade, parse_operations
from faig.data.downloads import GIB
from faig.data.images import read_image, write_png
from faig.data.pairs import Pair
from faig.data.patches import PatchSampler
from faig.data.photographs import SPLITS, list_photographs
from faig.data.tensors import to_tensor
from faig.experiments.masking import restore
from faig.experiments.retraining import CONTROLS
from faig.experiments.scoring import METHODS
from faig.networks.models import NetworkSpec, build_network
from faig.networks.pretrained import published_digests
from faig.networks.training import TrainingParams, start, step
from faig.pipeline import PipelineParams

DIV2K_SIZE, DIV2K_NUMBERS = 2040 * 1356, (800, 100)
"""Pixels of a DIV2K photograph, typically, and how many there are."""
PNG_BYTES = 2.0
"""Per pixel of a photograph as PNG, about."""
GPUS = {"a100": 312e12, "h100": 989e12, "h200": 989e12, "l4": 121e12, "rtx4090": 165e12}
"""Dense bf16 operations per second, as their makers state them."""
UTILIZATION = 0.03
"""Share of its peak that a GPU is assumed to reach: small networks on small patches keep it waiting.

An H200 reached 3.1 % on SRResNet 64 x 16 and 16 patches of 48 (373 iterations a second of 82 GFLOP).
"""
PROCESS = 0.6
"""GiB of a stage before it reads anything."""


@dataclass(frozen=True)
class Images:
    """HR images of a split: how many, and their pixels."""

    number: int
    pixels: int


@dataclass(frozen=True)
class Estimate:
    """What a stage takes: seconds on the device, seconds that no device speeds up, GiB of memory."""

    device: float
    rest: float = 3.0
    memory: float = PROCESS


def photographs(params: PipelineParams) -> tuple[Images, Images]:
    """HR images of train and test, from their files' headers; DIV2K's typical ones where it is not there yet."""
    dataset, found = params.dataset, {}
    if dataset.source == "div2k" and not dataset.div2k.unpacked:
        sizes = {s: [DIV2K_SIZE] * min(n, dataset.limit or n) for s, n in zip(SPLITS, DIV2K_NUMBERS, strict=True)}
    else:
        sizes = {split: [] for split in SPLITS}
        for split, path in list_photographs(dataset):
            with Image.open(path) as image:
                sizes[split].append(image.width * image.height)
    if dataset.source == "embedded":
        sizes["train"] += [dataset.dead_leaves.size**2 for _ in dead_leaves_names(dataset.dead_leaves)]
    if tile := dataset.test_tiles:
        counts = [min(tile.per_photograph, size // tile.size**2) for size in sizes["test"]]
        sizes["test"] = [tile.size**2] * sum(counts)
    for split in SPLITS:
        found[split] = Images(len(sizes[split]), sum(sizes[split]))
    return found["train"], found["test"]


def median_seconds(function: Callable[[], object], repeats: int = 3) -> float:
    """Of calls after a first one."""
    function()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


class Rates:
    """Measured seconds of each kind of work."""

    def __init__(self, params: PipelineParams) -> None:
        self.params = params
        self.compute = resolve(params.compute)
        self.spec = NetworkSpec(params=params.network.params, scale=params.scale)
        generator = np.random.default_rng(0)
        trainings = (params.train_baseline, params.finetune, params.retrain.training, params.compare_branches.training)
        least = max(training.patch_size for training in trainings)
        side = params.scale * max(128, -(-least // params.scale))
        self.hr = generator.integers(256, size=(side, side, 3), dtype=np.uint8)
        self.lr = np.ascontiguousarray(self.hr[:: params.scale, :: params.scale])

    def training(self, training: TrainingParams) -> float:
        """Seconds per iteration."""
        pair = Pair("made", "clean", self.hr, self.lr)
        size, number = training.patch_size, training.batch_size
        sampler = PatchSampler([pair], {"clean": 1.0}, patch_size=size, batch_size=number, seed=0)
        state = start(build_network(self.spec), training, self.compute)
        return median_seconds(lambda: step(state, sampler, training), repeats=5)

    def operations(self, training: TrainingParams) -> float:
        """Floating-point operations of an iteration's gradients."""
        with FlopCounterMode(display=False) as counter:
            self._loss(training).backward()
        return counter.get_total_flops()

    def training_memory(self, training: TrainingParams) -> float:
        """GiB on the device: weights, gradients, averages, Adam's moments, and what the gradients need of a batch."""
        kept: dict[int, int] = {}

        def keep(value: Tensor) -> Tensor:
            kept[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
            return value

        network = build_network(self.spec)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
            loss = self._loss(training, network)
        del loss
        parameters = sum(value.numel() for value in network.parameters())
        return (5 * 4 * parameters + sum(kept.values())) / GIB

    def _loss(self, training: TrainingParams, network: nn.Module | None = None) -> Tensor:
        side = training.patch_size // self.params.scale
        return (network or build_network(self.spec))(torch.rand(training.batch_size, 3, side, side)).abs().mean()

    def gradient(self, size: int) -> float:
        """Seconds per image of ``size`` x ``size`` HR pixels and node of a path integral."""
        model = self._model(for_gradients=True)
        side = min(size // self.params.scale, len(self.lr))
        crop, truth = (
            to_tensor(self.lr[:side, :side]),
            to_tensor(self.hr[: side * self.params.scale, : side * self.params.scale]),
        )
        seconds = median_seconds(lambda: integrate(model, crop, truth, END_POINT))
        return seconds * size**2 / (side * self.params.scale) ** 2

    def restoring(self) -> float:
        """Seconds per HR pixel."""
        model = self._model(for_gradients=False)
        batch = Batch(("made",), to_tensor(self.lr), to_tensor(self.hr))
        return median_seconds(lambda: restore(model, model.target, [batch])) / (self.hr.shape[0] * self.hr.shape[1])

    def synthesis(self, name: str) -> float:
        """Seconds per HR pixel of reading, degrading and writing."""
        operations = parse_operations(f"degradations.{name}", self.params.degradations[name])
        kernel, scale = self.params.downsampling, self.params.scale
        with TemporaryDirectory() as folder:
            path = Path(folder, "hr.png")
            write_png(path, self.hr)

            def synthesize() -> None:
                generator = np.random.default_rng(0)
                lr = degrade(read_image(path), operations, scale=scale, downsampling=kernel, generator=generator)
                write_png(path.with_name("lr.png"), lr)

            return median_seconds(synthesize) / (self.hr.shape[0] * self.hr.shape[1])

    def _model(self, *, for_gradients: bool) -> PathModel:
        compute = self.compute.for_gradients() if for_gradients else self.compute
        first, second = (build_network(self.spec, seed) for seed in (0, 1))
        return PathModel(first, first.state_dict(), second.state_dict(), compute)


def estimate(params: PipelineParams, rates: Rates) -> dict[str, Estimate]:
    """What each stage takes, by its name."""
    train, test = photographs(params)
    workers = params.compute.workers or 2
    pixel = rates.restoring()
    found = {"prepare": Estimate(0, (train.pixels + test.pixels) * rates.synthesis("clean") / workers)}
    for name in params.degradations:
        found[f"synthesize@{name}"] = Estimate(0, (train.pixels + test.pixels) * rates.synthesis(name) / workers)

    def memory(degradations: int) -> float:
        pixels = train.pixels + test.pixels
        return PROCESS + 3 * pixels * (1 + degradations / params.scale**2) / GIB

    def inputs_of(section: str) -> int:
        """Degradations of the target that a section names."""
        return len(params.targets[getattr(params, section).target].degradations)

    given = published_digests(params.network.pretrained) if params.network.pretrained else {}

    def trained(name: str, iterations: float, seconds: float, memory: float) -> Estimate:
        """Training, or nothing to speak of where published weights are taken."""
        return Estimate(0.0 if f"{name}.safetensors" in given else iterations * seconds, memory=memory)

    baseline = params.train_baseline
    found["train_baseline"] = trained("baseline", baseline.iterations, rates.training(baseline), memory(1))
    iteration = rates.training(params.finetune)
    crops = [(params.score.images.num, params.score.images.size)]
    if params.dataset.source == "embedded":
        crops.append((params.score.dead_leaves.num, params.score.dead_leaves.size))
    node = sum(number * rates.gradient(size) for number, size in crops)
    for name, target in params.targets.items():
        kinds, wanted, inputs = len(target.contrasted), len(target.attribute), len(target.degradations)
        iterations = params.finetune.iterations * target.effort
        found[f"finetune@{name}"] = trained(name, iterations, iteration, memory(inputs))
        nodes = params.score.quadrature.num_nodes
        found[f"score@{name}"] = Estimate(
            node * (kinds * (nodes + 2) + wanted * nodes), memory=PROCESS + memory(inputs)
        )
        rankings = 3 * wanted + 2 + params.score.num_random
        restored = inputs * test.pixels * pixel
        found[f"mask@{name}"] = Estimate(restored * (2 + rankings) * 1.2)
        swept = sum(
            {"random": params.score.num_random}.get(m, 1 if "change" in m else wanted) for m in params.sweep.methods
        )
        found[f"sweep@{name}"] = Estimate(restored * (2 + swept * len(params.sweep.ratios)))
    predict = params.predict
    classes, target = len(predict.classes), params.targets[predict.target]
    size, wanted = predict.calibration.size, len(target.attribute)
    tested = test.pixels + predict.calibration.num * size**2
    crop = rates.gradient(size) / size**2
    found["attribute_crops"] = Estimate(classes * tested * crop * (predict.num_nodes + 1), memory=memory(classes))
    found["predict"] = Estimate(classes * tested * pixel * (1 + wanted), memory=memory(classes))
    points = wanted * len(params.modulate.curve) * inputs_of("modulate") + len(params.modulate.grid) ** min(wanted, 2)
    found["modulate"] = Estimate(points * test.pixels * pixel)
    trainings = wanted * (len(CONTROLS) + 2) * params.retrain.replicates * params.retrain.training.iterations
    found["retrain"] = Estimate(
        trainings * rates.training(params.retrain.training), memory=memory(inputs_of("retrain"))
    )
    branches = params.compare_branches
    found["compare_branches"] = Estimate(
        2.1 * branches.replicates * branches.training.iterations * rates.training(branches.training),
        memory=memory(inputs_of("compare_branches")),
    )
    methods = len([name for name in params.compare_predictors.methods if name in METHODS])
    found["compare_predictors"] = Estimate(methods * classes * tested * pixel * (1 + wanted), memory=memory(classes))
    levels = sum(len(each.values) for each in params.severity.levels.values())
    found["severity"] = Estimate(levels * test.pixels * pixel * (1 + wanted))
    return found


def disk(params: PipelineParams) -> float:
    """GiB of the images, in the workspace and in DVC's cache, and of what is downloaded, packed and unpacked."""
    pixels = sum(images.pixels for images in photographs(params))
    made = 2 * PNG_BYTES * pixels * (1 + len(params.degradations) / params.scale**2)
    dataset = params.dataset
    fetched = dataset.source == "div2k" and dataset.div2k.unpacked is None
    return (made + (2 * (dataset.div2k.train.size + dataset.div2k.test.size) if fetched else 0)) / GIB


@click.command()
@click.option("--faster", type=click.FloatRange(0, min_open=True), help="times that another device is faster than this")
@click.option(
    "--gpu", type=click.Choice(list(GPUS)), help=f"another device, assumed to reach {UTILIZATION:.0%} of its peak"
)
def main(faster: float | None, gpu: str | None) -> None:
    """Print time and memory of each stage of a run from scratch."""
    if faster and gpu:
        raise click.UsageError("--faster and --gpu each describe another device: give one of them")
    try:
        params = validate("", read_params(), PipelineParams, source=str(PARAMS_FILE))
        rates = Rates(params)
        if gpu:
            speed = rates.operations(params.finetune) / rates.training(params.finetune)
            assumed = GPUS[gpu] * UTILIZATION
            faster = assumed / speed
            click.echo(f"training runs at {speed / 1e9:.0f} GFLOPS here, at {assumed / 1e9:.0f} on {gpu} (assumed)")
        found = estimate(params, rates)
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{'stage':24} {'here':>10} {f'{faster:.3g} x faster' if faster else '':>14} {'memory':>10}")
    for name, each in found.items():
        there = format_duration(each.device / faster + each.rest) if faster else ""
        click.echo(f"{name:24} {format_duration(each.device + each.rest):>10} {there:>14} {each.memory:>6.1f} GiB")
    total = sum(each.device + each.rest for each in found.values())
    there = format_duration(sum(each.device / faster + each.rest for each in found.values())) if faster else ""
    click.echo(f"{'all':24} {format_duration(total):>10} {there:>14} {max(e.memory for e in found.values()):>6.1f} GiB")
    needed = max(rates.training_memory(training) for training in (params.train_baseline, params.finetune))
    click.echo(f"memory of the device that trains: {needed:.1f} GiB in fp32")
    click.echo(f"disk: {disk(params):.1f} GiB, DVC's cache included")


if __name__ == "__main__":
    main()
