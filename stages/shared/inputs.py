"""The test images of a target, read alike by the stages that mask its filters."""

from collections.abc import Iterable
from pathlib import Path

from faig.data.crops import Batch, batches
from faig.data.pairs import read_entries, read_pairs


def read_test_inputs(pairs: Path, hr: Path, lr: Path, degradations: Iterable[str]) -> dict[str, list[Batch]]:
    """Test images in batches, by degradation, of those that a list of pairs (CSV) holds."""
    test = read_pairs([entry for entry in read_entries(pairs) if entry.split == "test"], hr, lr)
    return {name: batches(test, name) for name in degradations}
