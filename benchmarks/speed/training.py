"""Training iterations a second against the field's usual loader: ``python -m benchmarks.speed.training``.

The rival, written from its description: every patch is cut from a PNG that is opened for it, in worker processes, and
trained on in fp32 and PyTorch's default layout. Ours keeps decoded images in memory, and takes bf16 and channels-last
where the hardware has them. Same network, batches of the same size, 2K images, in turns. On CUDA also ours without the
recording of its kernels.
"""

import os
import tempfile
from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from benchmarks.common import degrade, on_device, photograph, seconds, spread, write
from faig.base.compute import Compute, ComputeParams, resolve
from faig.data.images import read_image, write_png
from faig.data.pairs import Pair
from faig.data.patches import PatchSampler
from faig.data.tensors import to_image, to_tensor
from faig.networks.cuda_graph import Recorded
from faig.networks.models import NetworkParams, NetworkSpec, build_network
from faig.networks.training import TrainingParams, start, step

HEIGHT, WIDTH = 1356, 2040


class Patches(Dataset[tuple[Tensor, Tensor]]):
    """Random patches, each from the two PNG files of its image."""

    def __init__(self, folder: Path, num_images: int, size: int, length: int) -> None:
        self.folder, self.num_images, self.size, self.length = folder, num_images, size, length

    def __len__(self) -> int:
        """How many patches there are."""
        return self.length

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        """LR (3, p/2, p/2) and HR (3, p, p)."""
        generator = np.random.default_rng(number)
        name = f"{generator.integers(self.num_images)}.png"
        hr, lr = (read_image(self.folder / kind / name) for kind in ("hr", "lr"))
        half = self.size // 2
        y, x = (int(generator.integers(side - half)) for side in lr.shape[:2])
        cuts = lr[y : y + half, x : x + half], hr[2 * y : 2 * y + self.size, 2 * x : 2 * x + self.size]
        first, second = (to_tensor(np.ascontiguousarray(cut))[0] for cut in cuts)
        return first, second


@click.command()
@click.option("--width", default=64)
@click.option("--depth", default=16)
@click.option("--batch-size", default=16)
@click.option("--patch-size", default=64)
@click.option("--images", default=8)
@click.option("--iterations", default=20, help="of each, per turn")
@click.option("--rival-iterations", default=20, help="of the rival, per turn")
@click.option("--repeats", default=3)
def main(
    width: int,
    depth: int,
    batch_size: int,
    patch_size: int,
    images: int,
    iterations: int,
    rival_iterations: int,
    repeats: int,
) -> None:
    """Measure and write benchmarks/speed/results/training.json."""
    spec = NetworkSpec(params=NetworkParams(name="srresnet", width=width, depth=depth), scale=2)
    params = TrainingParams(
        iterations=10**6,
        batch_size=batch_size,
        patch_size=patch_size,
        learning_rate=2e-4,
        warmup=0.0,
        adam_betas=(0.9, 0.99),
        ema_decay=0.999,
        log_every=1000,
        checkpoint_every=1000,
        validation_images=1,
    )
    wishes = {"device": "auto", "precision": "auto", "threads": None, "workers": None, "launcher": None}
    compute = resolve(ComputeParams(**wishes))
    plain = Compute(device=compute.device, precision="fp32")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pairs = []
        for number in range(images):
            hr = photograph(HEIGHT, WIDTH, number)
            pixels = to_image(hr), to_image(degrade(hr, "blur", number))
            for kind, image in zip(("hr", "lr"), pixels, strict=True):
                write_png(folder / kind / f"{number}.png", image)
            pairs.append(Pair(str(number), "blur", *pixels))
        sampler = PatchSampler(pairs, {"blur": 1.0}, patch_size=patch_size, batch_size=batch_size, seed=0)
        state = start(build_network(spec), params, compute)
        patches = Patches(folder, images, patch_size, batch_size * rival_iterations)
        network = plain.network_to_device(build_network(spec))
        optimizer = torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.9, 0.99))

        def rival_step(batch: list[Tensor]) -> Tensor:
            lr, hr = (plain.to_device(part) for part in batch)
            optimizer.zero_grad()
            with torch.backends.cudnn.flags(enabled=True, allow_tf32=True):  # PyTorch's default
                loss = functional.l1_loss(network(lr), hr)
                loss.backward()
            optimizer.step()
            return loss.detach()

        def ours() -> float:
            return torch.stack([step(state, sampler, params) for _ in range(iterations)]).mean().item()

        def rival() -> float:
            loader = DataLoader(patches, batch_size, num_workers=os.cpu_count() or 1)  # its workers end with the turn
            return torch.stack([rival_step(batch) for batch in loader]).mean().item()

        def unrecorded() -> float:
            recorded = state.descend
            assert isinstance(recorded, Recorded)
            state.descend = recorded.function
            loss = ours()
            state.descend = recorded
            return loss

        ours()
        rival()
        times = [(seconds(ours) / iterations, seconds(rival) / rival_iterations) for _ in range(repeats)]
        kernels = [seconds(unrecorded) / seconds(ours) for _ in range(repeats)] if plain.device.type == "cuda" else []
    write(
        on_device("speed/training"),
        {
            "network": [width, depth],
            "batch": [batch_size, patch_size],
            "computed_with": compute.describe(),
            "iterations_per_second": spread([1 / own for own, _ in times]),
            "rival_iterations_per_second": spread([1 / other for _, other in times]),
            "speedup": spread([other / own for own, other in times]),
            **({"graph": spread(kernels)} if kernels else {}),
        },
    )


if __name__ == "__main__":
    main()
