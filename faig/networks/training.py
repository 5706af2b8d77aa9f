"""Training on patches: L1 loss, Adam, averaged weights, and a learning rate given by the iteration.

A run that was interrupted is resumed from its last checkpoint and ends with the same bytes as one that was not: batch n
depends on (seed, n) alone. Several processes share each batch equally and average their gradients.
"""

import hashlib
import json
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from io import StringIO
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import get_ema_multi_avg_fn

from faig.base.compute import Compute
from faig.base.errors import InputError
from faig.base.files import replacing
from faig.base.params import Count, settings
from faig.base.processes import ALONE, Group
from faig.base.progress import Progress
from faig.data.crops import Batch, batches
from faig.data.pairs import Pair
from faig.data.patches import PatchSampler
from faig.data.quality import border_of, psnr
from faig.networks.cuda_graph import Recorded
from faig.networks.frames import is_framed

Objective = Callable[[nn.Module, Tensor, Tensor, Tensor, Compute], Tensor]
"""Network, LR (N, 3, h, w), HR (N, 3, H, W) and labels (N,) of a batch on the device, compute -> the loss, a scalar.

On CUDA it is recorded (:mod:`faig.networks.cuda_graph`): it must neither read from the device nor copy to it.
"""

Watch = Callable[[Sequence[Mapping[str, float]]], object]
"""What is told of a running training: the whole curve so far, before the first iteration and at each new point."""

CHECKPOINT = "state.safetensors"
MOMENTS = ("exp_avg", "exp_avg_sq")
"""What Adam keeps of each weight, by its own names."""
CURVE = ("iteration", "learning_rate", "train_loss", "validation_psnr")
"""Columns of the training curve; ``train_loss`` is the mean of the objective since the last point, PSNR in dB."""


@settings
class TrainingParams:
    """Settings of one training run; sizes in HR pixels, intervals in iterations.

    ``warmup``: share of the iterations in which the learning rate rises to ``learning_rate``.
    """

    iterations: Count
    batch_size: Annotated[int, Field(ge=1, le=65_536)]
    patch_size: Annotated[int, Field(ge=1, le=4096)]
    learning_rate: Annotated[float, Field(gt=0, le=1)]
    warmup: Annotated[float, Field(ge=0, lt=1)]
    adam_betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]]
    ema_decay: Annotated[float, Field(ge=0, lt=1)]
    log_every: Count
    checkpoint_every: Count
    validation_images: Count

    def __post_init__(self) -> None:
        if self.checkpoint_every % self.log_every:
            raise ValueError(
                f"checkpoint_every = {self.checkpoint_every} must be a multiple of log_every = {self.log_every}"
            )


@dataclass
class TrainingState:
    """All that a run needs to go on: iteration, network, averaged weights, optimiser and the curve so far.

    ``iteration``: how many are done. ``descend`` takes LR, HR and labels of a batch on the device, makes one step of
    the optimiser and returns the loss before it, a scalar.
    """

    network: nn.Module
    average: dict[str, Tensor]
    optimizer: torch.optim.Adam
    compute: Compute
    descend: Callable[[tuple[Tensor, ...]], Tensor]
    iteration: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)


def learning_rate(iteration: int, params: TrainingParams) -> float:
    """Learning rate of ``iteration``, from 0: a linear warm-up to the given rate, then half a cosine down to 0."""
    rising = round(params.warmup * params.iterations)
    if iteration < rising:
        return params.learning_rate * (iteration + 1) / (rising + 1)
    progress = (iteration - rising) / max(params.iterations - rising, 1)
    return params.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def l1(network: nn.Module, lr: Tensor, hr: Tensor, labels: Tensor, compute: Compute) -> Tensor:
    """Mean absolute error over a batch, the :data:`Objective` of restoration."""
    with compute.autocast():
        sr = network(lr)
    return functional.l1_loss(sr.float(), hr)


