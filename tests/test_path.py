"""Laws of the path between two sets of weights, for networks of all kinds."""

import numpy as np
import pytest
import torch
from conftest import CPU, TINY
from torch import Tensor, nn
from torch.nn import functional

from faig.attribution.engine import attribute, attribute_images
from faig.attribution.path import PathModel, mask
from faig.attribution.quadrature import quadrature
from faig.base.compute import Compute
from faig.base.errors import InputError
from faig.experiments.loading import load_model
from faig.networks.models import NetworkParams, NetworkSpec, build_network
from faig.networks.weights import save_network


def test_weights_of_different_networks_are_refused(model):
    other = {**model.target, "last.bias": torch.zeros(5)}
    with pytest.raises(InputError, match=r"last\.bias is \(3,\) and \(5,\)"):
        PathModel(model.network, model.baseline, other, CPU)
    missing = {name: value for name, value in model.target.items() if name != "last.bias"}
    with pytest.raises(InputError, match=r"last\.bias is \(3,\) and None"):
        PathModel(model.network, model.baseline, missing, CPU)


def test_weights_that_are_not_finite_are_refused(model):
    model.target["last.bias"][0] = float("inf")
    with pytest.raises(InputError, match=r"last\.bias are not finite"):
        PathModel(model.network, model.baseline, model.target, CPU)


def test_load_model_refuses_files_of_different_networks(tmp_path):
    small = TINY
    large = NetworkSpec(params=NetworkParams(name="srresnet", width=6, depth=1), scale=2)
    paths = [tmp_path / f"{name}.safetensors" for name in ("small", "large")]
    for path, spec in zip(paths, (small, large), strict=True):
        save_network(path, spec, build_network(spec).state_dict())
    with pytest.raises(ValueError, match=r"small\.safetensors holds .* but .*large\.safetensors holds"):
        load_model(paths[0], paths[1], CPU)
    assert load_model(paths[0], paths[0], CPU).index.num_filters > 0


def test_weights_of_another_network_are_refused(model):
    other = build_network(NetworkSpec(params=NetworkParams(name="srresnet", width=6, depth=1), scale=2))
    with pytest.raises(InputError, match=r"of another network: first\.weight is \(4, 3, 3, 3\), but \(6, 3, 3, 3\)"):
        PathModel(other, model.baseline, model.target, CPU)


def test_the_given_network_stays_as_it_is(tiny_network, model):
    before = {name: value.clone() for name, value in tiny_network.state_dict().items()}
    PathModel(tiny_network.train(), model.baseline, model.target, CPU)
    assert tiny_network.training
    for name, value in tiny_network.state_dict().items():
        assert torch.equal(value, before[name])


def test_batch_norm_is_pytorch_s_own_and_its_statistics_move():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 3, 3)).eval()
    baseline = network.state_dict()
    target = {
        name: value + 0.1 * torch.rand_like(value) if value.is_floating_point() else value + 7
        for name, value in baseline.items()
    }
    model = PathModel(network, baseline, target, CPU)
    assert {"1.running_mean", "1.running_var", "1.weight"} <= set(model.moving)
    x = torch.rand(1, 3, 9, 9)
    network.load_state_dict(target)
    torch.testing.assert_close(model.restore(model.target, x), network(x))


def test_shared_weights_move_together_and_must_agree():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3))
    network[1].weight = network[0].weight
    baseline = {name: value.detach().clone() for name, value in network.state_dict().items()}
    target = {name: value + 0.1 for name, value in baseline.items()}
    model = PathModel(network, baseline, target, CPU)
    assert list(model.baseline) == ["0.weight", "0.bias", "1.bias"]
    network.load_state_dict(target)
    x = torch.rand(1, 3, 9, 9)
    torch.testing.assert_close(model.restore(model.target, x), network(x))
    with pytest.raises(InputError, match=r"shares 0\.weight with 1\.weight, but the target's values differ"):
        PathModel(network, baseline, {**target, "1.weight": baseline["1.weight"]}, CPU)


def test_fp64_is_computed_in_fp64(model):
    exact = PathModel(build_network(TINY), model.baseline, model.target, Compute(CPU.device, "fp64"))
    x = torch.rand(1, 3, 8, 8)
    assert exact.restore(exact.target, x).dtype == torch.float64
    torch.testing.assert_close(exact.restore(exact.target, x).float(), model.restore(model.target, x))


class ActivatedNorm(nn.BatchNorm2d):
    """A batch norm that does more than its base, as other libraries have."""

    def forward(self, input: Tensor) -> Tensor:
        return torch.relu(super().forward(input))


NORMS = {
    "batch norm": nn.BatchNorm2d(4),
    "a batch norm with an activation": ActivatedNorm(4),
    "without gains": nn.BatchNorm2d(4, affine=False),
    "of the batch alone": nn.BatchNorm2d(4, track_running_stats=False),
    "instance norm with running statistics": nn.InstanceNorm2d(4, affine=True, track_running_stats=True),
}


@pytest.mark.parametrize("norm", NORMS.values(), ids=NORMS)
def test_running_statistics_move_whatever_the_norm(norm):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), norm, nn.Conv2d(4, 3, 3)).eval()
    baseline = {name: value.clone() for name, value in network.state_dict().items()}
    target = {
        name: value + 0.1 * torch.rand_like(value) if value.is_floating_point() else value
        for name, value in baseline.items()
    }
    model = PathModel(network, baseline, target, CPU)
    x, hr = torch.rand(1, 3, 9, 9), torch.rand(1, 3, 5, 5)
    for weights, own in ((baseline, model.baseline), (target, model.target)):
        network.load_state_dict(weights)
        torch.testing.assert_close(model.restore(own, x), network(x))
    result = attribute_images(model, [(x, hr)], quadrature("gausslegendre", 64))
    assert result.convergence_error < 2e-3


