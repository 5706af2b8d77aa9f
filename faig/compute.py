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
    precision: Literal["auto", "bf16", "fp32"]
    threads: Count | None
    workers: Count | None


@dataclass(frozen=True)
class Compute:
    """A resolved choice of device and precision."""

    device: torch.device
    precision: Literal["bf16", "fp32"]

    def autocast(self) -> AbstractContextManager[object]:
        """Context in which convolutions run in the chosen precision; weights and accumulation stay fp32."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def place(self, value: Tensor) -> Tensor:
        """An image batch (N, C, H, W) on the device, channels-last."""
        return value.to(self.device, memory_format=torch.channels_last)

    def place_network(self, network: nn.Module) -> nn.Module:
        """The network on the device, channels-last."""
        return network.to(self.device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

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