def train(
    network: nn.Module,
    sampler: PatchSampler,
    params: TrainingParams,
    compute: Compute,
    validate: Callable[[nn.Module], float],
    checkpoint: Path,
    description: str,
    objective: Objective = l1,
    group: Group = ALONE,
    watch: Watch | None = None,
) -> tuple[dict[str, Tensor], list[dict[str, float]]]:
    """Train ``network`` in place; every process of ``group`` must call this.

    Args:
        validate: network -> validation PSNR in dB; called with the averaged weights at each point of the curve.
        checkpoint: folder of this run's checkpoint; must be unique to its settings and data. It is not deleted: the
            caller does so once the results are written.
        description: what the progress line calls the run.
        watch: told of the curve, in the group's first process alone. A run that goes on from a checkpoint begins with
            the checkpoint's points.

    Returns:
        The averaged weights on the CPU, and the curve: points with the keys :data:`CURVE`.

    Raises:
        InputError: the loss or the weights became NaN or infinite; the last good checkpoint is kept.
    """
    state = start(network, params, compute, objective, group)
    load_checkpoint(state, checkpoint)
    if group.sum(np.array([state.iteration])) != group.size * state.iteration:
        raise InputError(
            f"the processes found different checkpoints in {checkpoint}: it must be a folder that all share"
        )
    tell: Watch = watch if watch and group.is_writer else lambda _: None
    tell(state.curve)
    shown = None if group.is_writer else StringIO()
    with Progress(params.iterations, description, initial=state.iteration, stream=shown) as progress:
        while state.iteration < params.iterations:
            num_steps = min(params.log_every, params.iterations - state.iteration)
            losses = [step(state, sampler, params) for _ in range(num_steps)]
            loss = group.sum(np.array([torch.stack(losses).mean().item()]))[0] / group.size
            state.curve.append(_point(state, float(loss), num_steps, params, validate, checkpoint))
            tell(state.curve)
            progress.advance(num_steps, loss=state.curve[-1]["train_loss"], psnr=state.curve[-1]["validation_psnr"])
            due = state.iteration % params.checkpoint_every == 0 or state.iteration == params.iterations
            if due and group.is_writer:
                save_checkpoint(state, checkpoint)
    return {name: value.cpu() for name, value in state.average.items()}, state.curve


def fit(
    network: nn.Module,
    train_pairs: Sequence[Pair],
    test_pairs: Sequence[Pair],
    mixture: Mapping[str, float],
    params: TrainingParams,
    compute: Compute,
    *,
    seed: int,
    checkpoints: Path,
    description: str,
    objective: Objective = l1,
    group: Group = ALONE,
    watch: Watch | None = None,
) -> tuple[dict[str, Tensor], list[dict[str, float]], Path]:
    """Train ``network`` on pairs of a mixture of degradations; the curve's validation PSNR is that of the test images.

    The first ``validation_images`` test images of each degradation are watched; nothing is chosen by them.

    Returns:
        Averaged weights and curve as of :func:`train`, and the folder of the run's checkpoint, within ``checkpoints``.

    Raises:
        InputError: as :func:`train`, or the patches cannot be drawn from the pairs.
    """
    sampler = PatchSampler(
        train_pairs, mixture, patch_size=params.patch_size, batch_size=params.batch_size, seed=seed, group=group
    )
    validate = validation(test_pairs, mixture, params, compute)

    # The checkpoint's folder is named by all that the result depends on, so no run resumes from another's checkpoint.
    digests = [(pair.degradation, pair.digest()) for pair in (*train_pairs, *test_pairs)]
    used = [asdict(params), compute.describe(), group.size, dict(mixture), seed, digests]
    digest = hashlib.sha256(json.dumps(used, sort_keys=True).encode())
    for value in network.state_dict().values():
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    checkpoint = checkpoints / digest.hexdigest()[:16]
    weights, curve = train(
        network, sampler, params, compute, validate, checkpoint, description, objective, group, watch
    )
    return weights, curve, checkpoint


def validation(
    test_pairs: Sequence[Pair], mixture: Mapping[str, float], params: TrainingParams, compute: Compute
) -> Callable[[nn.Module], float]:
    """What measures a network: mean PSNR in dB of the first ``validation_images`` test images of each degradation."""
    by_name = {name: [pair for pair in test_pairs if pair.degradation == name] for name in sorted(mixture)}
    watched = [batches(pairs[: params.validation_images], name) for name, pairs in by_name.items()]
    return lambda network: float(np.mean([mean_psnr(network, images, compute) for images in watched]))


def mean_psnr(network: nn.Module, batches: Sequence[Batch], compute: Compute) -> float:
    """Mean PSNR in dB over all images of the batches, borders cut."""
    values = []
    with torch.no_grad(), compute.autocast():
        for batch in batches:
            sr = network(compute.to_device(batch.lr)).float().cpu()
            values += psnr(sr, batch.hr, border_of(batch.scale)).tolist()
    return float(np.mean(values))


def start(
    network: nn.Module, params: TrainingParams, compute: Compute, objective: Objective = l1, group: Group = ALONE
) -> TrainingState:
    """Set up the state before the first iteration; the network is moved to the device."""
    network = compute.network_to_device(network)
    average = {name: value.detach().clone() for name, value in network.state_dict().items()}
    on_cuda = compute.device.type == "cuda"
    rate = torch.tensor(params.learning_rate, device=compute.device) if on_cuda else params.learning_rate
    options = {"fused": True, "capturable": True} if on_cuda else {}
    optimizer = torch.optim.Adam(network.parameters(), lr=rate, betas=params.adam_betas, **options)
    foreign = is_framed(network)  # it may leave weights unused, and copy to the device while it runs
    trained = DistributedDataParallel(network, find_unused_parameters=foreign) if group.size > 1 else network

    def descend(batch: tuple[Tensor, ...]) -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        lr, hr, labels = batch
        loss = objective(trained, lr, hr, labels, compute)
        loss.backward()
        optimizer.step()
        return loss.detach()

    recorded = Recorded(descend) if on_cuda and group.size == 1 and not foreign else descend
    return TrainingState(network, average, optimizer, compute, recorded)


