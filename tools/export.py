"""Write the main target with its dials turned: ``python -m tools.export --dial noise=0 --output kept_grain.pth``.

A network of the user's own is written under the keys of the file that it came from, so that the programs that open that
file open this one, too; a network that was trained here as a weights file of this project.
"""

import math
from pathlib import Path

import click

from faig.base.compute import ComputeParams, resolve
from faig.base.errors import InputError
from faig.base.params import Name, load_params
from faig.experiments.modulation import modulate
from faig.networks.checkpoints import SUFFIXES
from faig.networks.weights import NetworkChoice, all_names, load_network, save_network, write_back
from stages.shared.model import read_found
from stages.shared.network import read_path


def export(dials: dict[str, float], output: Path) -> None:
    """Write the main target's weights with the filters of each dial, a degradation, at its lambda.

    Raises:
        InputError: a degradation has no filters, or something is missing: run `dvc repro` first.
    """
    target, choice = load_params("main_target", Name), load_params("network", NetworkChoice)
    baseline, network, scores = (
        Path("data", folder, f"{name}.{suffix}")
        for folder, name, suffix in (
            ("networks", "baseline", "safetensors"),
            ("networks", target, "safetensors"),
            ("scores", target, "parquet"),
        )
    )
    model = read_path(baseline, network, resolve(load_params("compute", ComputeParams)))
    found = read_found(scores, model)
    if output.suffix not in SUFFIXES:
        raise InputError(f"{output} must end in {', '.join(SUFFIXES)}")
    if unknown := sorted(dials.keys() - found.keys()):
        raise InputError(f"there are no filters of {unknown[0]}; known are {', '.join(found)}")
    weights = modulate(model.target, model.baseline, model.index, [(found[name], dials[name]) for name in dials])
    built, spec = load_network(network, choice)
    weights = all_names(built, weights)
    if target in choice.files:
        original = choice.pretrained / choice.files[target]
        if output.resolve() == original.resolve():
            raise InputError(f"{output} is the file that the target came from: write another one")
        write_back(output, original, choice, weights)
    elif output.suffix != ".safetensors":
        raise InputError(f"{output} must end in .safetensors: {target} was trained here, its file is of this project")
    else:
        save_network(output, spec, {**built.state_dict(), **weights})


def parse(dials: tuple[str, ...]) -> dict[str, float]:
    """``("noise=0",)`` -> {"noise": 0.0}.

    Raises:
        InputError: one is not a name and a number.
    """
    values = {}
    for text in dials:
        name, _, value = text.partition("=")
        try:
            values[name] = float(value)
            if not math.isfinite(values[name]):
                raise ValueError(value)
        except ValueError as error:
            raise InputError(f"--dial {text}: write a degradation and its lambda, noise=0.5") from error
    return values


@click.command()
@click.option("--dial", "dials", multiple=True, required=True, help="degradation=lambda: 0 masked, 1 as it was")
@click.option("--output", type=click.Path(path_type=Path), required=True, help=f"file to write: {', '.join(SUFFIXES)}")
def main(dials: tuple[str, ...], output: Path) -> None:
    """Write the main target with the discovered filters of some degradations at other strengths."""
    try:
        export(parse(dials), output)
    except (InputError, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{output} written: {', '.join(dials)}")


if __name__ == "__main__":
    main()
