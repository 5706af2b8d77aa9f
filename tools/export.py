"""Write what a run found to a file of its own.

That is one of three things::

    python -m tools.export --dial noise=0 --output kept_grain.pth               the target with its dials turned
    python -m tools.export --plug-in blur.safetensors=1 --output sharper.pth    the baseline with plug-ins in it
    python -m tools.export --make-plug-in blur --output blur.safetensors        the target's kernels as a plug-in

A network of the user's own is written under the keys of the file that it came from, so that the programs that open that
file open this one, too; a network that was trained here as a weights file of this project.
"""

from collections.abc import Collection, Mapping
from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor

from faig.attribution.filters import FilterIndex, Granularity
from faig.attribution.path import PathModel
from faig.base.compute import ComputeParams, resolve
from faig.base.errors import InputError
from faig.base.params import PARAMS_FILE, Name, Ratio, load_params
from faig.experiments.modulation import modulate
from faig.experiments.score_table import Method
from faig.networks.checkpoints import SUFFIXES
from faig.networks.plugins import Plugin, extract, load_plugin, moving_weights, plug_in, save_plugin
from faig.networks.weights import NetworkChoice, all_names, load_network, save_network, write_back
from stages.shared.model import read_found
from stages.shared.network import read_path

LARGEST = torch.finfo(torch.float32).max
NETWORKS = Path("data/networks")
BASELINE = NETWORKS / "baseline.safetensors"


def export_dials(dials: Mapping[str, float], output: Path) -> None:
    """Write the main target's weights with the filters of each dial, a degradation, at its lambda.

    Raises:
        InputError: a degradation has no filters, or something is missing: run `dvc repro` first.
    """
    model, found = _read_run()
    _require_known(dials, found)
    weights = modulate(model.target, model.baseline, model.index, [(found[name], dials[name]) for name in dials])
    _write(output, _target_path(), weights)


def export_plugins(strengths: Mapping[str, float], baseline: Path, output: Path) -> None:
    """Write a baseline's weights with plug-ins, by file, each at its strength.

    Args:
        strengths: by the plug-in's file.
        baseline: a weights file of this project.
        output: the file to write.

    Raises:
        InputError: a file is missing or no plug-in, or was made for another baseline or for other filters.
    """
    network, _ = load_network(baseline, _choice())
    weights = moving_weights(network)
    plugins = {path: load_plugin(Path(path)) for path in strengths}
    _require_other(output, *plugins)
    granularity: Granularity = next(iter(plugins.values())).header.granularity
    index = FilterIndex.of(network, granularity=granularity)
    for path, plugin in plugins.items():
        _require_fit(path, plugin, weights, index)
    chosen = [(plugin, strengths[path]) for path, plugin in plugins.items()]
    _write(output, baseline, plug_in(weights, index, chosen))


def make_plugin(degradation: str, output: Path) -> None:
    """Write the main target's kernels at the discovered filters of a degradation as a plug-in; nothing is trained.

    Raises:
        InputError: the degradation has no filters, or something is missing: run `dvc repro` first.
    """
    model, found = _read_run()
    _require_known([degradation], found)
    if output.suffix != ".safetensors":
        raise InputError(f"{output} must end in .safetensors, as a plug-in's file does")
    _require_other(output, BASELINE, _target_path())
    about = {"degradation": degradation, "iterations": 0}  # the stage plug_in says for how many it trained
    about |= {"method": load_params("method", Method), "mask_ratio": load_params("mask_ratio", Ratio)}
    plugin = extract(model.target, model.baseline, model.index, found[degradation], **about)
    save_plugin(output, plugin)


def _read_run() -> tuple[PathModel, dict[str, np.ndarray]]:
    """The last run's baseline and main target, and the discovered filters (n,) by degradation."""
    target = _target_path()
    model = read_path(BASELINE, target, resolve(load_params("compute", ComputeParams)))
    return model, read_found(Path(f"data/scores/{target.stem}.parquet"), model)


def _target_path() -> Path:
    return NETWORKS / f"{load_params('main_target', Name)}.safetensors"


