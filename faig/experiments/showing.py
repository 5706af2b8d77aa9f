"""Images to be shown: what networks restore of one photograph, as a table that pictures are drawn from."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from faig.attribution.path import PathModel
from faig.data.images import encode_png
from faig.data.quality import border_of, psnr
from faig.data.tensors import to_image
from faig.experiments.evaluation import Restore
from faig.experiments.modulation import modulate
from faig.experiments.score_table import Key

Shown = Mapping[str, tuple[Tensor, Tensor]]
"""By degradation, LR (1, 3, H, W) and HR (1, 3, sH, sW) of one photograph."""


def show_masking(model: PathModel, inputs: Shown, chosen: Mapping[Key, np.ndarray], method: str) -> pd.DataFrame:
    """The images of the masking picture: a row per degraded input; target, and discovered and random filters masked.

    Args:
        inputs: of every attributed degradation.
        chosen: filters (n,) by ranking; those of ``method`` and ``random`` ones are shown, of the latter as many
            draws as there are of the former.

    Returns:
        Columns row (the degradation), column (``input``, ``target``, ``<method>/<degradation>``, ``random/<draw>``),
        psnr in dB (empty for the input) and png (content of a PNG file).
    """
    found = {key.degradation: filters for key, filters in chosen.items() if key.method == method}
    first = next(iter(found))
    random = [chosen[key] for key in chosen if key.method == "random" and key.degradation == first]
    sets = {f"{method}/{name}": filters for name, filters in found.items()}
    sets |= {f"random/{number}": random[number % len(random)] for number in range(len(found))}
    networks: dict[str, Restore] = {"target": partial(model.restore, model.target)}
    for name, filters in sets.items():
        networks[name] = partial(model.restore, model.masked(filters))
    return pd.concat([_shown(name, *image, networks) for name, image in inputs.items()], ignore_index=True)


def show_modulation(
    model: PathModel, inputs: Shown, found: Mapping[str, np.ndarray], lambdas: Sequence[float]
) -> pd.DataFrame:
    """The images of the modulation picture: a row per dial, on inputs of its degradation, a column per lambda.

    Args:
        inputs: of every dial's degradation.
        found: filters (n,) by dial.

    Returns:
        As :func:`show_masking`; the columns are called ``input`` and by their lambdas.
    """
    tables = []
    for name, filters in found.items():
        dials = {f"{value:g}": [(filters, value)] for value in lambdas}
        weights = {key: modulate(model.target, model.baseline, model.index, dial) for key, dial in dials.items()}
        networks = {key: partial(model.restore, values) for key, values in weights.items()}
        tables.append(_shown(name, *inputs[name], networks))
    return pd.concat(tables, ignore_index=True)


def _shown(row: str, lr: Tensor, hr: Tensor, networks: Mapping[str, Restore]) -> pd.DataFrame:
    images, qualities = {"input": to_image(lr)}, {"input": np.nan}
    with torch.no_grad():
        for name, restore in networks.items():
            sr = restore(lr).cpu()
            images[name] = to_image(sr)
            qualities[name] = psnr(sr, hr, border_of(hr.shape[-1] // lr.shape[-1])).item()
    content = [encode_png(image, name) for name, image in images.items()]
    return pd.DataFrame({"row": row, "column": list(images), "psnr": list(qualities.values()), "png": content})
