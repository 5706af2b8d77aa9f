"""Weights files of this project: safetensors whose header rebuilds the network; and those that others made, taken in.

What others made (:mod:`faig.networks.checkpoints`) becomes a file of this project by :func:`adopt`, once.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import torch
from pydantic import AfterValidator, Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import Tensor, nn

from faig.attribution.path import in_training_mode, shared_names
from faig.base.errors import InputError
from faig.base.files import replacing
from faig.base.params import Name, ParamsError, settings, validate
from faig.networks.checkpoints import SUFFIXES, read_checkpoint, unshared, write_like
from faig.networks.foreign import FACTORY, SPANDREL, ForeignSpec, build_foreign, describe, require_same, run_factory
from faig.networks.models import NETWORKS, NetworkParams, NetworkSpec, build_network, skeleton

Spec = NetworkSpec | ForeignSpec
HEADER_KEY = "network"
AUTHORS = (
    (r"^conv_first\.", "first."),
    (r"^upconv1\.", "upsample.0."),
    (r"^upconv2\.", "upsample.3."),
    (r"^conv_hr\.", "high."),
    (r"^HRconv\.", "high."),
    (r"^conv_last\.", "last."),
)
"""Names of the authors' SRResNet (BasicSR's MSRResNet), as regular expressions, and ours; their SRCNN's are ours."""


def _require_known(name: str) -> str:
    if name not in (*NETWORKS, SPANDREL) and (not re.fullmatch(FACTORY, name) or ".." in Path(name).parts):
        raise ValueError(
            f"name = {name!r} is not one of {', '.join((*NETWORKS, SPANDREL))}, nor a factory, network.py:make_network"
        )
    return name


def _require_file(name: str) -> str:
    if Path(name).is_absolute() or ".." in Path(name).parts or Path(name).suffix not in SUFFIXES:
        raise ValueError(f"{name!r} must name a file within network.pretrained: {', '.join(SUFFIXES)}")
    return name


@settings
class NetworkChoice:
    """Which network, and where weights come from that are not trained here.

    ``name``: of :data:`NETWORKS <faig.networks.models.NETWORKS>`, ``width`` channels wide and ``depth`` blocks deep; or
    ``spandrel``, which finds the network by its weights; or a factory, see :mod:`faig.networks.foreign`.
    ``pretrained``: the folder of weights and factory; published/none has none. ``files``: what is what in it, the
    baseline and targets by name; without any, the folder holds published weights (:mod:`faig.networks.pretrained`).
    """

    name: Annotated[str, AfterValidator(_require_known)]
    width: Annotated[int, Field(ge=2, le=4096, multiple_of=2)]
    depth: Annotated[int, Field(ge=1, le=1000)]
    pretrained: Path
    files: dict[Name, Annotated[str, AfterValidator(_require_file)]]

    def __post_init__(self) -> None:
        if self.files and "baseline" not in self.files:
            raise ValueError(f"files names {', '.join(self.files)}, but no baseline, which all targets start from")
        if self.name == SPANDREL and not self.files:
            raise ValueError(f"name = {SPANDREL!r} finds a network by its weights: name the baseline's in files")

    @property
    def is_built_in(self) -> bool:
        """Whether the network is one of this project's own."""
        return self.name in NETWORKS

    def spec(self, scale: int) -> NetworkSpec:
        """What rebuilds one of this project's own networks."""
        return NetworkSpec(params=NetworkParams(name=self.name, width=self.width, depth=self.depth), scale=scale)


def make_network(choice: NetworkChoice, scale: int, seed: int) -> tuple[nn.Module, Spec]:
    """A network to be trained here, its initial weights drawn from ``seed``.

    Raises:
        InputError: the factory fails, or what it builds is no network of this scale.
    """
    if choice.is_built_in:
        return build_network(choice.spec(scale), seed), choice.spec(scale)
    network, digest = run_factory(choice.name, choice.pretrained, seed)
    spec = describe(choice.name, digest, network.eval(), scale, where=str(choice.pretrained / choice.name))
    return _ready(network, spec), spec


def adopt(path: Path, choice: NetworkChoice, scale: int) -> tuple[nn.Module, Spec]:
    """The network of a file that others made, with its weights and its frame, and what rebuilds it.

    Raises:
        InputError: the file cannot be used, or is not of the chosen network.
    """
    weights = read_checkpoint(path).weights
    if choice.is_built_in:
        spec = choice.spec(scale)
        return _built_in(spec, _by_own_keys(weights, choice), where=str(path)), spec
    network, architecture = build_foreign(choice.name, choice.pretrained, weights, where=str(path))
    spec = describe(choice.name, architecture, network, scale, where=str(path))
    return _ready(network, spec), spec


def _ready(network: nn.Module, spec: ForeignSpec) -> nn.Module:
    """A foreign network with its frame, in its mode, in which it gives an output of its weights alone."""
    spec.frame.attach(network.eval())
    if spec.training:
        in_training_mode(network)
    return network


