"""Masking: put the baseline's weights back at chosen filters of the target, and measure what is lost.

Definitions, for inputs of degradation e, Q = mean PSNR over images, masked for degradation d:

* gain(e) = Q_target(e) - Q_baseline(e): what fine-tuning brought, in dB
* share lost(d, e) = (Q_target(e) - Q_masked(e)) / gain(e): 1 when masking takes the whole gain away
* removed(d) = share lost(d, d)
* collateral(d) = the largest share lost(d, e) over the other attributed degradations e
* selectivity(d) = removed(d) - collateral(d)
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import Tensor

from faig.attribution.path import PathModel, Weights, mask
from faig.base.params import Count, NonNegative, Ratio, Unique, settings
from faig.base.statistics import bootstrap_means, percentile_interval
from faig.data.crops import Batch
from faig.data.quality import gradient_distance, psnr, ssim
from faig.experiments.score_table import Key

BASELINE, TARGET = Key("baseline", ""), Key("target", "")
"""Rows of the two unmasked networks in a table of measurements."""


@settings
class MaskParams:
    """Settings of the mask stage."""

    num_resamples: Count
    level: Annotated[float, Field(gt=0, lt=1)]
    min_gain: NonNegative
    picture: Annotated[int, Field(ge=0)]


@settings
class SweepParams:
    """Settings of the sweep stage: which methods, over which shares of the filters."""

    methods: Annotated[tuple[str, ...], Field(min_length=1), Unique]
    ratios: Annotated[tuple[Ratio, ...], Field(min_length=1), Unique]


def restore(model: PathModel, weights: Weights, batches: Sequence[Batch]) -> list[Tensor]:
    """SR of each batch on the CPU, (n, 3, sH, sW), not clipped."""
    with torch.no_grad():
        return [model.restore(weights, batch.lr).cpu() for batch in batches]


def measure(
    model: PathModel,
    inputs: Mapping[str, Sequence[Batch]],
    chosen: Mapping[Key, np.ndarray],
    *,
    border: int,
    advance: Callable[[int], None],
    full: bool = True,
) -> pd.DataFrame:
    """Quality of baseline, target and each masked network on each image of each degradation.

    Args:
        inputs: test images by degradation.
        chosen: filters (n,) to mask, by ranking; equal sets are computed once.
        border: pixels cut on each side before PSNR and SSIM, the scale by custom.
        advance: called with 1 after each network and degradation.
        full: also SSIM and the gradient distance to the target's output; else PSNR alone.

    Returns:
        Columns method, degradation (whose filters), replicate, input, image, psnr in dB, ssim, gradient_distance.
    """
    networks: dict[bytes, tuple[Weights, list[Key]]] = {b"baseline": (model.baseline, [BASELINE])}
    networks[b""] = (model.target, [TARGET])
    for key, filters in chosen.items():
        content = np.sort(filters).astype(np.int64).tobytes()
        if content not in networks:
            networks[content] = (mask(model.target, model.baseline, model.index, filters), [])
        networks[content][1].append(key)
    reference = {name: restore(model, model.target, batches) for name, batches in inputs.items()}
    rows: list[tuple[Key, str, str]] = []
    qualities: dict[str, list[np.ndarray]] = {}
    for weights, keys in networks.values():
        for name, batches in inputs.items():
            outputs = reference[name] if weights is model.target else restore(model, weights, batches)
            for batch, sr, target in zip(batches, outputs, reference[name], strict=True):
                values = {"psnr": psnr(sr, batch.hr, border)}
                if full:
                    values |= {"ssim": ssim(sr, batch.hr, border), "gradient_distance": gradient_distance(sr, target)}
                for key in keys:
                    rows += [(key, name, image) for image in batch.names]
                    for column, value in values.items():
                        qualities.setdefault(column, []).append(value.numpy())
            advance(1)
    columns = {column: [getattr(key, column) for key, *_ in rows] for column in ("method", "degradation", "replicate")}
    columns |= {"input": [name for _, name, _ in rows], "image": [image for *_, image in rows]}
    return pd.DataFrame(columns | {column: np.concatenate(values) for column, values in qualities.items()})


def num_networks(chosen: Mapping[Key, np.ndarray]) -> int:
    """How many different networks :func:`measure` runs."""
    return 2 + len({np.sort(filters).astype(np.int64).tobytes() for filters in chosen.values()} - {b""})


def effects(
    table: pd.DataFrame, attributed: Sequence[str], params: MaskParams, generator_of: Callable[[], np.random.Generator]
) -> dict[str, dict[str, dict[str, Any]]]:
    """What masking took away, by method and degradation, with bootstrap intervals over images.

    Args:
        table: as :func:`measure` returns it; replicates are averaged.
        attributed: degradations whose gains count for the collateral.
        generator_of: gives a fresh generator, so that every interval rests on the same resamples.

    Returns:
        {method: {degradation: values}}. Values: removed, collateral, selectivity, each with _low and _high;
        gradient_distance on the degradation's own inputs; lost_db.<input> and ssim_lost.<input>: PSNR in dB and SSIM
        lost on each input; lost_share.<input>: of the gain on each input. A share is left out where the gain is under
        ``params.min_gain`` dB, so no number is divided by a small one.
    """
    columns = [name for name in ("psnr", "ssim", "gradient_distance") if name in table]
    keys = ["method", "degradation", "image", "input"]
    means = pd.DataFrame(table.groupby(keys)[columns].mean())  # over the replicates
    target, baseline = (_by_input(means, key, "psnr") for key in (TARGET, BASELINE))
    gain = {name: target[name] - baseline[name] for name in target}
    results: dict[str, dict[str, dict[str, Any]]] = {}
    for method, degradation in dict.fromkeys(zip(table["method"], table["degradation"], strict=True)):
        key = Key(method, degradation)
        if key in (BASELINE, TARGET):
            continue
        masked = _by_input(means, key, "psnr")
        lost = {name: target[name] - values for name, values in masked.items()}
        values = _fractions(lost, gain, degradation, attributed, params, generator_of())
        if "ssim" in columns:
            values["gradient_distance"] = float(_by_input(means, key, "gradient_distance")[degradation].mean())
            before, after = (_by_input(means, which, "ssim") for which in (TARGET, key))
            values["ssim_lost"] = {name: float((before[name] - after[name]).mean()) for name in before}
        values["lost_db"] = {name: float(value.mean()) for name, value in lost.items()}
        usable = [name for name in lost if gain[name].mean() >= params.min_gain]
        values["lost_share"] = {name: float(lost[name].mean() / gain[name].mean()) for name in usable}
        results.setdefault(method, {})[degradation] = values
    return results


def _by_input(means: pd.DataFrame, key: Key, column: str) -> dict[str, np.ndarray]:
    """One ranking's values per image (num_images,) by degradation of the input."""
    pivot = pd.DataFrame(means.loc[(key.method, key.degradation), column].unstack("input"))
    return {str(name): pivot[name].to_numpy() for name in pivot.columns}


