"""Networks that are defined elsewhere: by the package spandrel, which knows them by their weights, or by a factory.

A factory is a function without arguments in a Python file of the user's, ``network.py:make_network``, that returns the
network. It is run only if params.yaml names it, and what it built is only rebuilt while its file stays the same.
"""

import copy
import hashlib
import importlib
import importlib.util
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from faig.attribution.path import PathModel, shared_names
from faig.base.compute import Compute
from faig.base.errors import InputError
from faig.base.params import settings
from faig.networks.frames import Frame, find_frame

SPANDREL = "spandrel"
INSTALL = "python -m pip install 'spandrel>=0.4.1,<0.5'"
FACTORY = r"[A-Za-z0-9_][A-Za-z0-9_./-]*\.py:[A-Za-z_][A-Za-z0-9_]*"
"""What names a factory: a file and a function in it."""
STEPS: dict[Literal["fp64", "fp32"], float] = {"fp64": 1e-3, "fp32": 0.02}
"""How far along the path, of length 1, the difference is taken that a derivative is compared with. The second is for
networks that cannot compute in fp64, because they make numbers of fp32 themselves."""
PROBE = 40
"""Pixels a side of the image that they are compared on."""
TOLERANCE = 0.05
"""Largest difference of the two, and of outputs in evaluation and training mode, as a share of their size."""


@settings
class ForeignSpec:
    """All that is needed to rebuild a foreign network from its weights.

    ``name``: spandrel, or the factory. ``architecture``: what spandrel calls it, or the SHA-256 of the factory's file.
    ``training``: whether it is run in training mode, because it cannot be differentiated in evaluation mode.
    """

    name: str
    architecture: str
    frame: Frame
    training: bool

    @property
    def scale(self) -> int:
        """Output pixels per input pixel along each side."""
        return self.frame.scale

    def __str__(self) -> str:
        """In words, for messages."""
        what = self.architecture if self.name == SPANDREL else f"file {self.architecture[:8]}"
        mode = ", run in training mode" if self.training else ""
        return f"a network of {self.name} ({what}), scale {self.scale}{mode}"


def build_foreign(name: str, folder: Path, weights: Mapping[str, Tensor], *, where: str) -> tuple[nn.Module, str]:
    """Build the network of some weights, on the CPU, in evaluation mode and without a frame.

    Args:
        name: spandrel, or a factory.
        folder: which the factory's file is in.
        weights: by the network's keys, or by those of any file that spandrel reads.
        where: the weights' file, for messages.

    Returns:
        The network with the weights, and its architecture as :class:`ForeignSpec` has it.

    Raises:
        InputError: there is no such network, or it has other weights.
    """
    if name == SPANDREL:
        network, architecture = _by_spandrel(weights, where=where)
    else:
        network, architecture = run_factory(name, folder)
        require_same(weights, network.state_dict(), where=where, what=name)
        network.load_state_dict(dict(weights))
    return network.cpu().eval(), architecture


def run_factory(name: str, folder: Path, seed: int = 0) -> tuple[nn.Module, str]:
    """Run a factory of the user's, all random numbers drawn from ``seed``: the network, and its file's SHA-256.

    Raises:
        InputError: there is no such file or function, or it fails, or returns something else.
    """
    file, function = name.rsplit(":", 1)
    path = folder / file
    if not path.is_file():
        raise InputError(f"network.name = {name!r}: {path} does not exist (it is looked for in network.pretrained)")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    found = importlib.util.spec_from_file_location(f"factory_{digest[:16]}", path)
    if found is None or found.loader is None:
        raise InputError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module  # dataclasses look their module up there
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            found.loader.exec_module(module)
            made = getattr(module, function, None)
            network = made() if callable(made) else None
    except (Exception, SystemExit) as error:
        raise InputError(f"{path}: {function}() raises {type(error).__name__}: {error}") from error
    if made is None:
        raise InputError(f"{path} defines no function {function}")
    if not isinstance(network, nn.Module):
        raise InputError(f"{path}: {function}() returns a {type(network).__name__}, not a torch.nn.Module")
    return network.float(), digest


