"""Frames fit the project's images to networks of someone else's: margins, multiples, luma, the first of several."""

from typing import Any

import pytest
import torch
from conftest import CPU
from torch import Tensor, nn

from faig.attribution.path import PathModel
from faig.base.errors import InputError
from faig.networks.frames import Frame, find_frame


class Valid(nn.Module):
    """Two convolutions without padding, then x2: an image loses 4 pixels of its output on each side."""

    def __init__(self, channels: int = 3, scale: int = 2) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, 4, 3)
        self.last = nn.Conv2d(4, channels * scale**2, 3)
        self.shuffle = nn.PixelShuffle(scale)

    def forward(self, x: Tensor) -> Tensor:
        return self.shuffle(self.last(torch.relu(self.first(x))))


class Windowed(nn.Module):
    """Refuses sides that are no multiples of 4."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(functional_fold(x))


def functional_fold(x: Tensor) -> Tensor:
    """Each 4 x 4 window gets its mean added."""
    n, c, h, w = x.shape
    windows = x.view(n, c, h // 4, 4, w // 4, 4)
    return (windows + windows.mean(dim=(3, 5), keepdim=True)).view(n, c, h, w)


def test_a_margin_makes_the_output_of_unpadded_convolutions_whole():
    network = Valid()
    frame = find_frame(network, 2)
    assert frame == Frame(scale=2, channels=3, multiple=1, margin=2, several=False)
    x = torch.rand(1, 3, 9, 12)
    padded = nn.functional.pad(x, (2, 2, 2, 2), mode="replicate")
    expected = network(padded)
    assert torch.equal(frame.attach(network)(x), expected)
    assert expected.shape == (1, 3, 18, 24)


def test_sides_are_filled_up_to_multiples_and_the_rest_is_cut_off():
    network = Windowed()
    frame = find_frame(network, 1)
    assert frame == Frame(scale=1, channels=3, multiple=4, margin=0, several=False)
    x = torch.rand(1, 3, 8, 12)
    expected = network(x)
    frame.attach(network)
    assert torch.equal(network(x), expected)  # multiples already
    cut = network(x[..., :7, :9])
    filled = nn.functional.pad(x[..., :7, :9], (0, 3, 0, 1), mode="replicate")
    assert torch.equal(cut, network(filled)[..., :7, :9])


def test_luma_networks_keep_the_colour():
    """A luma network that changes nothing gives the image back; one that adds 0.1 adds it to every colour."""

    class Add(nn.Module):
        def __init__(self, value: float) -> None:
            super().__init__()
            self.last = nn.Conv2d(1, 1, 1)
            nn.init.ones_(self.last.weight)
            nn.init.constant_(self.last.bias, value)  # pyright: ignore

        def forward(self, x: Tensor) -> Tensor:
            return self.last(x)

    x = torch.rand(1, 3, 5, 6)
    for value in (0.0, 0.1):
        network = Add(value)
        frame = find_frame(network, 1)
        assert frame.channels == 1
        torch.testing.assert_close(frame.attach(network)(x), x + value)


def test_the_first_of_several_outputs_is_the_image():
    class Several(Windowed):
        def forward(self, x: Tensor) -> Any:
            return [super().forward(x), x.mean()]

    network = Several()
    frame = find_frame(network, 1)
    assert frame.several
    assert frame.attach(network)(torch.rand(1, 3, 5, 6)).shape == (1, 3, 5, 6)


def test_a_frame_survives_a_copy_of_its_network():
    network = find_frame(Valid(), 2).attach(Valid())
    model = PathModel(network, network.state_dict(), network.state_dict(), CPU)
    assert model.restore(model.target, torch.rand(2, 3, 6, 6)).shape == (2, 3, 12, 12)


def test_a_network_of_rgba_images_is_refused():
    with pytest.raises(InputError, match="networks of RGBA images cannot be used"):
        find_frame(nn.Conv2d(4, 4, 3, padding=1), 1)