def _fractions(
    lost: Mapping[str, np.ndarray],
    gain: Mapping[str, np.ndarray],
    degradation: str,
    attributed: Sequence[str],
    params: MaskParams,
    generator: np.random.Generator,
) -> dict[str, Any]:
    """removed, collateral and selectivity with intervals; ``lost`` and ``gain`` in dB per image, by input."""
    usable = [name for name in attributed if gain[name].mean() >= params.min_gain]
    if degradation not in usable:
        return {}
    columns = np.stack([side[name] for side in (lost, gain) for name in usable], axis=1)  # (num_images, 2 E)
    means = bootstrap_means(columns, num_resamples=params.num_resamples, generator=generator)
    own = usable.index(degradation)
    point, samples = (_shares(values, own) for values in (columns.mean(axis=0, keepdims=True), means))
    values: dict[str, Any] = {}
    for name, value in point.items():
        low, high = percentile_interval(samples[name], level=params.level)
        values |= {name: float(value[0]), f"{name}_low": low, f"{name}_high": high}
    return values


def _shares(means: np.ndarray, own: int) -> dict[str, np.ndarray]:
    """Mean losses and gains side by side (R, 2 E) -> removed; where there are others also collateral, selectivity."""
    lost, gain = np.split(means, 2, axis=1)
    shares = lost / np.maximum(gain, 1e-9)  # a resample's gain can be tiny although the mean's is not
    removed, others = shares[:, own], np.delete(shares, own, axis=1)
    if not others.shape[1]:
        return {"removed": removed}
    collateral = others.max(axis=1)
    return {"removed": removed, "collateral": collateral, "selectivity": removed - collateral}