def describe(name: str, architecture: str, network: nn.Module, scale: int, *, where: str) -> ForeignSpec:
    """Find out how a network is to be used; it stays as it is.

    Raises:
        InputError: it is no network of this scale that restores images and can be differentiated.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the code of others
            network = copy.deepcopy(network)  # some write into their own weights when they are run
            frame = find_frame(network, scale)
            training = needs_training_mode(network, frame)
        return ForeignSpec(name=name, architecture=architecture, frame=frame, training=training)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def needs_training_mode(network: nn.Module, frame: Frame) -> bool:
    """Whether a network can be differentiated by its weights in training mode alone.

    Some networks fuse their weights in evaluation mode, past what is differentiated: the gradient is then wrong without
    an error. Others write into their features. So the slope of a loss along a path is compared with its difference.

    Raises:
        InputError: it can be differentiated in neither, or restores differently in training mode.
    """
    weights = network.state_dict()
    generator = np.random.default_rng(0)
    moved = dict(weights)
    for first, same in shared_names(network).items():
        value = weights[first]
        moved |= dict.fromkeys(same, value + 0.02 * value.std(correction=0) * _noise(value, generator))
    framed = frame.attach(copy.deepcopy(network))
    image = torch.from_numpy(generator.random((1, 3, PROBE, PROBE)))
    problems, outputs = {}, []
    for training in (False, True):
        try:
            model, error = _derivative(framed, weights, moved, image, training=training)
        except Exception as problem:  # whatever the code of others raises
            problems[training] = f"raises {type(problem).__name__}: {problem}"
            continue
        outputs.append(model.restore(model.target, image).detach().double())
        if not error <= TOLERANCE:
            problems[training] = f"has gradients that are wrong by {error:.0%}"
        elif len(outputs) == 2 and _difference(*outputs) > TOLERANCE:
            problems[training] = f"restores otherwise than in evaluation mode, by {_difference(*outputs):.0%}"
        else:
            return training
    raise InputError(
        f"the network cannot be differentiated: in evaluation mode it {problems[False]}; in training mode it "
        f"{problems[True]}"
    )


def _derivative(
    network: nn.Module, baseline: Mapping[str, Tensor], target: Mapping[str, Tensor], image: Tensor, *, training: bool
) -> tuple[PathModel, float]:
    """The model in a mode, and how far the loss's slope half-way along the path is from its difference, relative."""
    problem = None
    for precision, step in STEPS.items():
        model = PathModel(network, baseline, target, Compute(torch.device("cpu"), precision), training=training)
        try:
            return model, _derivative_error(model, image, step)
        except (RuntimeError, InputError) as error:
            problem = problem or error
    assert problem is not None
    raise problem


def _noise(value: Tensor, generator: np.random.Generator) -> Tensor:
    return torch.from_numpy(generator.standard_normal(tuple(value.shape))).to(value)


def _derivative_error(model: PathModel, image: Tensor, step: float) -> float:
    """How far the loss's derivative along the path, half-way, is from its central difference, as a share of it."""

    def loss(position: float) -> tuple[Tensor, list[Tensor]]:
        weights = model.at(position)
        error = (model.restore(weights, image) - 0.3).square().sum(dtype=torch.float64)
        return error, [weights[name] for name in model.moving]

    value, moving = loss(0.5)
    gradients = torch.autograd.grad(value, moving, allow_unused=True)
    slope = sum(
        float((gradient * model.change[name]).sum())
        for name, gradient in zip(model.moving, gradients, strict=True)
        if gradient is not None
    )
    with torch.no_grad():
        expected = (loss(0.5 + step)[0] - loss(0.5 - step)[0]).item() / (2 * step)
    return abs(slope - expected) / max(abs(expected), 1e-12)


def _difference(first: Tensor, second: Tensor) -> float:
    return ((first - second).norm() / first.norm().clamp_min(1e-12)).item()