class Pair(nn.Module):
    """Returns two tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.conv(x), x


def test_networks_that_cannot_be_attributed_are_refused():
    network = Pair()
    weights = network.state_dict()
    with pytest.raises(InputError, match="returns a tuple, not one tensor"):
        PathModel(network, weights, weights, CPU).restore(weights, torch.rand(1, 3, 4, 4))
    network.phase = nn.Parameter(torch.ones(1, dtype=torch.complex64))
    weights = network.state_dict()
    with pytest.raises(InputError, match="phase is not a tensor of real numbers"):
        PathModel(network, weights, weights, CPU)


def test_masked_is_the_mask_of_the_model_s_own_weights(model):
    filters = np.array([0, 7, 30])
    expected = mask(model.target, model.baseline, model.index, filters)
    found = model.masked(filters)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert not all(torch.equal(value, model.target[name]) for name, value in found.items())


class Overwriting(nn.Module):
    """Writes into its input."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x *= 2
        return self.conv(x)


def test_a_network_that_writes_into_its_input_leaves_the_caller_s_image():
    torch.manual_seed(0)
    network = Overwriting()
    baseline = {name: value.clone() for name, value in network.state_dict().items()}
    model = PathModel(network, baseline, {name: value + 0.1 for name, value in baseline.items()}, CPU)
    lr, hr = torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8)
    before = lr.clone()
    result = attribute_images(model, [(lr, hr)], quadrature("gausslegendre", 2))  # exact: L is quadratic
    assert torch.equal(lr, before)
    assert result.convergence_error < 1e-5


class Fusing(nn.Module):
    """Two convolutions in a row, fused into one in eval mode, through ``.data``, so that no gradient reaches them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 1, bias=False), nn.Conv2d(4, 3, 3, padding=1, bias=False)
        self.fused = nn.Conv2d(3, 3, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return self.second(self.first(x))
        self.fused.weight.data = torch.einsum("omij,mc->ocij", self.second.weight, self.first.weight[..., 0, 0])
        return self.fused(x)


class InPlace(nn.Module):
    """Convolves some of its channels; in eval mode it writes the result in their place."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.partial = nn.Conv2d(3, 3, 1), nn.Conv2d(2, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.sigmoid(self.before(x))
        if self.training:
            return torch.cat([self.partial(x[:, :2]), x[:, 2:]], dim=1)
        x[:, :2] = self.partial(x[:, :2])
        return x


def changed(network: nn.Module) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The network's weights, and others."""
    generator = torch.Generator().manual_seed(1)
    baseline = {name: value.clone() for name, value in network.state_dict().items()}
    return baseline, {
        name: value + 0.2 * torch.rand(value.shape, generator=generator) if value.is_floating_point() else value
        for name, value in baseline.items()
    }


@pytest.mark.parametrize(
    ("network", "fails"),
    [
        (Fusing(), pytest.warns(UserWarning, match=r"miss [\d.]+% of the change")),
        (InPlace(), pytest.raises(InputError, match=r"image 0: the network writes in place .* try training=True")),
    ],
)
def test_training_mode_serves_networks_that_eval_mode_cannot_differentiate(network, fails):
    pairs = [(torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8))]
    weights = changed(network)
    with fails:
        attribute(network, *weights, pairs)
    result, _ = attribute(network, *weights, pairs, training=True)
    assert result.convergence_error < 1e-4
    evaluated, trained = (PathModel(network, *weights, CPU, training=training) for training in (False, True))
    with torch.no_grad():
        found = [model.restore(model.target, pairs[0][0]) for model in (evaluated, trained)]
    torch.testing.assert_close(*found)
    assert network.training


class DropPath(nn.Module):
    """As image restoration's transformers define it."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.bernoulli(torch.full((len(x), 1, 1, 1), 0.5)) if self.training else x


class Attended(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, dropout=0.5, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)  # (N, H W, C)
        return self.attention(tokens, tokens, tokens)[0].transpose(1, 2).reshape(x.shape)


UNSTEADY = {
    "attention": Attended(),
    "dropout": nn.Dropout(),
    "dropout of channels": nn.Dropout2d(),
    "dropout that keeps the variance": nn.AlphaDropout(),
    "dropout of paths": DropPath(),
    "a random slope": nn.RReLU(),
    **NORMS,
}


@pytest.mark.parametrize("layer", UNSTEADY.values(), ids=UNSTEADY)
def test_in_training_mode_nothing_depends_on_chance_or_on_the_input_s_statistics(layer):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), layer, nn.Conv2d(4, 3, 3))
    weights = changed(network)
    evaluated, trained = (PathModel(network, *weights, CPU, training=training) for training in (False, True))
    x = torch.rand(1, 3, 9, 9)
    for _ in range(2):
        torch.testing.assert_close(trained.restore(trained.target, x), evaluated.restore(evaluated.target, x))
    assert all(torch.equal(trained.target[name], weights[1][name]) for name in trained.target)


class Noisy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return functional.dropout(self.conv(x), 0.5, self.training)


def test_a_network_that_is_random_in_training_mode_is_refused_there():
    weights = changed(network := Noisy())
    x = torch.rand(1, 3, 4, 4)
    evaluated, trained = (PathModel(network, *weights, CPU, training=training) for training in (False, True))
    evaluated.restore(evaluated.target, x)
    with pytest.raises(InputError, match="in training mode the network draws random numbers"):
        trained.restore(trained.target, x)
