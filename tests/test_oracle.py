"""The engine finds in the published weights what the authors' procedure finds there (benchmarks/oracle.py)."""

from pathlib import Path

import numpy as np
import pytest
from conftest import CPU, ROOT

from faig.attribution import discriminate, faig
from faig.filters import discovered
from faig.path import load_model
from faig.quadrature import quadrature
from faig.tensors import to_tensor

GOLDEN = sorted((ROOT / "tests/golden").glob("*.npz"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_the_engine_agrees_with_the_authors_procedure(path: Path):
    weights = ROOT / "weights" / path.stem
    model = load_model(weights / "baseline.safetensors", weights / "blind.safetensors", CPU)
    with np.load(path) as golden:
        assert len(golden["hr"]) >= 4
        means = {}
        for degradation in ("blur", "noise"):
            pairs = zip(golden[degradation], golden["hr"], strict=True)
            images = [(to_tensor(lr), to_tensor(hr)) for lr, hr in pairs]
            means[degradation] = faig(model, images, quadrature("gausslegendre", 12)).scores.mean(axis=0)
        for degradation in means:
            scores = discriminate(means, degradation, "difference")
            known = golden[f"filters_{degradation}"]
            found = discovered(scores, 0.01)
            assert len(found) == len(known)
            assert len(np.intersect1d(found, known)) >= 0.99 * len(known)
            np.testing.assert_allclose(scores[known], golden[f"scores_{degradation}"], rtol=0.02)


def test_there_are_golden_scores():
    assert GOLDEN
