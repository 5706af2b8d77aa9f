"""Laws of perceptual distances: whole images as stored, by a stand-in; what is said where the library is missing."""

import hashlib
import re
import sys
from types import SimpleNamespace
from urllib.error import URLError

import pytest
import torch
from torch import nn

from faig.base.errors import InputError
from faig.base.params import validate
from faig.data.crops import Batch
from faig.data.perceptual import INSTALL, PERCEPTUAL, perceptual
from faig.data.quality import to_8bit
from faig.experiments.evaluation import QUALITY, measures_of
from faig.experiments.masking import MaskParams, measure
from faig.experiments.score_table import Key

CONTENT = b"weights"
NAME = f"network-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth"


class Network(nn.Module):
    """Mean difference of each image, and nothing of the sign; refuses images below 8 x 8, as pooling does."""

    def forward(self, sr, hr, normalize=False):
        if sr.shape[-1] < 8:
            raise RuntimeError("output size is too small")
        return (sr - hr).abs().mean(dim=(1, 2, 3), keepdim=True)


@pytest.fixture
def library(monkeypatch, tmp_path):
    """Stand-ins of torchmetrics and torchvision, and no weights; building a network counts in ``built``."""
    built = []

    def build(**options):
        built.append(options)
        return SimpleNamespace(net=Network()) if options else Network()

    url = SimpleNamespace(DEFAULT=SimpleNamespace(url=f"https://example.org/{NAME}"))
    modules = {
        "torchmetrics.image": SimpleNamespace(),
        "torchmetrics.image.lpip": SimpleNamespace(LearnedPerceptualImagePatchSimilarity=build),
        "torchmetrics.functional.image.dists": SimpleNamespace(DISTSNetwork=build),
        "torchvision.models": SimpleNamespace(AlexNet_Weights=url, VGG16_Weights=url),
    }
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return SimpleNamespace(built=built, modules=modules, file=tmp_path / "hub" / "checkpoints" / NAME)


def pair(size=16):
    return torch.rand(2, 2, 3, size, size, generator=torch.Generator().manual_seed(0)) * 1.2 - 0.1


@pytest.mark.parametrize("name", PERCEPTUAL)
def test_whole_images_are_compared_as_stored_one_number_each(library, name):
    sr, hr = pair()
    expected = (to_8bit(sr) - to_8bit(hr)).abs().mean(dim=(1, 2, 3))
    assert perceptual(name)(sr, hr).tolist() == pytest.approx(expected.tolist())
    assert perceptual(name)(sr[:1], hr[:1]).shape == (1,)
    assert library.built == [{"net_type": "alex"}] * 2 if name == "lpips" else [{}] * 2


def test_measures_are_those_named_in_their_order_and_the_network_is_loaded_once(library):
    measures = measures_of(["psnr", "lpips", "ssim", "gradient_distance"])
    assert list(measures) == ["psnr", "lpips", "ssim"]
    assert measures["psnr"] is QUALITY["psnr"]
    sr, hr = pair()
    for _ in range(2):
        assert measures["lpips"](sr, Batch(("a", "b"), sr, hr)).tolist() == perceptual("lpips")(sr, hr).tolist()
    assert len(library.built) == 1 + 2
    assert list(measures_of(QUALITY)) == list(QUALITY)


def test_masked_networks_are_measured_by_it(library, model, inputs):
    table = measure(
        model, inputs, {Key("faig", "blur", ratio=0.1): torch.tensor([1, 5]).numpy()}, measures=["psnr", "dists"]
    )
    first = table.query("method == 'target' and input == 'blur'").iloc[0]
    batch = inputs["blur"][0]
    with torch.no_grad():
        expected = perceptual("dists")(model.restore(model.target, batch.lr), batch.hr)
    assert first["dists"] == pytest.approx(expected[0].item())


@pytest.mark.parametrize("missing", ["torchmetrics.image", "torchvision.models"])
def test_a_missing_library_is_named_with_the_command_that_installs_it(library, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(InputError, match=rf"measure lpips needs .*Install them by: {re.escape(INSTALL)}"):
        measures_of(["psnr", "lpips"])
    assert not library.built


def test_weights_that_cannot_be_had_are_asked_for_at_their_place(library, monkeypatch):
    def offline(**_):
        raise URLError("no route to host")

    monkeypatch.setattr(library.modules["torchmetrics.functional.image.dists"], "DISTSNetwork", offline)
    with pytest.raises(InputError, match=rf"needs the weights https://example.org/{NAME}.*no route.*{library.file}"):
        perceptual("dists")


def test_weights_are_loaded_only_if_they_are_those_of_their_name(library):
    library.file.parent.mkdir(parents=True)
    library.file.write_bytes(CONTENT)
    perceptual("lpips")
    library.file.write_bytes(CONTENT + b"!")
    with pytest.raises(InputError, match=r"is not the file of this name: SHA-256 .*Delete it"):
        perceptual("lpips")
    assert len(library.built) == 1


def test_images_too_small_for_the_network_are_refused(library):
    with pytest.raises(InputError, match="lpips cannot be taken of 4 x 4 pixels: output size is too small"):
        perceptual("lpips")(*pair(4))


@pytest.mark.parametrize(
    ("measures", "message"),
    [
        (["ssim"], "mask: measures must name psnr"),
        (["psnr", "psnr"], "psnr is listed twice"),
        (["psnr", "niqe"], r"mask.measures.1 = 'niqe'"),
    ],
)
def test_measures_that_cannot_be_are_refused(measures, message):
    with pytest.raises(InputError, match=message):
        validate("mask", {"picture": 0, "measures": measures}, MaskParams, source="params.yaml")
