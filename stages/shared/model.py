"""What stages that measure a fine-tuned network read alike: two weights files, test images, discovered filters."""

from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np

from faig.attribution.path import PathModel
from faig.base.compute import ComputeParams, resolve
from faig.base.params import Ratio, load_params
from faig.data.crops import Batch, batches
from faig.data.pairs import read_entries, read_pairs
from faig.experiments.score_table import Key, Method, discovered_by, read_discovered
from stages.shared.network import read_path


def read_model(baseline: Path, network: Path) -> PathModel:
    """The path from the baseline to a target, on the device that params.yaml asks for."""
    return read_path(baseline, network, resolve(load_params("compute", ComputeParams)))


def read_test_inputs(pairs: Path, hr: Path, lr: Path, degradations: Iterable[str]) -> dict[str, list[Batch]]:
    """Test images in batches, by degradation, of those that a list of pairs (CSV) holds."""
    test = read_pairs([entry for entry in read_entries(pairs) if entry.split == "test"], hr, lr)
    return {name: batches(test, name) for name in degradations}


def read_chosen(scores: Path, model: PathModel, methods: Collection[str] | None = None) -> dict[Key, np.ndarray]:
    """Filters (n,) discovered at ``mask_ratio`` by ranking; of some methods only."""
    return read_discovered(scores, load_params("mask_ratio", Ratio), model.index.num_filters, methods)


def read_found(scores: Path, model: PathModel) -> dict[str, np.ndarray]:
    """The discovered filters (n,): those of ``method`` at ``mask_ratio``, by degradation."""
    method = load_params("method", Method)
    return discovered_by(scores, load_params("mask_ratio", Ratio), model.index.num_filters, method)