def require_same(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], *, where: str, what: str) -> None:
    """Check that weights have the names, shapes and kinds of a network's own.

    Raises:
        InputError: names the file ``where``, the network ``what`` and the first five of the names that differ.
    """
    for kind, names in (("lacks", expected.keys() - found.keys()), ("holds", found.keys() - expected.keys())):
        if names:
            first = ", ".join([name for name in (*expected, *found) if name in names][:5])
            other = "that it has" if kind == "lacks" else "that it has not"
            raise InputError(f"{where} is not of {what}: it {kind} {len(names)} weights {other}: {first}")
    for name, value in expected.items():
        if value.shape != found[name].shape:
            raise InputError(
                f"{where} is not of {what}: {name} has shape {tuple(found[name].shape)}, but {tuple(value.shape)} is "
                "needed"
            )
        if value.is_floating_point() != found[name].is_floating_point():
            raise InputError(f"{where}: {name} holds {found[name].dtype}, but {value.dtype} is needed")


def _by_spandrel(weights: Mapping[str, Tensor], *, where: str) -> tuple[nn.Module, str]:
    spandrel = import_spandrel()
    if not any(value.is_floating_point() and value.ndim > 1 for value in weights.values()):
        raise InputError(f"{where} holds no floating-point weights: quantised checkpoints cannot be used")
    try:
        # Loading draws initial weights and changes the state dict, and older architectures call torch in an old way.
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = spandrel.MAIN_REGISTRY.load({key: value.clone() for key, value in weights.items()})
    except spandrel.UnsupportedModelError as error:
        raise InputError(
            f"{where}: spandrel knows no network with such weights; its first: {', '.join(list(weights)[:5])}. "
            "Name a factory in network.name instead"
        ) from error
    except Exception as error:  # whatever spandrel's networks raise on weights that do not fit
        raise InputError(f"{where}: spandrel cannot build the network: {error}") from error
    if not isinstance(found, spandrel.ImageModelDescriptor):
        raise InputError(f"{where} holds {found.architecture.name}, which needs more than an image")
    _call_by(found.model, found._call_fn)
    return found.model.requires_grad_(True), str(found.architecture.id)


def _call_by(network: nn.Module, call: Callable[[Any, Tensor], Any]) -> None:
    """Let a network be called as spandrel calls it: DRUNet, say, with a map of the noise beside the image."""
    base: Any = type(network)
    network.__class__ = type(
        base.__name__, (base,), {"forward": lambda self, x: call(_AsDefined(self, base.forward), x)}
    )


@dataclass(frozen=True)
class _AsDefined:
    """A network, called by its class's own ``forward``."""

    network: nn.Module
    forward: Callable[[nn.Module, Tensor], Any]

    def __call__(self, x: Tensor) -> Any:
        return self.forward(self.network, x)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.network, name)


def import_spandrel() -> ModuleType:
    """The package spandrel, an optional extra.

    It imports torchvision for two networks, of faces and of inpainting, that are of no use here. torchvision's release
    for CUDA cannot be imported beside PyTorch's for the CPU: then those two alone do without it.

    Raises:
        InputError: it is not installed; says which command installs it.
    """
    if SPANDREL in sys.modules:
        return sys.modules[SPANDREL]
    try:
        with _torchvision():
            return importlib.import_module(SPANDREL)
    except ImportError as error:
        raise InputError(
            f"network.name = {SPANDREL!r} needs the package spandrel ({error}): install it by `{INSTALL}`"
        ) from error


@contextmanager
def _torchvision() -> Iterator[None]:
    """Where torchvision cannot be imported, an empty module in its place."""
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError, OSError):
        names = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")
        before = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "torchvision"}
        for name in before:
            del sys.modules[name]
        stand_ins: dict[str, Any] = {name: ModuleType(name) for name in names}
        for needed in ("InterpolationMode", "rotate", "normalize"):
            setattr(stand_ins[names[-1]], needed, None)
        sys.modules.update(stand_ins)
        try:
            yield
        finally:
            for name in names:
                sys.modules.pop(name, None)
    else:
        yield
