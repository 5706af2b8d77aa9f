"""How small can what fine-tuning adds be made: plug-ins of a few filters, against other ways to train few weights.

``python -m benchmarks.studies.plugins path/to/BSDS400 path/to/Set14 NETWORK``: trains parts of a published baseline on
one degradation, with photographs of the first folder, and measures tiles of the second's: the best filters by each of
:data:`METHODS` (a plug-in), the whole network, its biases (BitFit: Ben Zaken et al. 2022), its last layer, and low-rank
updates of its layers (LoRA: Hu et al. 2022). Then plug-ins that were trained apart are put in together, beside full
task vectors added up and networks trained jointly. Every way has the same patches and iterations, and the learning rate
of :data:`RATES`, which was the best of :data:`TRIED` on photographs that are neither trained on nor reported
(``--choose-rates``). Adds to benchmarks/studies/results/plugins.json; what is there already stays.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import click
import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import parametrize

from benchmarks.common import ROOT, compute, degraded, results_file, write
from benchmarks.studies.attributions import batched, inputs_of
from benchmarks.studies.learned_masks import pixels, tiles
from faig.attribution.comparisons import discriminate, taylor
from faig.attribution.engine import attribute_images
from faig.attribution.learning import learn_scores, restore_both
from faig.attribution.path import PathModel
from faig.attribution.quadrature import quadrature
from faig.base.files import replacing
from faig.base.params import load_params
from faig.base.ranking import discovered
from faig.base.seeds import derive_seed
from faig.data.crops import Batch
from faig.data.degradation import degrade, image_generator, parse_operations
from faig.data.images import list_images, read_image
from faig.data.pairs import Pair
from faig.data.quality import border_of, psnr
from faig.data.tensors import to_image, to_tensor
from faig.experiments.loading import load_model
from faig.experiments.retraining import train_only
from faig.experiments.scoring import LearnedParams
from faig.networks.plugins import extract, plug_in
from faig.networks.training import TrainingParams, fit
from tools.tables import Json, read_yaml

CLEAN, DEGRADATIONS = "clean", ("blur", "noise")
METHODS = ("learned", "faig", "taylor", "gradient", "random")
"""How a plug-in's filters are chosen. ``gradient`` needs no target: the kernels with the largest gradients of the
squared error at the baseline, on inputs of the degradation."""
RATIOS = (0.001, 0.003, 0.01, 0.03, 0.1)
RANKS = (1, 2, 4, 8)
TRIED = (1e-3, 3e-3, 1e-2, 3e-2)
RATES: dict[str, float] = {"plug-in": 1e-2, "full": 3e-3, "biases": 3e-2, "last layer": 3e-2, "low rank": 3e-2}
LARGE_RATES = {**RATES, "full": 1e-3}
"""Peak learning rates by kind of training: of networks of 32 channels, and from :data:`LARGE` channels on."""
HELD_OUT = 10
"""Every so manieth photograph of the training folder chooses the rates and draws the curves."""
SOURCE, VALIDATED, SCORED = 160, 8, 20
"""Side of a training photograph's middle, in HR pixels; crops of 128 that a curve rests on; crops that are scored."""
LEFT_ALONE, NUM_LEFT_ALONE = 1 / 3, 60
ITERATIONS, LARGE = {64: 600}, 64
"""By width of the network, from :data:`LARGE` on; of all others :data:`OTHERS`."""
OTHERS = 200
NUM_COMBINED = 3
"""So many of a plan's ways, its first ones, are also put together."""
SEEDS = (1, 2)
"""Of patches, random filters and first low-rank weights, beside seed 0."""


@dataclass(frozen=True)
class Way:
    """What of the baseline is trained: ``kind`` of :data:`RATES`.

    ``method`` and ``ratio``: of a plug-in's filters. ``rank``: of low-rank updates; below 1, they are of rank 1 and in
    that share of the layers alone. ``effort``: times the iterations of the others. ``selective``: on inputs without the
    degradation, the baseline's own output is what is to be restored, for :data:`LEFT_ALONE` of the patches.
    """

    kind: Literal["plug-in", "full", "biases", "last layer", "low rank"]
    method: str = ""
    ratio: float = 0.0
    rank: float = 0.0
    effort: int = 1
    selective: bool = False

    def __str__(self) -> str:
        what = {"plug-in": f"{self.method} {100 * self.ratio:g} %", "low rank": f"rank {self.rank:g}"}
        longer = f", {self.effort} times as long" if self.effort > 1 else ""
        return what.get(self.kind, self.kind) + (", selective" if self.selective else "") + longer


