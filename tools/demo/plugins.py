"""Plug-ins that a visitor puts into the open baseline: uploaded, or made of the dials' filters."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from faig.attribution.path import PathModel
from faig.base.errors import InputError
from faig.networks.plugins import Plugin, digest, extract, load_plugin, plug_in, save_plugin

MAX_PLUGINS = 4
"""That a visitor can put in at once."""
MAX_NAME = 40


@dataclass(frozen=True)
class Held:
    """A plug-in that a visitor has put in.

    ``name``: what it is shown as; ``key``: stands for its content; ``file``: where it lies if it was made here.
    """

    name: str
    plugin: Plugin
    key: str
    file: Path | None = None

    def fits(self, model: PathModel) -> bool:
        """Whether it was made for this baseline and these filters."""
        header = self.plugin.header
        return (header.baseline, header.granularity) == (digest(model.baseline), model.index.granularity)


def at_strengths(held: Sequence[Held] | None, strengths: Sequence[float]) -> list[tuple[Held, float]]:
    """A visitor's plug-ins, each with its slider's value; there are more sliders than plug-ins."""
    return list(zip(held or (), strengths, strict=False))


def read_plugin(path: Path, model: PathModel) -> Held:
    """Read an uploaded file.

    Raises:
        InputError: it is no plug-in, or was made for another baseline or for other filters; says so in a sentence.
    """
    name = path.stem[:MAX_NAME]
    try:
        plugin = load_plugin(path)
        plug_in(model.baseline, model.index, [(plugin, 1.0)])  # refuses what does not fit
    except InputError as error:
        raise InputError(f"{name}: {error}".replace(str(path), path.name[:MAX_NAME])) from error
    return Held(name, plugin, _key(plugin))


def make_plugins(
    model: PathModel, found: Mapping[str, np.ndarray], folder: Path, *, method: str, ratio: float
) -> list[Held]:
    """The target's kernels at the filters (n,) found for each ability, each with a file below ``folder``."""
    made = []
    for ability, filters in found.items():
        about = {"degradation": ability, "method": method, "mask_ratio": ratio, "iterations": 0}
        plugin = extract(model.target, model.baseline, model.index, filters, **about)
        key = _key(plugin)
        file = folder / "plugins" / key / f"{ability}.safetensors"
        save_plugin(file, plugin)
        made.append(Held(f"{ability}, made here", plugin, key, file))
    return made


def _key(plugin: Plugin) -> str:
    content = plugin.filters.tobytes() + plugin.kernels.numpy().tobytes()
    return hashlib.sha256(plugin.header.baseline.encode() + content).hexdigest()[:16]
