"""Tiles add up to the whole, for networks with a finite receptive field; others are refused."""

import numpy as np
import pytest
import torch
from conftest import CPU
from torch import Tensor, nn

from faig.attribution.engine import attribute, attribute_images
from faig.attribution.path import PathModel
from faig.attribution.quadrature import quadrature
from faig.attribution.tiling import Tiles, find_halo, pieces
from faig.base.errors import InputError

STRIDED = nn.Sequential(
    nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(4, 12, 3, padding=1), nn.PixelShuffle(2)
)
"""Its output at a pixel depends on where in the grid of two the pixel lies."""


class GlobalMean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean((2, 3), keepdim=True)


def test_pieces_cover_every_pixel_once():
    lr, hr = torch.rand(1, 3, 11, 7), torch.rand(1, 3, 22, 14)
    found = list(pieces(lr, hr, Tiles(size=4, halo=2)))
    assert len(found) == 3 * 2
    assert sum(piece.hr.numel() for piece in found) == hr.numel()
    assert sum(piece.error(nearest(piece.lr)).item() for piece in found) == pytest.approx(
        (nearest(lr) - hr).square().sum().item()
    )


def nearest(x: Tensor) -> Tensor:
    return nn.functional.interpolate(x, scale_factor=2, mode="nearest")


@pytest.mark.parametrize(("size", "dilation", "depth"), [(1, 1, 1), (3, 1, 1), (3, 1, 4), (5, 2, 2)])
def test_halo_of_stacked_convolutions_is_their_radius(size, dilation, depth):
    layers = [nn.Conv2d(3, 3, size, padding="same", dilation=dilation) for _ in range(depth)]
    assert find_halo(nn.Sequential(*layers), 3) == depth * dilation * (size - 1) // 2


def test_tiled_scores_equal_untiled_ones(model):
    """Also with the halo that ReLUs at 0 and the bilinear base would hide from gradients."""
    generator = torch.Generator().manual_seed(5)
    pair = torch.rand(1, 3, 30, 21, generator=generator), torch.rand(1, 3, 60, 42, generator=generator)
    halo = find_halo(lambda x: model.restore(model.target, x), 3)
    nodes = quadrature("gausslegendre", 3)
    whole, tiled = (attribute_images(model, [pair], nodes, tiles) for tiles in (None, Tiles(size=8, halo=halo)))
    assert np.abs(tiled.scores - whole.scores).max() <= 1e-5 * whole.scores.max()
    np.testing.assert_allclose(tiled.residuals, whole.residuals, atol=1e-5 * np.abs(whole.changes).max())
    with pytest.raises(InputError, match=r"image 0.* halo is too small"):
        attribute_images(model, [pair], nodes, Tiles(size=8, halo=halo - 2))


def test_a_strided_network_needs_its_multiple():
    with pytest.raises(InputError, match="restores a shifted crop differently"):
        find_halo(STRIDED, 3)
    halo = find_halo(STRIDED, 3, multiple=2)
    assert halo % 2 == 0
    torch.manual_seed(0)
    baseline = STRIDED.state_dict()
    target = {name: value + 0.1 * torch.rand_like(value) for name, value in baseline.items()}
    pair = torch.rand(1, 3, 24, 20), torch.rand(1, 3, 24, 20)
    tiles = Tiles(size=6, halo=halo, multiple=2)
    whole, tiled = (attribute(STRIDED, baseline, target, [pair], num_nodes=8, tiles=cut)[0] for cut in (None, tiles))
    np.testing.assert_allclose(tiled.scores, whole.scores, rtol=1e-4)


def test_a_network_that_sees_the_whole_image_is_refused():
    with pytest.raises(InputError, match="no finite receptive field"):
        find_halo(GlobalMean(), 3)


class Squeezed(nn.Module):
    """Convolution whose output is scaled by a function of the image's mean, as in squeeze and excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.gain = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) * torch.sigmoid(self.gain(x.mean((2, 3), keepdim=True)))


@pytest.mark.parametrize(
    ("network", "tiles"),
    [
        (Squeezed(), Tiles(size=8, halo=8)),
        (STRIDED, Tiles(size=9, halo=16)),  # its multiple, 2, forgotten
        (STRIDED, Tiles(size=9, halo=15)),
        (nn.Conv2d(3, 3, 3, padding=1, padding_mode="circular"), Tiles(size=8, halo=4)),
    ],
)
def test_given_tiles_that_are_not_exact_are_refused(network, tiles):
    torch.manual_seed(0)
    baseline = {name: value.clone() for name, value in network.state_dict().items()}
    target = {name: value + 0.1 * torch.rand_like(value) for name, value in baseline.items()}
    pair = torch.rand(1, 3, 64, 48), torch.rand(1, 3, 64, 48)
    with pytest.raises(InputError, match=r"image 0.*(differs by|the network makes)"):
        attribute(network, baseline, target, [pair], num_nodes=1, tiles=tiles)


def test_looking_for_a_halo_leaves_the_network_as_it_is():
    network = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert find_halo(network, 3) == 1
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network.training
    with pytest.raises(InputError, match="multiple = 0"):
        find_halo(network, 3, multiple=0)


def test_tiles_that_do_not_fit_are_refused(model):
    for bad in ({"size": 0, "halo": 1}, {"size": 5, "halo": 2, "multiple": 2}, {"size": 4, "halo": -1}):
        with pytest.raises(InputError, match="must be multiples"):
            Tiles(**bad)
    other_scale = torch.rand(1, 3, 16, 16), torch.rand(1, 3, 48, 48)
    with pytest.raises(InputError, match="the ground truth asks for"):
        attribute_images(model, [other_scale], quadrature("left", 1), Tiles(size=8, halo=2))
    odd = torch.rand(1, 3, 16, 16), torch.rand(1, 3, 33, 32)
    with pytest.raises(InputError, match="need a whole scale"):
        attribute_images(model, [odd], quadrature("left", 1), Tiles(size=8, halo=2))


def test_a_model_s_own_restore_serves_find_halo():
    network = nn.Conv2d(1, 1, 7, padding=3)
    weights = network.state_dict()
    model = PathModel(network, weights, weights, CPU)
    assert find_halo(lambda x: model.restore(model.target, x), 1) == 3


def test_looking_for_a_halo_bears_a_network_that_writes_into_its_input():
    convolution = nn.Conv2d(3, 3, 5, padding=2)
    assert find_halo(lambda x: convolution(x.mul_(2)), 3) == 2
