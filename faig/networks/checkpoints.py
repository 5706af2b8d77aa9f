"""Checkpoints as others save them: read without running code, unwrapped, checked; and written back under their keys.

A checkpoint is a .safetensors file, or what ``torch.save`` made of a state dict, in one of the wrappings that
restoration code uses. Which of the two it is, its first bytes say, not its name. Of what ``torch.save`` wrote only
tensors and plain values are read (``weights_only``): a pickle that would run code is refused.
"""

import pickle  # noqa: TID251 # for the name of an error alone
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import Tensor

from faig.base.errors import InputError
from faig.base.files import replacing

WRAPPINGS = ("params_ema", "params-ema", "params", "state_dict", "model_state_dict", "model", "net")
"""Keys under which a file may hold its weights, the preferred one first: averaged weights are those that are released.
"""
PREFIXES = ("module.", "netG.", "_orig_mod.")
"""What wrappers of networks put before every key: DataParallel, KAIR, torch.compile."""
DAMAGE = (RuntimeError, EOFError, zipfile.BadZipFile, OSError, KeyError, ValueError, TypeError, AttributeError)
"""What torch raises on files that are cut off or no archives at all."""
SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".bin")
"""What a weights file may be called."""


@dataclass(frozen=True)
class Checkpoint:
    """The weights of one file, and how the file held them.

    ``weights``: by key, without wrapping and prefix; floating-point values as fp32, all others as they are.
    ``wrapping``: the key that the file holds them under, or None. ``prefix``: what stood before every key, or ''.
    ``kinds``: by key, the file's own type of each value.
    """

    path: Path
    weights: dict[str, Tensor]
    wrapping: str | None
    prefix: str
    kinds: dict[str, torch.dtype]


def read_checkpoint(path: Path) -> Checkpoint:
    """Read the weights of a file.

    Raises:
        InputError: the file is missing, damaged or of another kind; it holds code, no weights, integer or quantised
            weights, or a weight that is not finite.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist")
    with path.open("rb") as file:
        start = file.read(9)
    if start[8:] == b"{":  # safetensors: eight bytes for the header's length, then its JSON
        content: Any = _read_safetensors(path)
    elif start[:2] in (b"PK", b"\x80\x02"):  # torch.save's archive, and its form before PyTorch 1.6
        content = _read_torch(path)
    else:
        raise InputError(f"{path} is neither a safetensors file nor one that torch.save wrote")
    weights, wrapping = _unwrap(content, path)
    prefix = next((prefix for prefix in PREFIXES if all(key.startswith(prefix) for key in weights)), "")
    weights = {key.removeprefix(prefix): value for key, value in weights.items()}
    for key, value in weights.items():
        _require_usable(key, value, path)
    kinds = {key: value.dtype for key, value in weights.items()}
    return Checkpoint(path, {key: _as_fp32(value) for key, value in weights.items()}, wrapping, prefix, kinds)


def write_like(path: Path, original: Checkpoint, weights: Mapping[str, Tensor]) -> None:
    """Write weights as the original file holds its own: under the same keys, of the same types; atomically.

    A ``path`` that ends in .safetensors gets plain weights; any other the original's wrapping, by ``torch.save``.

    Args:
        path: the file to write.
        original: the file that programs are known to open.
        weights: by the original's keys, without wrapping and prefix; what is not there stays the original's.

    Raises:
        InputError: the original has no such key, or its value has another shape.
    """
    for key, value in weights.items():
        if key not in original.weights or original.weights[key].shape != value.shape:
            raise InputError(f"{original.path} holds no {key} of shape {tuple(value.shape)}")
    tensors = {
        original.prefix + key: weights.get(key, value).detach().cpu().to(original.kinds[key]).contiguous()
        for key, value in original.weights.items()
    }
    with replacing(path) as partial:
        if path.suffix == ".safetensors":
            partial.write_bytes(serialize(unshared(tensors)))
        else:
            torch.save(tensors if original.wrapping is None else {original.wrapping: tensors}, partial)


def unshared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, each with memory of its own: safetensors refuses weights that several layers share."""
    seen: set[int] = set()
    own = {}
    for name, value in tensors.items():
        own[name] = value.clone() if value.untyped_storage().data_ptr() in seen else value
        seen.add(value.untyped_storage().data_ptr())
    return own


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise InputError(f"{path} is a damaged safetensors file: {error}") from error


def _read_torch(path: Path) -> Any:
    try:
        # Opened here: given its name, torch would take the file for what it is called.
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of TorchScript, which is refused below
            return torch.load(file, map_location="cpu", weights_only=True)  # noqa: TID251 # runs no code
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} is refused: it holds more than weights, and loading it could run code. "
            f"Save its state dict alone, best as safetensors. ({str(error).splitlines()[0]})"
        ) from error
    except DAMAGE as error:
        if "TorchScript" in str(error):
            raise InputError(f"{path} is a TorchScript program: save its state dict instead") from error
        reason = str(error).partition("\n")[0]
        raise InputError(f"{path} cannot be read, it is damaged or cut off: {reason}") from error


def _unwrap(content: Any, path: Path) -> tuple[dict[str, Tensor], str | None]:
    """The state dict in what a file holds, and the key under which it lies."""
    if not isinstance(content, Mapping):
        raise InputError(f"{path} holds a {type(content).__name__}, not a state dict")
    inside = {key: content[key] for key in WRAPPINGS if isinstance(content.get(key), Mapping)}
    for wrapping, found in ({} if _is_weights(content) else inside).items():
        if _is_weights(found):
            return dict(found), wrapping
    if not _is_weights(content):
        raise InputError(f"{path} holds no weights; its keys are {', '.join(map(str, list(content)[:5])) or 'none'}")
    return dict(content), None


def _is_weights(found: Mapping[Any, Any]) -> bool:
    return bool(found) and all(isinstance(key, str) and isinstance(value, Tensor) for key, value in found.items())


def _require_usable(key: str, value: Tensor, path: Path) -> None:
    if value.layout != torch.strided or value.is_complex():
        raise InputError(f"{path}: {key} is not a dense tensor of real numbers")
    is_weight = key.rsplit(".", 1)[-1] in ("weight", "bias")
    if (
        value.is_quantized
        or (value.is_floating_point() and value.dtype.itemsize == 1)
        or (
            not value.is_floating_point()
            and (is_weight or (value.dtype in (torch.int8, torch.uint8) and value.ndim > 1))
        )
    ):
        raise InputError(f"{path}: {key} is quantised ({value.dtype}): take the checkpoint in fp32, fp16 or bf16")
    if value.is_floating_point() and not torch.isfinite(value).all():
        raise InputError(f"{path}: weights of {key} are not finite")


def _as_fp32(value: Tensor) -> Tensor:
    return value.float() if value.is_floating_point() else value
