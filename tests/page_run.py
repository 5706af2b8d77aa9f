"""A small made-up run, and the page of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from conftest import ROOT, TINY

from faig.attribution.filters import FilterIndex
from faig.base.statistics import BootstrapParams
from faig.data.images import encode_png, write_png
from faig.experiments.score_table import Key, write_scores
from faig.networks.models import build_network
from faig.networks.weights import save_network
from faig.page.page import write_page
from faig.page.run import Files, Run
from faig.report.claims import ClaimParams
from faig.report.numbers import write_numbers

CLASSES = ("clean", "blur", "noise", "blur_noise")
RUN = Run(
    target="blind",
    attributed=("blur", "noise"),
    method="faig",
    ratio=0.03,
    scale=2,
    min_gain=0.5,
    bootstrap=BootstrapParams(num_resamples=20, confidence=0.9),
    classes=CLASSES,
    picture=0,
    seed=0,
    shown={"seed": 0, "degradations": {"blur": [{"gaussian_blur": {"sigma": 2.0}}, "downsample"], "clean": []}},
)
CLAIMS = {
    "blur_goes": ClaimParams(says="blur goes", metric="mask/blind/faig/blur/removed", at_least=0.5, set="before"),
    "noise_stays": ClaimParams(says="noise stays", metric="mask/blind/faig/blur/collateral", at_most=0.05, set="after"),
    "dials_turn": ClaimParams(says="dials turn", metric="modulate/blur/monotonicity", at_least=0.9, set="before"),
}
TIMINGS = [
    {"stage": "mask", "seconds": 2.5, "peak_memory_mib": 400},
    {"stage": "report", "seconds": 9.9, "peak_memory_mib": 300},
]
IMAGES = ("a", "b", "c")


def results(gain: float = 4.0) -> dict[str, Any]:
    """The mission's numbers; where the gain is small, without shares of it."""
    masked: dict[str, Any] = {}
    for method, factor in (("faig", 1.0), ("random", 0.1)):
        masked[method] = {}
        for name in RUN.attributed:
            other = "noise" if name == "blur" else "blur"
            values: dict[str, Any] = {"lost_db": {name: gain * factor, other: 0.2, "clean": 0.0}}
            if gain >= RUN.min_gain:
                values |= with_ends("removed", 0.9 * factor) | with_ends("collateral", 0.1 * factor)
                values |= with_ends("selectivity", 0.8 * factor) | with_ends("kept", 0.3 * factor)
                values["lost_share"] = {name: 0.9 * factor, other: 0.1 * factor}
            masked[method][name] = values
    curves = {
        method: {name: {f"{ratio:g}": values for ratio in (0.01, 0.03, 0.1)} for name, values in found.items()}
        for method, found in masked.items()
    }
    fine = {"psnr_baseline": 24.0, "psnr_target": 24.0 + gain, "gain": gain}
    accuracies = with_ends("accuracy_all", 0.75) | with_ends("accuracy_attributed", 1.0)
    return {
        "finetune": {"blind": dict.fromkeys(CLASSES, fine)},
        "mask": {"blind": masked},
        "ratios": {"blind": curves},
        "predict": {"response": accuracies, "overlap": accuracies},
    }


def with_ends(name: str, value: float) -> dict[str, float]:
    return {name: value, f"{name}_low": value - 0.05, f"{name}_high": value + 0.05}


def picture(size: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3)).astype(np.uint8)


def make_run(folder: Path, gain: float = 4.0) -> dict[str, Path | None]:
    """Write all files of a run; returns them by name."""
    paths = {name: folder / f"data/{name}" for name in ("scores", "networks", "hr", "lr")}
    paths |= {name: folder / f"data/{name}.parquet" for name in ("pictures", "predictions")}
    paths |= {"mission": folder / "metrics/mission.parquet", "claims": ROOT / "argument/claims.yaml"}
    write_numbers(paths["mission"], results(gain))
    columns = {"input": 16, "target": 32, "faig/blur": 32, "faig/noise": 32, "random/0": 32, "random/1": 32}
    rows = [
        {"row": row, "column": column, "psnr": np.nan if column == "input" else 20.0 + number}
        | {"png": encode_png(picture(size, number), "")}
        for row in RUN.attributed
        for number, (column, size) in enumerate(columns.items())
    ]
    paths["pictures"].parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_parquet(paths["pictures"])
    write_predictions(paths["predictions"], IMAGES)
    for seed, image in enumerate(IMAGES):
        write_png(paths["hr"] / "test" / f"{image}.png", picture(32, seed))
        for name in CLASSES:
            write_png(paths["lr"] / name / "test" / f"{image}.png", picture(16, seed + 10))
    for seed, name in enumerate(("baseline", "blind")):
        save_network(paths["networks"] / f"{name}.safetensors", TINY, build_network(TINY, seed).state_dict())
    index, generator = FilterIndex.of(build_network(TINY)), np.random.default_rng(0)
    rankings = {
        Key(method, name): generator.standard_normal(index.num_filters)
        for method in ("faig", "taylor")
        for name in RUN.attributed
    }
    write_scores(paths["scores"] / "blind.parquet", index, rankings, {})
    return dict(paths)


def write_predictions(path: Path, images: tuple[str, ...]) -> None:
    """Features that tell all but blur with noise, which looks like noise half of the time."""
    generator = np.random.default_rng(1)
    rows = []
    for kind, names in (("calibration", tuple("pqrs")), ("test", images)):
        for place, name in enumerate(CLASSES):
            for number, image in enumerate(names):
                at = 2 if name == "blur_noise" and number % 2 else place
                values = generator.normal(at, 0.1, 4)
                features = dict(zip(("response/x", "response/y", "overlap/x", "overlap/y"), values, strict=True))
                rows.append({"set": kind, "class": name, "image": image, **features})
    pd.DataFrame(rows).to_parquet(path)


def page_of(folder: Path, paths: Mapping[str, Path | None], run: Run = RUN, **options: Any) -> str:
    """The page of a run, as text; it lies at ``<folder>/report/index.html``."""
    page = folder / "report/index.html"
    write_page(Files(page, paths), run, options.get("asked", CLAIMS), options.get("noted", TIMINGS))
    return page.read_text(encoding="utf-8")