def _choice() -> NetworkChoice | None:
    """What params.yaml says of the network; None outside of a project."""
    return load_params("network", NetworkChoice) if PARAMS_FILE.is_file() else None


def _write(output: Path, source: Path, weights: Mapping[str, Tensor]) -> None:
    """Write weights of the network of ``source``, by first names, under the keys of the file that it came from."""
    if output.suffix not in SUFFIXES:
        raise InputError(f"{output} must end in {', '.join(SUFFIXES)}")
    choice = _choice()
    built, spec = load_network(source, choice)
    weights = all_names(built, weights)
    if choice is not None and source.parent == NETWORKS and source.stem in choice.files:
        original = choice.pretrained / choice.files[source.stem]
        _require_other(output, original)
        write_back(output, original, choice, weights)
    elif output.suffix != ".safetensors":
        raise InputError(
            f"{output} must end in .safetensors: {source} is a weights file of this project, and so is what is written"
        )
    else:
        _require_other(output, source)
        save_network(output, spec, {**built.state_dict(), **weights})


def _require_known(names: Collection[str], found: Mapping[str, np.ndarray]) -> None:
    if unknown := sorted(set(names) - found.keys()):
        raise InputError(f"there are no filters of {unknown[0]}; known are {', '.join(found)}")


def _require_other(output: Path, *sources: Path | str) -> None:
    """Refuse to overwrite what the output is made of."""
    for source in map(Path, sources):
        if output.resolve() == source.resolve():
            raise InputError(f"{output} is a file that the output is made of: write another one")


def _require_fit(path: str, plugin: Plugin, baseline: Mapping[str, Tensor], index: FilterIndex) -> None:
    try:
        plug_in(baseline, index, [(plugin, 1.0)])
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def parse(option: str, texts: tuple[str, ...], example: str) -> dict[str, float]:
    """``("noise=0",)`` -> {"noise": 0.0}.

    Raises:
        InputError: one is not a name and a number, or is named twice; ``example`` shows what is meant.
    """
    values: dict[str, float] = {}
    for text in texts:
        name, _, value = text.rpartition("=")
        try:
            number = float(value)
            if not name or not abs(number) <= LARGEST:  # nor NaN
                raise ValueError(value)
        except ValueError as error:
            raise InputError(f"{option} {text}: write {example}") from error
        if name in values:
            raise InputError(f"{option} {name} is named twice")
        values[name] = number
    return values


@click.command()
@click.option("--dial", "dials", multiple=True, help="degradation=lambda of the target: 0 masked, 1 as it was")
@click.option("--plug-in", "plugins", multiple=True, help="FILE=strength in the baseline: 0 not at all, 1 wholly")
@click.option("--make-plug-in", "degradation", help="degradation whose filters of the target become a plug-in")
@click.option("--baseline", type=click.Path(path_type=Path), help=f"for --plug-in; default: {BASELINE}")
@click.option("--output", type=click.Path(path_type=Path), required=True, help=f"file to write: {', '.join(SUFFIXES)}")
def main(
    dials: tuple[str, ...], plugins: tuple[str, ...], degradation: str | None, baseline: Path | None, output: Path
) -> None:
    """Write the target with its dials turned, the baseline with plug-ins in it, or a plug-in."""
    if sum(map(bool, (dials, plugins, degradation))) != 1:
        raise click.UsageError("say one of --dial, --plug-in and --make-plug-in: each writes a file of its own")
    if baseline is not None and not plugins:
        raise click.UsageError("--baseline goes with --plug-in: dials and new plug-ins are of the last run")
    try:
        if dials:
            export_dials(parse("--dial", dials, "a degradation and its lambda, noise=0.5"), output)
        elif plugins:
            strengths = parse("--plug-in", plugins, "a plug-in's file and its strength, blur.safetensors=0.5")
            export_plugins(strengths, baseline or BASELINE, output)
        else:
            make_plugin(str(degradation), output)
    except (InputError, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{output} written: {', '.join(dials + plugins) or f'the filters for {degradation}'}")


if __name__ == "__main__":
    main()
