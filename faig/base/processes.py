"""Several processes under torchrun: each takes its share of the work, sums are added up, one process writes."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist

T = TypeVar("T")


@dataclass(frozen=True)
class Group:
    """This process among ``size``: number ``rank``, from 0."""

    rank: int
    size: int
    device: torch.device

    @property
    def is_writer(self) -> bool:
        """Whether this process writes the results and shows the progress."""
        return self.rank == 0

    def share(self, items: Sequence[T]) -> Sequence[T]:
        """This process's part of ``items``: every ``size``-th of them, so that each item goes to one process."""
        return items[self.rank :: self.size]

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Sum over all processes, in fp64; all of them must call it, with equal shapes."""
        if self.size == 1:
            return np.asarray(values, dtype=np.float64)
        total = torch.from_numpy(np.array(values, dtype=np.float64)).to(self.device)
        dist.all_reduce(total)
        return total.cpu().numpy()


ALONE = Group(0, 1, torch.device("cpu"))
"""One process by itself."""


@contextmanager
def process_group(device: torch.device) -> Iterator[Group]:
    """The processes that torchrun started (gloo on the CPU, nccl on CUDA), or this one alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Group(0, 1, device)
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Group(dist.get_rank(), dist.get_world_size(), device)
    finally:
        dist.destroy_process_group()