def step(state: TrainingState, sampler: PatchSampler, params: TrainingParams) -> Tensor:
    """Train for one iteration, in place; returns the loss before it, a scalar on the device."""
    for group in state.optimizer.param_groups:
        rate = learning_rate(state.iteration, params)
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)  # in place: a recorded CUDA graph reads this very tensor
        else:
            group["lr"] = rate
    lr, hr = (state.compute.to_device(images) for images in sampler.batch(state.iteration))
    loss = state.descend((lr, hr, sampler.labels(state.iteration).to(state.compute.device)))
    state.iteration += 1
    # average_n = d average_(n-1) + (1 - d) weights_n. With a constant d the average would hold on to the initial
    # weights for about 1 / (1 - d) iterations; d = n / (n + 9) = 0.1, 0.18, ... in the beginning forgets them soon.
    decay = min(params.ema_decay, state.iteration / (state.iteration + 9))
    update = get_ema_multi_avg_fn(decay)  # all tensors in few kernels
    current = state.network.state_dict()
    floating = [name for name, value in current.items() if value.is_floating_point()]  # others are constant tables
    update([state.average[name] for name in floating], [current[name] for name in floating], None)
    return loss


def _point(
    state: TrainingState,
    loss: float,
    num_steps: int,
    params: TrainingParams,
    validate: Callable[[nn.Module], float],
    checkpoint: Path,
) -> dict[str, float]:
    """Validate the averaged weights; returns a point of the curve.

    Raises:
        InputError: the loss or a weight is not finite.
    """
    finite = math.isfinite(loss) and all(bool(torch.isfinite(value).all()) for value in state.average.values())
    if not finite:
        kept = (
            f"the last good checkpoint is kept in {checkpoint}" if checkpoint.exists() else "there is no checkpoint yet"
        )
        raise InputError(
            f"training diverged between iterations {state.iteration - num_steps + 1} and {state.iteration}: "
            f"loss or weights are not finite; {kept}. Lower learning_rate = {params.learning_rate}"
        )
    # The network itself is validated with the averaged weights and then gets its own ones back: in place, so that
    # optimiser and CUDA graph keep their tensors.
    current = {name: value.clone() for name, value in state.network.state_dict().items()}
    state.network.load_state_dict(state.average)
    quality = validate(state.network)
    state.network.load_state_dict(current)
    rate = learning_rate(state.iteration - 1, params)
    return dict(zip(CURVE, (state.iteration, rate, loss, quality), strict=True))


def save_checkpoint(state: TrainingState, folder: Path) -> None:
    """Write the checkpoint atomically: weights, averages and Adam's moments as safetensors; the rest in its header."""
    tensors = {f"average/{name}": value for name, value in state.average.items()}
    for name, value in state.network.named_parameters():
        tensors[f"weight/{name}"] = value.detach()
        moments = state.optimizer.state.get(value, {})  # none of weights that the output does not depend on
        tensors |= {f"{moment}/{name}": moments[moment] for moment in MOMENTS if moment in moments}
    header = {"iteration": str(state.iteration), "curve": json.dumps(state.curve)}
    with replacing(folder / CHECKPOINT) as partial:
        partial.write_bytes(
            serialize({key: value.cpu().contiguous() for key, value in tensors.items()}, metadata=header)
        )


def load_checkpoint(state: TrainingState, folder: Path) -> None:
    """Set ``state`` to the checkpoint in ``folder``, if there is one; an unreadable one is left out with a warning."""
    path = folder / CHECKPOINT
    if not path.is_file():
        return
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata()
            iteration, curve = int(header["iteration"]), json.loads(header["curve"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        warnings.warn(f"{path} is no checkpoint that can be read ({error}): training starts anew", stacklevel=2)
        return
    state.iteration, state.curve = iteration, curve
    for name, value in state.average.items():
        value.copy_(tensors[f"average/{name}"])
    for name, value in state.network.named_parameters():
        value.data.copy_(tensors[f"weight/{name}"])
        if f"{MOMENTS[0]}/{name}" not in tensors:
            continue
        moments = {key: torch.empty_like(value) for key in MOMENTS}
        for key, moment in moments.items():
            moment.copy_(tensors[f"{key}/{name}"])
        # Adam counts its steps, one per iteration, to correct the bias of its moments.
        count = torch.tensor(float(iteration), device=state.compute.device)
        state.optimizer.state[value] = {"step": count, **moments}
