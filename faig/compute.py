"""Where and how precisely to compute: device, precision, threads. It changes speed and the last digits, not meaning."""

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from faig.params import Count, settings


@settings
class ComputeParams:
    """Wishes; ``auto`` and null are resolved by :func:`resolve`."""

    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["auto", "bf16", "fp32", "fp64"]
    threads: Count | None
    workers: Count | None
    launcher: str | None


@dataclass(frozen=True)
class Compute:
    """A resolved choice of device and precision."""

    device: torch.device
    precision: Literal["bf16", "fp32", "fp64"]

    def autocast(self) -> AbstractContextManager[object]:
        """Context in which convolutions run in the chosen precision; weights and accumulation stay fp32."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    @property
    def dtype(self) -> torch.dtype:
        """Of weights, sums and results: fp64 if that is the precision, else fp32."""
        return torch.float64 if self.precision == "fp64" else torch.float32

    def cast(self, value: Tensor) -> Tensor:
        """A copy on the device, detached, of type ``dtype``; (., ., ., .) channels-last."""
        layout = torch.channels_last if value.ndim == 4 else torch.contiguous_format
        return value.detach().to(self.device, self.dtype).clone(memory_format=layout)

    def place(self, value: Tensor) -> Tensor:
        """An input on the device, of type ``dtype``; an image batch (N, C, H, W) channels-last."""
        layout = torch.channels_last if value.ndim == 4 else torch.preserve_format
        return value.to(self.device, self.dtype, memory_format=layout)

    def place_network(self, network: nn.Module) -> nn.Module:
        """The network on the device, of type ``dtype``; channels-last where its weights are of images."""
        network.to(self.device, self.dtype)
        if all(value.ndim != 5 for value in network.parameters()):
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
        ValueError: CUDA is asked for but there is none.
    """
    if params.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("compute.device = 'cuda', but torch finds no CUDA device on this machine: use auto or cpu")
    device = torch.device("cuda" if params.device != "cpu" and torch.cuda.is_available() else "cpu")
    if params.threads is not None:
        torch.set_num_threads(params.threads)
    if device.type == "cuda":  # CPU convolutions are deterministic for a fixed number of threads as they are
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
    precision = params.precision
    if precision == "auto":
        precision = "bf16" if has_native_bf16(device) else "fp32"
    return Compute(device=device, precision=precision)