def _built_in(spec: NetworkSpec, weights: Mapping[str, Tensor], *, where: str) -> nn.Module:
    network = skeleton(spec)
    require_same(weights, network.state_dict(), where=where, what=str(spec))
    network.load_state_dict(weights, assign=True)
    return network.eval()


def write_back(path: Path, original: Path, choice: NetworkChoice, weights: Mapping[str, Tensor]) -> None:
    """Write weights of a network under the keys of the file that it was adopted from, so that the programs that open
    that file open these.

    Args:
        path: the file to write, see :func:`write_like <faig.networks.checkpoints.write_like>`.
        original: the file that :func:`adopt` read.
        choice: what params.yaml says of the network.
        weights: by the network's own keys; those that differ from the file's are written.

    Raises:
        InputError: the file cannot be used, or holds some of the weights in another shape than the network does.
    """
    file = read_checkpoint(original)
    keys, own = _file_keys(file.weights, choice), _by_own_keys(file.weights, choice)
    changed = {key: value.cpu() for key, value in weights.items() if not torch.equal(value.cpu(), own[key])}
    if lost := [key for key in changed if key not in keys]:
        raise InputError(f"{original} does not hold {', '.join(lost[:5])} as the network does: they cannot be written")
    write_like(path, file, {keys[key]: value for key, value in changed.items()})


def _by_own_keys(weights: Mapping[str, Tensor], choice: NetworkChoice) -> Mapping[str, Tensor]:
    """A file's weights by the network's own keys."""
    if choice.is_built_in:
        return {_own_name(key): value for key, value in weights.items()}
    return build_foreign(choice.name, choice.pretrained, weights, where="the file")[0].state_dict()


def _file_keys(weights: Mapping[str, Tensor], choice: NetworkChoice) -> dict[str, str]:
    """The file's key of each of the network's floating-point weights, as far as one is the other unchanged.

    The network is built of weights that all hold their own number: which one has come where, the numbers tell.
    """
    names = list(weights)
    numbered = {
        key: torch.full_like(value, names.index(key) + 1) if value.is_floating_point() else value
        for key, value in weights.items()
    }
    keys = {}
    for key, value in _by_own_keys(numbered, choice).items():
        if value.is_floating_point() and value.numel() and (value == value.flatten()[0]).all():
            number = value.flatten()[0].item()
            source = names[int(number) - 1] if number in range(1, len(names) + 1) else None
            if source is not None and weights[source].shape == value.shape:
                keys[key] = source
    return keys


def _own_name(key: str) -> str:
    for pattern, own in AUTHORS:
        key = re.sub(pattern, own, key)
    return key


def all_names(network: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights that a network shares under all of their names, of weights by their first names, as on a path."""
    return {name: weights[first] for first, same in shared_names(network).items() for name in same}


def save_network(path: Path, spec: Spec, weights: Mapping[str, Tensor]) -> None:
    """Write ``weights`` as safetensors (CPU; floating-point ones as fp32) whose header holds ``spec``; atomically.

    Equal weights give equal bytes.

    Raises:
        InputError: a weight is not finite, or the weights are not those of the network of ``spec``.
    """
    tensors = {name: value.detach().to("cpu").contiguous() for name, value in weights.items()}
    tensors = {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}
    if isinstance(spec, NetworkSpec):
        require_same(tensors, skeleton(spec).state_dict(), where=str(path), what=str(spec))
    for name, value in tensors.items():
        if not torch.isfinite(value).all():
            raise InputError(f"{path}: weights of {name} are not finite; nothing was written. Lower the learning rate")
    with replacing(path) as partial:
        partial.write_bytes(serialize(unshared(tensors), {HEADER_KEY: json.dumps(asdict(spec), sort_keys=True)}))


def load_network(path: Path, choice: NetworkChoice | None = None) -> tuple[nn.Module, Spec]:
    """Rebuild a network from its weights file, on the CPU, with its frame, in the mode in which it has gradients.

    Args:
        path: a file that :func:`save_network` wrote.
        choice: what params.yaml says, without which no factory is run.

    Raises:
        InputError: the file is missing, is not safetensors, has no usable header, or its weights do not fit the header;
            or it needs a factory that params.yaml does not name or that has changed.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist: run the stage that writes it first (`dvc repro`)")
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get(HEADER_KEY, "null"))
            kind = ForeignSpec if isinstance(header, dict) and "frame" in header else NetworkSpec
            spec = validate(HEADER_KEY, header, kind, source=f"{path}: header")
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, json.JSONDecodeError, RecursionError, ParamsError) as error:
        raise InputError(f"{path} is not a weights file of this project: {error}") from error
    if isinstance(spec, NetworkSpec):
        return _built_in(spec, weights, where=str(path)), spec
    if spec.name != SPANDREL and (choice is None or choice.name != spec.name):
        raise InputError(f"{path} holds a network that {spec.name} builds: name that factory as network.name")
    folder = Path() if choice is None else choice.pretrained
    network, architecture = build_foreign(spec.name, folder, weights, where=str(path))
    if architecture != spec.architecture:
        raise InputError(f"{path} was made of {spec}, which is another one now: run `dvc repro` again")
    return _ready(network, spec), spec
