"""Laws of the losses that an attribution explains."""

import numpy as np
import pytest
import torch
from torch import Tensor

from faig.attribution.comparisons import taylor
from faig.attribution.engine import attribute, attribute_image, attribute_images, barrier, loss_at
from faig.attribution.losses import CHARBONNIER_EPS, LOSSES, resolve_loss
from faig.attribution.quadrature import END_POINT, quadrature
from faig.attribution.tiling import Tiles, find_halo
from faig.base.errors import InputError

FORMULAS = {
    "squared": lambda e: e * e,
    "absolute": abs,
    "charbonnier": lambda e: (e * e + CHARBONNIER_EPS**2) ** 0.5,
}


def quartic(sr: Tensor, hr: Tensor) -> Tensor:
    """A loss of one's own."""
    return (sr - hr).pow(4).sum()


EVERY = {**{name: name for name in LOSSES}, "own": quartic}


@pytest.mark.parametrize("name", LOSSES)
def test_each_loss_is_its_formula_summed_over_the_values(name):
    sr, hr = torch.rand(1, 3, 4, 5), torch.rand(1, 3, 4, 5)
    expected = sum(FORMULAS[name](float(a) - float(b)) for a, b in zip(sr.flatten(), hr.flatten(), strict=True))
    assert LOSSES[name](sr, hr).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_where_the_error_is_0_the_gradient_is_0(name):
    sr = torch.rand(1, 3, 4, 4).requires_grad_()
    (gradient,) = torch.autograd.grad(LOSSES[name](sr, sr.detach().clone()), sr)
    assert not gradient.any()


@pytest.mark.parametrize("loss", EVERY.values(), ids=EVERY)
def test_completeness_holds_for_every_loss(model, images, loss):
    found = attribute_images(model, images, quadrature("gausslegendre", 150), loss=resolve_loss(loss))
    for (lr, hr), start, change in zip(images, found.starts, found.changes, strict=True):
        ends = [loss_at(model, w, lr, hr, None, resolve_loss(loss)) for w in (model.baseline, model.target)]
        assert start == pytest.approx(ends[0])
        assert change == pytest.approx(ends[1] - ends[0])
    assert np.abs(found.changes).min() > 0
    assert found.convergence_error < 5e-3
    assert found.improvement == pytest.approx(-found.changes.sum() / found.starts.sum())


def test_losses_explain_different_things(model, images):
    first, second = (
        attribute(model.network, model.baseline, model.target, images, num_nodes=64, loss=loss)[0]
        for loss in ("squared", "absolute")
    )
    shares = [result.scores.mean(axis=0) / result.scores.mean(axis=0).sum() for result in (first, second)]
    assert np.abs(shares[0] - shares[1]).sum() > 0.01


def test_charbonnier_s_is_the_absolute_one_where_errors_are_large(model, images):
    huge = [(lr, hr + 100) for lr, hr in images]
    nodes = quadrature("gausslegendre", 4)
    first, second = (attribute_images(model, huge, nodes, loss=LOSSES[n]) for n in ("absolute", "charbonnier"))
    np.testing.assert_allclose(first.scores, second.scores, rtol=1e-5)


def test_taylor_explains_the_same_loss(model, images):
    lr, hr = images[0]
    for loss in LOSSES.values():
        expected = attribute_image(model, lr, hr, END_POINT, loss=loss).scores
        np.testing.assert_array_equal(taylor(model, lr, hr, loss), expected)


def test_twice_the_error_is_six_db_of_every_named_loss():
    hr = torch.rand(1, 3, 8, 8)
    for loss in LOSSES.values():
        once, twice = (loss(hr + error, hr).item() for error in (0.2, 0.4))
        assert barrier(np.array([twice]), (once, once), loss) == pytest.approx(20 * np.log10(2), abs=1e-3)


@pytest.mark.parametrize("loss", EVERY.values(), ids=EVERY)
def test_tiles_add_up_for_every_loss_that_is_a_sum_over_pixels(model, loss):
    generator = torch.Generator().manual_seed(5)
    pair = torch.rand(1, 3, 20, 17, generator=generator), torch.rand(1, 3, 40, 34, generator=generator)
    tiles = Tiles(size=8, halo=find_halo(lambda x: model.restore(model.target, x), 3))
    whole, tiled = (
        attribute_images(model, [pair], quadrature("gausslegendre", 3), cut, resolve_loss(loss))
        for cut in (None, tiles)
    )
    np.testing.assert_allclose(tiled.changes, whole.changes, rtol=1e-5)
    assert np.abs(tiled.scores - whole.scores).max() <= 1e-4 * whole.scores.max()


def smoothness(sr: Tensor, hr: Tensor) -> Tensor:
    """Compares neighbouring pixels, so that it misses what lies on both sides of a tile's border."""
    error = sr - hr
    return error.square().sum() + (error[..., 1:] - error[..., :-1]).square().sum()


@pytest.mark.parametrize("loss", [smoothness, lambda sr, hr: (sr - hr).square().mean()])
def test_with_tiles_a_loss_that_is_no_sum_over_pixels_is_refused(model, images, loss):
    weights = model.network, model.baseline, model.target
    halo = find_halo(lambda x: model.restore(model.target, x), 3)
    with pytest.raises(InputError, match=r"image 0: the loss of an image, .* must be a sum over pixels"):
        attribute(*weights, images, tiles=Tiles(size=4, halo=halo), loss=loss, num_nodes=2)
    attribute(*weights, images, loss=loss, num_nodes=32)  # whole images are the loss's own business


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("l2", "loss = 'l2' is not one of squared, absolute, charbonnier, nor a function"),
        (lambda sr, hr: sr - hr, r"image 0: the loss must be one number, .* not \(1, 3, 16, 16\)"),
        (lambda sr, hr: 1.0, "image 0: the loss must be one number, .* not float"),
    ],
)
def test_losses_that_cannot_be_used_are_refused(model, images, loss, message):
    with pytest.raises(InputError, match=message):
        attribute(model.network, model.baseline, model.target, images, loss=loss)
