"""Where and how precisely to compute: device, precision, threads. It changes speed and the last digits, not meaning."""

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Literal, Self

import torch
from torch import Tensor, nn

from faig.base.errors import InputError
from faig.base.params import Count, settings


@settings
class ComputeParams:
    """What params.yaml asks for; :func:`resolve` turns ``auto`` and null into what is used.

    ``threads``: CPU threads of torch; ``workers``: threads for image work; ``launcher``: a command that starts several
    processes (torchrun), or None for one.
    """

    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["auto", "bf16", "fp32", "fp64"]
    threads: Count | None
    workers: Count | None
    launcher: str | None


@dataclass(frozen=True)
class Compute:
    """The device and precision in use; ``channels_last``: whether images and kernels lie channels-last in memory."""

    device: torch.device
    precision: Literal["bf16", "fp32", "fp64"]
    channels_last: bool = False

    def __post_init__(self) -> None:
        if self.precision not in ("bf16", "fp32", "fp64"):
            raise ValueError(f"precision = {self.precision!r} must be bf16, fp32 or fp64")
        object.__setattr__(self, "device", torch.device(self.device))

    def for_gradients(self) -> Self:
        """The same device and precision, laid out for weight gradients of one image at a time.

        Without native bf16, CPUs run these forward passes faster channels-last, but the backward passes slower by more
        (``layouts`` in benchmarks/speed/results/scoring.json).
        """
        return replace(self, channels_last=self.device.type == "cuda" or self.precision == "bf16")

    def autocast(self) -> AbstractContextManager[object]:
        """Context in which convolutions run in the chosen precision; weights and accumulation stay fp32."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    @property
    def dtype(self) -> torch.dtype:
        """Type of weights, sums and results: fp64 if that is the precision, else fp32 (also where it is bf16)."""
        return torch.float64 if self.precision == "fp64" else torch.float32

    def cast(self, value: Tensor) -> Tensor:
        """A copy on the device, detached, of type ``dtype``."""
        return value.detach().to(self.device, self.dtype).clone(memory_format=self._layout(value))

    def to_device(self, value: Tensor) -> Tensor:
        """Move an input to the device, as type ``dtype``."""
        if self.device.type == "cuda" and value.device.type == "cpu":
            value = value.pin_memory()  # the CPU does not wait for the copy, nor the copy for the CPU
        return value.to(self.device, self.dtype, non_blocking=True, memory_format=self._layout(value))

    def _layout(self, value: Tensor) -> torch.memory_format:
        return torch.channels_last if self.channels_last and value.ndim == 4 else torch.contiguous_format

    def network_to_device(self, network: nn.Module) -> nn.Module:
        """Move a network to the device, in place, as type ``dtype``; returns it.

        A network with three-dimensional convolutions keeps its memory layout: channels-last is for images.
        """
        network.to(self.device, self.dtype)
        if self.channels_last and all(value.ndim != 5 for value in network.parameters()):
            network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        return network

    def describe(self) -> dict[str, str]:
        """What was used, for the record beside the results."""
        return {"device": self.device.type, "precision": self.precision, "threads": str(torch.get_num_threads())}


def has_native_bf16(device: torch.device) -> bool:
    """Whether bf16 convolutions run natively: CUDA from compute capability 8, CPUs with AMX."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return torch.cpu._is_amx_tile_supported()


def resolve(params: ComputeParams) -> Compute:
    """Choose device and precision, set the number of CPU threads, and ask CUDA for deterministic algorithms.

    Raises:
        InputError: CUDA is asked for but there is none.
    """
    if params.device == "cuda" and not torch.cuda.is_available():
        raise InputError("compute.device = 'cuda', but torch finds no CUDA device on this machine: use auto or cpu")
    device = torch.device("cuda" if params.device != "cpu" and torch.cuda.is_available() else "cpu")
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if params.threads is not None:
        torch.set_num_threads(params.threads)
    elif processes > 1:  # torchrun leaves each process one thread
        torch.set_num_threads(max((os.cpu_count() or 1) // processes, 1))
    if device.type == "cuda":  # CPU convolutions are deterministic for a fixed number of threads as they are
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore # it costs a kernel each
        torch.backends.cudnn.allow_tf32 = False  # fp32 means fp32
    precision = params.precision
    if precision == "auto":
        precision = "bf16" if has_native_bf16(device) else "fp32"
    return Compute(device=device, precision=precision, channels_last=True)
