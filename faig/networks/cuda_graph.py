"""Run a function of a batch as a CUDA graph: its kernels are started all at once instead of one by one.

The kernels of small networks on small patches take less time than starting them does (``graph`` in
benchmarks/speed/results/training_cuda.json).
"""

from collections.abc import Callable

import torch
from torch import Tensor

WARM_UP = 3
"""Calls before the recording: only then do the optimiser's state and the libraries' workspaces exist."""


class Recorded:
    """A function on CUDA whose first calls run as they are and whose later calls replay a recording.

    The function must do the same in every call, on batches of the same shapes, and neither read from the device nor
    copy to it. Tensors that it changes in place (weights, the optimiser's state) must stay the same tensors.
    """

    def __init__(self, function: Callable[[tuple[Tensor, ...]], Tensor]) -> None:
        self.function = function
        self.stream = torch.cuda.Stream()
        self.num_calls = 0
        self.graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, batch: tuple[Tensor, ...]) -> Tensor:
        """Call the function with a batch on the device; returns a copy of its result."""
        self.num_calls += 1
        if self.num_calls <= WARM_UP:
            self.stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self.stream):
                result = self.function(batch)
            torch.cuda.current_stream().wait_stream(self.stream)
            return result.clone()
        # A graph reads and writes fixed addresses: the batch is copied to where the recorded one lay.
        if self.graph is None:
            self.inputs = tuple(value.clone() for value in batch)
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph, stream=self.stream):
                self.result = self.function(self.inputs)
        for own, value in zip(self.inputs, batch, strict=True):
            own.copy_(value)
        self.graph.replay()
        return self.result.clone()
