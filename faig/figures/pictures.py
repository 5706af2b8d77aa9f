"""What masking and modulation look like: the paper's figure 2 for one photograph, and the same over lambda."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from faig.attribution.path import PathModel, Weights
from faig.data.quality import psnr
from faig.data.tensors import to_image
from faig.experiments.masking import mask
from faig.experiments.modulation import modulate
from faig.experiments.score_table import Key
from faig.figures.plots import image_grid, label_of


def masking_picture(
    model: PathModel, inputs: Mapping[str, tuple[Tensor, Tensor]], chosen: Mapping[Key, np.ndarray], path: Path
) -> None:
    """Write a grid: a row per degraded input; columns input, target, and each degradation's filters masked.

    The filters are FAIG's and, beside them, equally many random ones, another draw in each column.

    Args:
        inputs: by degradation, LR (1, 3, H, W) and HR (1, 3, sH, sW) of one photograph.
        chosen: filters to mask by ranking; those of methods ``faig`` and ``random`` are shown.
        path: of the PNG file.
    """
    degradations = [key.degradation for key in chosen if key.method == "faig"]
    random = [key for key in chosen if key.method == "random" and key.degradation == degradations[0]]
    draws = [random[number % len(random)] for number in range(len(degradations))]
    networks: list[tuple[str, Weights]] = [("target", model.target)]
    for key in [*(Key("faig", name) for name in degradations), *draws]:
        title = f"{label_of(key.degradation)} filters masked" if key.method == "faig" else "equally many masked"
        networks.append((title, mask(model.target, model.baseline, model.index, chosen[key])))
    rows, captions = [], []
    with torch.no_grad():
        for lr, hr in inputs.values():
            outputs = [model.restore(weights, lr).cpu() for _, weights in networks]
            rows.append([to_image(lr), *(to_image(sr) for sr in outputs)])
            border = hr.shape[-1] // lr.shape[-1]
            captions.append(["", *(f"{psnr(sr, hr, border).item():.1f} dB" for sr in outputs)])
    image_grid(
        rows,
        [f"{label_of(name)} input" for name in inputs],
        ["input", *(title for title, _ in networks)],
        captions,
        path,
        column_groups=[("", 2), ("FAIG", len(degradations)), ("random", len(draws))],
    )


def modulation_picture(
    model: PathModel,
    inputs: Mapping[str, tuple[Tensor, Tensor]],
    found: Mapping[str, np.ndarray],
    lambdas: Sequence[float],
    path: Path,
) -> None:
    """Write a grid: a row per dial, on inputs of its degradation; columns input, and the output at each lambda.

    ``inputs``: by degradation, LR (1, 3, H, W) and HR (1, 3, sH, sW) of one photograph. ``found``: by dial,
    filters (n,).
    """
    rows, captions = [], []
    for name, filters in found.items():
        lr, hr = inputs[name]
        networks = [modulate(model.target, model.baseline, model.index, [(filters, value)]) for value in lambdas]
        with torch.no_grad():
            outputs = [model.restore(weights, lr).cpu() for weights in networks]
        rows.append([to_image(lr), *(to_image(sr) for sr in outputs)])
        border = hr.shape[-1] // lr.shape[-1]
        captions.append(["", *(f"{psnr(sr, hr, border).item():.1f} dB" for sr in outputs)])
    titles = ["input", *(f"$\\lambda$ = {value:g}" for value in lambdas)]
    image_grid(rows, [f"{label_of(name)} input" for name in found], titles, captions, path)
