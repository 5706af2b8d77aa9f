"""Which pairs of networks the page offers: published ones, those of the project's last run, and the user's own."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import nn

from faig.attribution.filters import FilterIndex, Granularity
from faig.attribution.path import PathModel
from faig.base.compute import Compute
from faig.base.errors import InputError
from faig.base.params import read_params, validate
from faig.data.degradation import GIVEN, Step, clean_operations, parse_operations
from faig.data.targets import CLEAN, TargetParams
from faig.experiments.loading import load_model
from faig.networks.checkpoints import SUFFIXES
from faig.networks.foreign import ForeignSpec
from faig.networks.pretrained import SUMS, find_weights, given_network
from faig.networks.weights import HEADER_KEY, NetworkChoice, Spec, adopt, load_network
from tools.preset import apply_preset

MAX_DIALS = 4
"""Abilities that the page has dials for."""
FIRST = "srresnet_32x8_bicubic"
"""The pair that the page opens with, if it is published."""
NONE = "published/none"
MIXED = "blur_noise"


@dataclass(frozen=True)
class NetworkPair:
    """A baseline and a target that the page can open.

    ``title``: what the page calls it. ``files``: of weights and code, whose bytes stand for the pair. ``load``: reads
    them. ``tables``: score tables that there may be. ``operations``: what makes an input of each class, ``clean``
    among them. ``abilities``: the attributed degradations, one dial each.
    """

    title: str
    files: tuple[Path, ...]
    load: Callable[[Compute], PathModel]
    scale: int
    downsampling: str
    operations: Mapping[str, tuple[Step, ...]]
    abilities: tuple[str, ...]
    tables: tuple[Path, ...] = ()
    method: str = "faig"
    ratio: float = 0.01

    def digest(self) -> str:
        """SHA-256 of the files' contents and of all that scores depend on beside them."""
        settings = (self.scale, self.downsampling, sorted(self.operations.items()), self.abilities)
        total = hashlib.sha256(repr(settings).encode())
        for path in self.files:
            with path.open("rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
        return total.hexdigest()


def published_pairs(folder: Path) -> dict[str, NetworkPair]:
    """Published networks by name, those that the page opens with first; a folder that cannot be read is left out."""
    found = {}
    for weights in sorted(folder.glob(f"*/weights/{SUMS}")):
        name = weights.parents[1].name
        try:
            found[name] = _published(name, weights.parent, weights.parents[1] / "runs")
        except (InputError, KeyError, TypeError):  # of a run whose params.yaml lacks something
            continue
    return {name: found[name] for name in sorted(found, key=lambda name: (name != FIRST, name))}


def _published(name: str, weights: Path, runs: Path) -> NetworkPair:
    """A published pair and its score table, of the run that trained it, or else of another."""
    if not (tables := sorted(runs.glob("*/scores/blind.parquet"))):
        raise InputError(f"{runs} holds no score table")
    params = {path: read_params(path.parents[1] / "params.yaml") for path in tables}
    table = min(tables, key=lambda path: (params[path]["network"].get("pretrained") not in (None, NONE), path))
    files = tuple(weights / f"{which}.safetensors" for which in ("baseline", "blind"))

    def load(compute: Compute) -> PathModel:
        baseline, target = (find_weights(weights, which) for which in ("baseline", "blind"))
        if baseline is None or target is None:
            raise InputError(f"{weights} does not hold baseline and blind target")
        return load_model(baseline, target, compute)

    return _by_params(f"{name} (published)", files, load, params[table], "blind", (table,))


def own_run(root: Path) -> NetworkPair | None:
    """The main target of the project's last run; None where there is none.

    Raises:
        InputError: params.yaml cannot be used.
    """
    params = read_params(root / "params.yaml") if (root / "params.yaml").is_file() else {}
    target = params.get("main_target")
    baseline, tuned = (root / f"data/networks/{name}.safetensors" for name in ("baseline", target))
    if not (baseline.is_file() and tuned.is_file()):
        return None
    choice = validate("network", params.get("network"), NetworkChoice, source="params.yaml")

    def load(compute: Compute) -> PathModel:
        return load_model(baseline, tuned, compute, choice, params.get("granularity", "kernel"))

    title, table = f"{target} (this project's last run)", root / f"data/scores/{target}.parquet"
    return _by_params(title, (baseline, tuned), load, params, str(target), (table,))


def preset_pair(name: str, root: Path) -> NetworkPair:
    """The checkpoints that a preset of presets/ names in ``network.files``.

    Raises:
        InputError: there is no such preset, or it leaves a network to be trained.
    """
    params = _preset_params(name, root)
    choice = validate("network", params["network"], NetworkChoice, source=f"preset {name}")
    target, scale = params["main_target"], params["scale"]
    if not {"baseline", target} <= choice.files.keys():
        raise InputError(
            f"preset {name} names no checkpoints of baseline and {target} in network.files: "
            f"run `make repro NAME={name}`, then `make demo` shows what was trained"
        )
    files = [choice.pretrained / choice.files[which] for which in ("baseline", target)]
    if choice.name.partition(":")[0].endswith(".py"):
        files.append(choice.pretrained / choice.name.partition(":")[0])

    def load(compute: Compute) -> PathModel:
        given = [given_network(choice, which, scale) for which in ("baseline", target)]
        return _between([each[:2] for each in given if each is not None], compute, params["granularity"])

    return _by_params(f"{target} (preset {name})", tuple(files), load, params, target, ())


def _preset_params(name: str, root: Path) -> dict[str, Any]:
    """All settings that hold once the preset is written into params.yaml, which stays as it is."""
    if not (root / "params.yaml").is_file():
        raise InputError("params.yaml does not exist: run from the project's folder")
    text, _ = apply_preset(name, (root / "params.yaml").read_text(encoding="utf-8"))
    with TemporaryDirectory() as folder:
        path = Path(folder, "params.yaml")
        path.write_text(text, encoding="utf-8")
        return read_params(path)


def given_pair(
    baseline: Path,
    target: Path,
    network: str,
    size: tuple[int, int],
    scale: int | None,
    granularity: Granularity,
    abilities: Sequence[str],
) -> NetworkPair:
    """Two checkpoints of the user's, and the page's own degradations.

    Args:
        baseline, target: weights files of others, or of this project.
        network: ``spandrel``, a factory (``folder/network.py:make_network``), or one of this project's networks.
        size: width and depth, for this project's networks.
        scale: None finds it out.
        granularity: what a filter is.
        abilities: names of :func:`page_operations`, one dial each.

    Raises:
        InputError: a file is missing or unusable, or they are of different networks.
    """
    for path in (baseline, target):
        if path.suffix not in SUFFIXES:
            raise InputError(f"{path} must be a weights file: {', '.join(SUFFIXES)}")
    files, folder, name = [baseline, target], Path(), network
    if ".py:" in network:
        path, function = network.rsplit(":", 1)
        folder, name = Path(path).parent, f"{Path(path).name}:{function}"
        files.append(Path(path))
    settings = {"name": name, "width": size[0], "depth": size[1], "pretrained": str(folder)}
    settings["files"] = {"baseline": f"baseline{baseline.suffix}"}
    choice = validate("network", settings, NetworkChoice, source="--network")
    if missing := [path for path in files if not path.is_file()]:
        raise InputError(f"{missing[0]} does not exist")
    if all(map(_is_own, (baseline, target))):
        found = load_network(target, choice)[1]
        scale = found.scale

        def load(compute: Compute) -> PathModel:
            return load_model(baseline, target, compute, choice, granularity)
    else:
        tuned = _adopt(target, choice, (4, 2, 1, 3) if scale is None else (scale,))
        scale = tuned[1].scale
        given = [_adopt(baseline, choice, (scale,)), tuned]

        def load(compute: Compute) -> PathModel:
            return _between(given, compute, granularity)

    steps = page_operations(scale)
    operations = {each: steps[each] for each in (CLEAN, *abilities, MIXED) if each in steps}
    title = f"{target.name} from {baseline.name}"
    return NetworkPair(title, tuple(files), load, scale, "bicubic", operations, tuple(abilities), method="second_order")


def page_operations(scale: int) -> dict[str, tuple[Step, ...]]:
    """The page's own degradations at the strength at which filters are sought where nothing else is known."""
    down = clean_operations(scale)
    blur, noise = {"gaussian_blur": {"kernel_size": 21, "sigma": 2.0}}, {"gaussian_noise": {"sigma": 0.1}}
    lists = {
        CLEAN: down,
        "blur": [blur, *down],
        "noise": [*down, noise],
        "jpeg": [*down, {"jpeg": {"quality": 30}}],
        MIXED: [blur, *down, noise],
    }
    return {name: parse_operations(name, steps, scale=scale) for name, steps in lists.items()}


def _is_own(path: Path) -> bool:
    """Whether a file is of this project: its header says so."""
    try:
        with safe_open(path, framework="pt") as file:
            return HEADER_KEY in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def _adopt(path: Path, choice: NetworkChoice, scales: Sequence[int]) -> tuple[nn.Module, Spec]:
    """A checkpoint's network and what rebuilds it, of the first scale that it has.

    Raises:
        InputError: it has none of them, or cannot be used.
    """
    errors = []
    for scale in scales:
        try:
            return adopt(path, choice, scale)
        except InputError as error:
            errors.append(str(error))
    words = {
        "params.yaml says scale =": "the target or --scale says",
        "Name a factory in network.name instead": "Say --network: a factory, or srresnet or srcnn with --width and "
        "--depth",
    }
    for in_params, here in words.items():
        errors[0] = errors[0].replace(in_params, here)
    raise InputError(errors[0])


def _between(given: Sequence[tuple[nn.Module, Spec]], compute: Compute, granularity: Granularity) -> PathModel:
    (network, spec), (tuned, tuned_spec) = given
    if spec != tuned_spec:
        raise InputError(f"the baseline is {spec}, but the target is {tuned_spec}")
    index = FilterIndex.of(network, granularity=granularity)
    training = isinstance(spec, ForeignSpec) and spec.training
    return PathModel(network, network.state_dict(), tuned.state_dict(), compute, index, training=training)


def _by_params(
    title: str,
    files: tuple[Path, ...],
    load: Callable[[Compute], PathModel],
    params: Mapping[str, Any],
    target: str,
    tables: tuple[Path, ...],
) -> NetworkPair:
    """A pair whose degradations and abilities stand in a run's params.yaml."""
    scale = params["scale"]
    settings = validate(f"targets.{target}", params["targets"][target], TargetParams, source="params.yaml")
    classes = dict.fromkeys([CLEAN, *settings.attribute, *params["predict"]["classes"]])
    operations = {
        name: parse_operations(f"degradations.{name}", params["degradations"][name], scale=scale)
        for name in classes
        if params["degradations"][name] != GIVEN
    }
    abilities = tuple(name for name in settings.attribute if name in operations)[:MAX_DIALS]
    return NetworkPair(
        title,
        files,
        load,
        scale,
        params["downsampling"],
        operations,
        abilities,
        tables,
        params.get("method", "faig"),
        params["mask_ratio"],
    )