class LowRank(nn.Module):
    """A weight (out, in, k, k) plus B A, with B (out, rank) and A (rank, in k k); B starts at 0."""

    def __init__(self, weight: Tensor, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        num_out, fan_in = weight.shape[0], weight[0].numel()
        self.first = nn.Parameter(torch.randn(rank, fan_in, generator=generator) / fan_in**0.5)
        self.second = nn.Parameter(torch.zeros(num_out, rank))

    def forward(self, weight: Tensor) -> Tensor:
        """The weight with its update."""
        return weight + (self.second @ self.first).view(weight.shape)


def prepare(network: nn.Module, way: Way, model: PathModel, filters: np.ndarray, seed: int) -> int:
    """Let only what ``way`` names be trained, in place; the bytes that store it, but for a plug-in's."""
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    if way.kind == "plug-in":
        train_only(network, model.index, filters)
        return 0
    if way.kind == "low rank":
        for parameter in network.parameters():
            parameter.requires_grad_(False)
        count = round(len(layers) * min(way.rank, 1.0))
        generator = torch.Generator().manual_seed(seed)
        for layer in [layers[number * len(layers) // count] for number in range(count)]:
            update = LowRank(layer.weight, max(int(way.rank), 1), generator)
            parametrize.register_parametrization(layer, "weight", update)
    for name, parameter in network.named_parameters():
        if way.kind == "biases":
            parameter.requires_grad_(name.endswith("bias"))
        if way.kind == "last layer":
            parameter.requires_grad_(any(parameter is own for own in layers[-1].parameters()))
    return 4 * sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def merged(network: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a prepared network by the baseline's keys, low-rank updates added up."""
    network.load_state_dict(dict(weights))
    for module in network.modules():
        if parametrize.is_parametrized(module):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


class Bench:
    """A published pair, the photographs that it is trained and measured on, and its filters' scores.

    ``folder``: keeps scores and trained weights, so that a run that was stopped goes on.
    """

    def __init__(self, name: str, training: Path, test: Path, folder: Path) -> None:
        self.name, self.folder, weights = name, folder / name, ROOT / "published" / name / "weights"
        self.params = read_yaml(ROOT / "published" / name / "runs/Set14/params.yaml")
        self.model = load_model(weights / "baseline.safetensors", weights / "blind.safetensors", compute("fp32"))
        self.training, self.test, found = training, test, list_images(training)
        self.width: int = self.params["network"]["width"]
        self.rates = LARGE_RATES if self.width >= LARGE else RATES
        held_out = found[::HELD_OUT]
        self.sources = [path for path in found if path not in held_out]
        self.train = self.pairs(self.sources, SOURCE, DEGRADATIONS)
        self.validation = self.pairs(held_out[:VALIDATED], 128, DEGRADATIONS)
        self.tested = batched(inputs_of(tiles(test), (CLEAN, *DEGRADATIONS, "blur_noise"), self.params), 4)
        self.folder.mkdir(parents=True, exist_ok=True)

    def pairs(self, paths: Sequence[Path], size: int, degradations: Sequence[str]) -> list[Pair]:
        """The middle of each photograph under each degradation."""
        found = []
        options = {"scale": self.params["scale"], "downsampling": self.params["downsampling"]}
        for degradation in degradations:
            operations = parse_operations(degradation, self.params["degradations"][degradation], scale=options["scale"])
            for path in paths:
                image = read_image(path)
                top, left = ((side - size) // 2 for side in image.shape[:2])
                hr = np.ascontiguousarray(image[top : top + size, left : left + size])
                lr = degrade(hr, operations, **options, generator=image_generator(0, degradation, path.stem))
                found.append(Pair(path.stem, degradation, hr, lr))
        return found

    def filters(self, way: Way, degradation: str, seed: int) -> np.ndarray:
        """The filters (n,) that a plug-in trains; random ones are drawn from the seed."""
        if way.method == "random":
            generator = np.random.default_rng(derive_seed(seed, "random", degradation))
            return discovered(generator.random(self.model.index.num_filters), way.ratio)
        path = self.folder / f"{way.method}_{degradation}.npy"
        if not path.exists():
            for name, scores in SCORES[way.method](self).items():
                np.save(self.folder / f"{way.method}_{name}.npy", scores)
        return discovered(np.load(path), way.ratio)

    def trained(
        self,
        way: Way,
        mixture: Sequence[str],
        seed: int,
        *,
        rate: float | None = None,
        filters: np.ndarray | None = None,
        upon: "Trained | None" = None,
    ) -> "Trained":
        """Train a part of the baseline on some degradations, each with the iterations of one.

        Args:
            way: what is trained.
            mixture: the degradations.
            seed: of patches, random filters and first low-rank weights.
            rate: peak learning rate; the one of the way's kind if None.
            filters: (n,) of a plug-in; those for the first degradation if None.
            upon: weights to begin with in place of the baseline's, whose own outputs are then what is left alone.
        """
        rate = self.rates[way.kind] if rate is None else rate
        iterations = ITERATIONS.get(self.width, OTHERS) * way.effort * len(mixture)
        key = f"{'_'.join(mixture)}_{way}_{seed}_{rate:g}_{iterations}{'_upon' if upon else ''}".replace(" ", "-")
        kept = self.folder / f"{key}.safetensors"
        if kept.exists():
            return read_trained(kept)
        if filters is None:
            filters = self.filters(way, mixture[0], seed) if way.method else np.array([], dtype=int)
        begin = self.model.baseline if upon is None else upon.weights
        others = [name for name in (*DEGRADATIONS, CLEAN) if name not in mixture] if way.selective else []
        shares = {name: (1 - LEFT_ALONE) / len(mixture) for name in mixture} if others else dict.fromkeys(mixture, 1.0)
        shares |= {name: LEFT_ALONE / len(others) for name in others}
        pairs = self.left_alone(others, begin)
        network = self.fresh()
        network.load_state_dict(dict(begin))
        num_bytes = prepare(network, way, self.model, filters, seed)
        weights, curve, _ = fit(
            network,
            [pair for pair in self.train if pair.degradation in mixture] + pairs,
            [pair for pair in self.validation if pair.degradation in mixture] + pairs,
            shares,
            settings(iterations, rate),
            self.model.compute,
            seed=derive_seed(seed, "plugins", *mixture),
            checkpoints=self.folder / "ckpt" / key,
            description=key,
        )
        found = merged(network, weights)
        if way.kind == "plug-in":
            num_bytes = extract(found, begin, self.model.index, filters, way=str(way)).num_bytes
        trained = Trained(found, num_bytes, [point["validation_psnr"] for point in curve])
        header = {"num_bytes": str(trained.num_bytes), "curve": json.dumps(trained.curve)}
        with replacing(kept) as partial:
            save_file(trained.weights, partial, metadata=header)
        return trained

    def left_alone(self, names: Sequence[str], weights: Mapping[str, Tensor]) -> list[Pair]:
        """Photographs under each degradation, with what ``weights`` make of them in place of HR."""
        cast = {name: self.model.compute.cast(weights[name]) for name in self.model.baseline}
        pairs = self.pairs(self.sources[:: len(self.sources) // NUM_LEFT_ALONE], SOURCE, names)
        with torch.no_grad():
            return [replace(pair, hr=to_image(self.model.restore(cast, to_tensor(pair.lr)))) for pair in pairs]

    def fresh(self) -> nn.Module:
        """The baseline."""
        path = ROOT / "published" / self.name / "weights" / "baseline.safetensors"
        return load_model(path, path, compute("fp32")).network

    def measured(self, weights: Mapping[str, Tensor], names: Sequence[str]) -> dict[str, list[float]]:
        """PSNR in dB of each test tile under each kind of input."""
        cast = {name: self.model.compute.cast(weights[name]) for name in self.model.baseline}
        return {name: [round(value, 3) for value in self._psnr(cast, self.tested[name])] for name in names}

    def known(self) -> Json:
        """The results so far, by network."""
        path = results_file("studies/plugins")
        return json.loads(path.read_text(encoding="utf-8"))["networks"] if path.exists() else {}

    def knows(self, kind: str, **labels: object) -> bool:
        """Whether the results of this network hold one of that kind with these labels."""
        runs = self.known().get(self.name, {}).get(kind, [])
        return any(all(run[key] == value for key, value in labels.items()) for run in runs)

    def append(self, kind: str, run: Json) -> None:
        """Add one result of that kind."""
        self.record({kind: [*self.known().get(self.name, {}).get(kind, []), run]})

    def record(self, change: Json) -> None:
        """Change what the results say of this network."""
        known = self.known()
        known[self.name] = known.get(self.name, {}) | change
        write("studies/plugins", {"training": self.training.name, "test": self.test.name, "networks": known})

    def _psnr(self, weights: Mapping[str, Tensor], batches: Sequence[Batch]) -> list[float]:
        found = []
        with torch.no_grad():
            for batch in batches:
                found += psnr(self.model.restore(weights, batch.lr), batch.hr, border_of(batch.scale)).tolist()
        return found


@dataclass(frozen=True)
class Trained:
    """Trained weights by the baseline's keys, the bytes that store what was trained, and the validation curve in dB."""

    weights: dict[str, Tensor]
    num_bytes: int
    curve: list[float]


def read_trained(path: Path) -> Trained:
    """What :meth:`Bench.trained` kept."""
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    return Trained(weights, int(header["num_bytes"]), json.loads(header["curve"]))


def settings(iterations: int, rate: float) -> TrainingParams:
    """Small batches, for two cores; the same for every way."""
    return TrainingParams(
        iterations=iterations,
        batch_size=4,
        patch_size=48,
        learning_rate=rate,
        warmup=0.1,
        adam_betas=(0.9, 0.99),
        ema_decay=0.99,
        log_every=iterations // 4,
        checkpoint_every=iterations // 4,
        validation_images=VALIDATED,
    )


def examples(bench: Bench) -> dict[str, list[tuple[Tensor, Tensor]]]:
    """Crops that filters are scored on, by kind of input."""
    crops = pixels(bench.training, SCORED, 64, 0)
    return {name: degraded(crops, name, bench.params) for name in (*DEGRADATIONS, CLEAN)}


def learned(bench: Bench) -> dict[str, np.ndarray]:
    """Scores (F,) of masks learned by the settings of params.yaml."""
    params = load_params("score.learned", LearnedParams)
    crops = pixels(bench.training, params.images.num, params.images.size, 0)
    inputs = {name: [lr for lr, _ in degraded(crops, name, bench.params)] for name in (*DEGRADATIONS, CLEAN)}
    restored = restore_both(bench.model, inputs)
    return {name: learn_scores(bench.model, restored, name, params, 0).scores for name in DEGRADATIONS}


def faig(bench: Bench) -> dict[str, np.ndarray]:
    """FAIG's scores (F,), contrasted."""
    nodes, given = quadrature("gausslegendre", 8), examples(bench)
    means = {name: attribute_images(bench.model, given[name], nodes).scores.mean(axis=0) for name in DEGRADATIONS}
    return {name: discriminate(means, name, "share") for name in DEGRADATIONS}


def by_taylor(bench: Bench) -> dict[str, np.ndarray]:
    """Scores (F,) of FAIG with a single node, at the target."""
    given = examples(bench)
    means = {name: np.mean([taylor(bench.model, *pair) for pair in given[name]], axis=0) for name in DEGRADATIONS}
    return {name: discriminate(means, name, "share") for name in DEGRADATIONS}


def by_gradient(bench: Bench) -> dict[str, np.ndarray]:
    """Squared length of each kernel's gradient of the squared error at the baseline, (F,)."""
    given, found = examples(bench), {}
    for name in DEGRADATIONS:
        weights = bench.model.with_gradients(bench.model.baseline)
        for lr, hr in given[name]:
            (bench.model.restore(weights, lr) - hr).square().mean().backward()
        squares = {key: weights[key].grad.square() for key in bench.model.index.keys}  # pyright: ignore
        found[name] = bench.model.index.collect(squares).numpy()
    return found


SCORES: dict[str, Callable[[Bench], dict[str, np.ndarray]]] = {
    "learned": learned,
    "faig": faig,
    "taylor": by_taylor,
    "gradient": by_gradient,
}


def plan(width: int) -> list[tuple[Way, int]]:
    """What is trained, with its seed, the most telling first; a large network is trained in fewer ways."""
    best = [Way("plug-in", "learned", 0.01), Way("full"), Way("plug-in", "faig", 0.01), Way("plug-in", "random", 0.01)]
    equal = [Way("low rank", rank=0.5), Way("biases"), Way("last layer"), Way("plug-in", "gradient", 0.01)]
    selective = Way("plug-in", "learned", 0.01, selective=True)
    if width >= LARGE:
        more = [Way("plug-in", "learned", ratio) for ratio in (0.03, 0.003)]
        first = (*best[:2], selective, best[2], equal[-1], equal[0], more[0])
        return [(way, 0) for way in dict.fromkeys((*first, *best, *equal, *more))]
    again = [(way, seed) for seed in SEEDS for way in (*best, *equal)]
    methods = ("learned", "faig", "random", "taylor")
    curves = [Way("plug-in", method, ratio) for method in methods for ratio in RATIOS]
    ranks = [Way("low rank", rank=rank) for rank in RANKS]
    longer = [replace(way, effort=4) for way in best[:2]]
    first = dict.fromkeys([*best[:2], selective, *best[2:], *equal, *curves[:10], *ranks, *curves[10:], *longer])
    return [*((way, 0) for way in first), *again]


def alone(bench: Bench, way: Way, degradation: str, seed: int) -> Json:
    """One way, trained on one degradation: bytes, PSNR of each test tile on it and on clean inputs, and the curve."""
    trained = bench.trained(way, [degradation], seed)
    return {
        "way": str(way),
        "kind": way.kind,
        "degradation": degradation,
        "seed": seed,
        "bytes": trained.num_bytes,
        "psnr": bench.measured(trained.weights, (degradation, CLEAN)),
        "curve": [round(value, 3) for value in trained.curve],
    }


def together(bench: Bench, way: Way, seed: int) -> Json:
    """What was trained apart, put together: PSNR of each test tile, by network.

    Plug-ins by :func:`plug_in`, whole networks by adding their changes, once whole and once halved; selective plug-ins
    also trained in turn, the second upon the first.
    """
    baseline, index = bench.model.baseline, bench.model.index
    apart = {name: bench.trained(way, [name], seed).weights for name in DEGRADATIONS}
    networks: dict[str, Mapping[str, Tensor]] = {f"{name} alone": weights for name, weights in apart.items()}
    if way.method:
        filters = {name: bench.filters(way, name, seed) for name in DEGRADATIONS}
        made = [extract(apart[name], baseline, index, filters[name]) for name in DEGRADATIONS]
        networks["together"] = plug_in(baseline, index, [(plugin, 1.0) for plugin in made])
        if way.selective:
            first, second = DEGRADATIONS
            free = np.setdiff1d(filters[second], filters[first])
            begun = bench.trained(way, [first], seed)
            networks["in turn"] = bench.trained(way, [second], seed, filters=free, upon=begun).weights
    else:
        for share, label in ((1.0, "together"), (0.5, "together, halved")):
            networks[label] = {
                name: value + share * sum(weights[name] - value for weights in apart.values())
                for name, value in baseline.items()
            }
    measured = {label: bench.measured(weights, list(bench.tested)) for label, weights in networks.items()}
    return {"way": str(way), "seed": seed, "psnr": measured}


def jointly(bench: Bench, way: Way, seed: int) -> Json:
    """The same weights trained on both degradations at once: PSNR of each test tile."""
    filters = None
    if way.method:
        filters = np.union1d(*(bench.filters(way, name, seed) for name in DEGRADATIONS))
    weights = bench.trained(replace(way, selective=False), DEGRADATIONS, seed, filters=filters).weights
    return {"way": str(way), "seed": seed, "psnr": {"jointly": bench.measured(weights, list(bench.tested))}}


def chosen_rates(bench: Bench) -> Json:
    """Validation PSNR in dB, mean over both degradations, by kind of training and learning rate."""
    found: Json = {}
    ways = [Way("plug-in", "faig", 0.01), Way("full"), Way("biases"), Way("last layer"), Way("low rank", rank=1)]
    for way in ways:
        for rate in TRIED:
            ends = []
            for name in DEGRADATIONS:
                ends.append(bench.trained(way, [name], 0, rate=rate).curve[-1])
            found.setdefault(way.kind, {})[f"{rate:g}"] = round(float(np.mean(ends)), 3)
            click.echo(f"{way}: {found[way.kind]}", err=True)
    return found


@click.command()
@click.argument("training", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("test", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("name")
@click.option("--kept", type=click.Path(path_type=Path), default=Path(".ckpt/plugins_study"), help="folder of weights")
@click.option("--choose-rates", is_flag=True, help="try the learning rates in place of the rest")
def main(training: Path, test: Path, name: str, kept: Path, choose_rates: bool) -> None:
    """Train parts of the published network NAME on photographs of TRAINING, test on TEST."""
    torch.set_num_threads(1)  # two runs beside each other are faster than one on two cores
    bench = Bench(name, training, test, kept)
    if choose_rates:
        bench.record({"rates": chosen_rates(bench)})
        return
    base, blind = (
        bench.measured(weights, list(bench.tested)) for weights in (bench.model.baseline, bench.model.target)
    )
    num_weights = sum(value.numel() for value in bench.model.baseline.values())
    counts = {"filters": bench.model.index.num_filters, "weights": num_weights}
    bench.record({**counts, "baseline": base, "blind": blind})
    ways = plan(bench.width)
    for number, (way, seed) in enumerate(ways):
        for degradation in DEGRADATIONS:
            if not bench.knows("alone", way=str(way), degradation=degradation, seed=seed):
                bench.append("alone", alone(bench, way, degradation, seed))
        if number < NUM_COMBINED and not bench.knows("both", way=str(way), seed=0):
            bench.append("both", together(bench, way, 0))
    for way, _ in ways[:NUM_COMBINED]:
        if not bench.knows("joint", way=str(way), seed=0):
            bench.append("joint", jointly(bench, way, 0))


if __name__ == "__main__":
    main()
