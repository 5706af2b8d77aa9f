"""The engine finds in the published weights what the authors' procedure finds there (tools/oracle.py)."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import CPU, ROOT, TINY

from faig.attribution.comparisons import discriminate
from faig.attribution.engine import attribute_images
from faig.attribution.path import PathModel
from faig.attribution.quadrature import quadrature
from faig.base.ranking import discovered
from faig.data.tensors import to_tensor
from faig.experiments.loading import load_model
from faig.networks.weights import save_network
from tools.oracle import authors_scores, inputs, main
from tools.tables import read_yaml

GOLDEN = sorted((ROOT / "tests/golden").glob("*.npz"))


@pytest.mark.slow
@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_the_engine_agrees_with_the_authors_procedure(path: Path):
    """Of the top 1 %, 99 %: with 12 nodes the same filters as with 8."""
    weights = ROOT / "published" / path.stem / "weights"
    model = load_model(weights / "baseline.safetensors", weights / "blind.safetensors", CPU)
    with np.load(path) as golden:
        assert len(golden["hr"]) >= 4
        means = {}
        for degradation in ("blur", "noise"):
            pairs = zip(golden[degradation], golden["hr"], strict=True)
            images = [(to_tensor(lr), to_tensor(hr)) for lr, hr in pairs]
            means[degradation] = attribute_images(model, images, quadrature("gausslegendre", 8)).scores.mean(axis=0)
        agreed = total = 0
        for degradation in means:
            scores = discriminate(means, degradation, "difference")
            known, own = golden[f"filters_{degradation}"], golden[f"scores_{degradation}"]
            found = discovered(scores, 0.01)
            assert len(found) == len(known)
            # 100 left ends miss the integral by 1.5 % (blur) and 0.6 %, so near the 1 % some filters change places;
            # two more may on another machine, by rounding.
            assert len(np.intersect1d(found, known)) >= 0.99 * len(known) - 2
            agreed, total = agreed + len(np.intersect1d(found, known)), total + len(known)
            assert np.linalg.norm(scores[known] - own) <= 0.02 * np.linalg.norm(own)
        assert agreed >= 0.99 * total


def test_there_are_golden_scores():
    assert GOLDEN


def test_inputs_are_crops_of_four_photographs_degraded_as_params_say():
    params = read_yaml(ROOT / "params.yaml")
    found = inputs(params)
    assert found["hr"].shape == (4, 128, 128, 3)
    assert found["blur"].shape == found["noise"].shape == (4, 64, 64, 3)
    params["degradations"]["noise"] = params["degradations"]["blur"]
    again = inputs(params)
    np.testing.assert_array_equal(again["noise"], found["blur"])
    assert (found["noise"] != found["blur"]).mean() > 0.9


def test_the_authors_procedure_on_a_tiny_network(tmp_path: Path, model: PathModel, images):
    (lr, hr), *_ = images
    for name in ("baseline", "target"):
        save_network(tmp_path / f"{name}.safetensors", TINY, getattr(model, name))
    scores = authors_scores(tmp_path / "baseline.safetensors", tmp_path / "target.safetensors", lr, hr)
    np.testing.assert_allclose(
        scores, attribute_images(model, [(lr, hr)], quadrature("left", 100)).scores[0], rtol=1e-3
    )


def test_weights_that_are_not_published_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["other"])
    assert result.exit_code == 1
    assert "published/other has no run that trained weights" in result.output
    assert not list(tmp_path.iterdir())
