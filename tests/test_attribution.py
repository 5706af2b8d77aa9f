import numpy as np
import pytest
import torch
from conftest import CPU, TINY
from torch import Tensor, nn
from torch.func import functional_call

from faig.attribution.comparisons import discriminate, input_gradients, random_scores, taylor, weight_change
from faig.attribution.engine import (
    attribute,
    attribute_image,
    attribute_images,
    barrier,
    integrate,
    loss_at,
)
from faig.attribution.path import PathModel
from faig.attribution.quadrature import END_POINT, QuadratureParams, quadrature
from faig.base.compute import Compute
from faig.base.errors import InputError
from faig.base.resuming import Store
from faig.networks.models import build_network


def test_the_path_runs_from_baseline_to_target_straight(model):
    for position in (0.0, 0.25, 1.0):
        for name, value in model.at(position).items():
            torch.testing.assert_close(value, (1 - position) * model.baseline[name] + position * model.target[name])


def test_completeness_biases_included(model, images):
    attribution = attribute_images(
        model, images, quadrature("gausslegendre", 150)
    )  # the ReLUs' kinks make the integrand rough
    assert np.abs(attribution.changes).min() > 1
    np.testing.assert_allclose(attribution.residuals, 0, atol=5e-3 * np.abs(attribution.changes).min())
    assert attribution.convergence_error < 2e-3


def test_two_nodes_are_exact_for_a_linear_network(images):
    network = torch.nn.Conv2d(3, 3, 3, padding=1)  # the loss is quadratic in its weights, its gradient linear
    baseline = {name: value.detach() for name, value in network.state_dict().items()}
    target = {name: value + 0.1 * torch.ones_like(value) for name, value in baseline.items()}
    pairs = [(hr, hr.flip(3)) for _, hr in images]
    attribution = attribute_images(PathModel(network, baseline, target, CPU), pairs, quadrature("gausslegendre", 2))
    assert attribution.scores.shape == (3, 9)
    assert attribution.convergence_error < 1e-5


def test_convergence_error_falls_with_the_nodes_and_shows_a_bad_integral(model, images):
    assert (
        attribute_images(model, images, quadrature("gausslegendre", 1)).convergence_error
        > 10 * attribute_images(model, images, quadrature("gausslegendre", 16)).convergence_error
    )


def test_without_biases_the_integrals_do_not_close(model, images):
    lr, hr = images[0]
    integrals, _ = integrate(model, lr, hr, quadrature("gausslegendre", 24))
    kernels = sum(value.sum().item() for name, value in integrals.items() if name.endswith("weight"))
    change = loss_at(model, model.target, lr, hr, None) - loss_at(model, model.baseline, lr, hr, None)
    assert abs(kernels - change) > 0.01 * abs(change)


# Barriers


@pytest.mark.parametrize(
    ("losses", "ends", "expected"),
    [([1.0, 2.0], (3.0, 0.5), 0.0), ([1.0, 30.0], (3.0, 0.5), 10.0), ([], (3.0, 1.0), 0.0), ([4.0], (0.0, 0.0), 0.0)],
)
def test_a_barrier_is_in_db_above_the_worse_end(losses: list[float], ends: tuple[float, float], expected: float):
    assert barrier(np.array(losses), ends) == pytest.approx(expected)


def test_barriers_are_those_of_the_losses_at_the_nodes(model, images):
    nodes = quadrature("gausslegendre", 5)
    found = attribute_images(model, images, nodes).barriers
    for value, (lr, hr) in zip(found, images, strict=True):
        losses = np.array([loss_at(model, model.at(position), lr, hr, None) for position in nodes.positions])
        ends = loss_at(model, model.baseline, lr, hr, None), loss_at(model, model.target, lr, hr, None)
        assert value == pytest.approx(barrier(losses, ends), rel=1e-6)


def test_between_a_network_and_the_same_one_with_channels_exchanged_there_is_a_barrier(model, images):
    """The ends restore alike, bit for bit but for rounding; what lies between mixes channels that do not belong."""
    exchanged = dict(model.target)
    order = torch.tensor([3, 2, 1, 0])
    for name in ("body.0.conv1.weight", "body.0.conv1.bias"):
        exchanged[name] = model.target[name][order]
    exchanged["body.0.conv2.weight"] = model.target["body.0.conv2.weight"][:, order]
    with torch.no_grad():
        known = [(lr, model.restore(model.target, lr) + 0.01) for lr, _ in images]
    attribution = attribute_images(
        PathModel(model.network, model.target, exchanged, CPU), known, quadrature("gausslegendre", 9)
    )
    assert np.abs(attribution.changes).max() < 1e-3 * loss_at(model, model.target, *known[0], None)
    assert (attribution.barriers > 1).all()
    assert attribution.scores.max() > 0


def slow_faig(model, lr, hr, num_steps):
    """Equations 5 and 6 weight by weight in float64: left endpoints, loops over the kernels."""
    network = build_network(TINY).double()
    baseline, target = ({k: v.double() for k, v in weights.items()} for weights in (model.baseline, model.target))
    integral = {name: torch.zeros_like(value) for name, value in baseline.items()}
    for step in range(num_steps):
        position = step / num_steps
        weights = {
            name: (baseline[name] + position * (target[name] - baseline[name])).requires_grad_() for name in baseline
        }
        error = functional_call(network, weights, (lr.double(),)) - hr.double()
        (error**2).sum().backward()
        for name, value in weights.items():
            assert value.grad is not None
            integral[name] += value.grad / num_steps
    scores = []
    for name, value in integral.items():
        if name.endswith("weight"):
            for out in range(value.shape[0]):
                for inp in range(value.shape[1]):
                    change = target[name][out, inp] - baseline[name][out, inp]
                    scores.append(
                        sum(abs(w * d) for w, d in zip(value[out, inp].flatten(), change.flatten(), strict=True))
                    )
    return np.array([float(score) for score in scores])


def test_faig_equals_a_slow_second_implementation(model, images):
    (lr, hr), *_ = images
    slow = slow_faig(model, lr, hr, 100)
    for nodes, tolerance in ((quadrature("left", 100), 1e-4), (quadrature("gausslegendre", 16), 2e-2)):
        fast = attribute_images(model, [(lr, hr)], nodes).scores[0]
        assert np.linalg.norm(fast - slow) / np.linalg.norm(slow) < tolerance


def test_scores_are_per_image(model, images):
    together = attribute_images(model, images, quadrature("gausslegendre", 3)).scores
    for row, image in zip(together, images, strict=True):
        np.testing.assert_allclose(
            row, attribute_images(model, [image], quadrature("gausslegendre", 3)).scores[0], rtol=1e-5
        )


def test_the_memory_layout_changes_no_score(model, images):
    other = PathModel(
        model.network, model.baseline, model.target, Compute(CPU.device, CPU.precision, channels_last=True)
    )
    nodes = quadrature("gausslegendre", 2)
    np.testing.assert_allclose(
        attribute_images(other, images, nodes).scores, attribute_images(model, images, nodes).scores, rtol=1e-4
    )


def test_no_change_of_weights_gives_zero_scores(model, images):
    still = PathModel(build_network(TINY), model.target, model.target, CPU)
    attribution = attribute_images(still, images, quadrature("gausslegendre", 2))
    assert not attribution.scores.any()
    assert attribution.convergence_error == 0
    assert not weight_change(still, divided=True).any()


def test_taylor_is_one_node_at_the_target(model, images):
    (lr, hr), *_ = images
    np.testing.assert_array_equal(taylor(model, lr, hr), attribute_image(model, lr, hr, END_POINT).scores)
    weights = {name: value.clone().requires_grad_() for name, value in model.target.items()}
    gradients = torch.autograd.grad((model.restore(weights, lr) - hr).square().sum(), list(weights.values()))
    products = {name: (gradient * model.change[name]).abs() for name, gradient in zip(weights, gradients, strict=True)}
    np.testing.assert_allclose(taylor(model, lr, hr), model.index.collect(products).numpy(), rtol=1e-4, atol=1e-6)


def test_input_gradients_integrate_the_gradient_of_the_summed_output(model, images):
    (clean, _), (degraded, _), *_ = images
    fast = input_gradients(model, clean, degraded, quadrature("gausslegendre", 32))
    total = {name: torch.zeros_like(value) for name, value in model.target.items()}
    for step in range(400):
        weights = {name: value.clone().requires_grad_() for name, value in model.target.items()}
        position = (step + 0.5) / 400
        functional_call(model.network, weights, (clean + position * (degraded - clean),)).sum().backward()
        for name, value in weights.items():
            assert value.grad is not None
            total[name] += value.grad / 400
    slow = model.index.collect({name: value.abs() for name, value in total.items()}).numpy()
    assert np.linalg.norm(fast - slow) / np.linalg.norm(slow) < 5e-3


def test_weight_change_by_loops_and_with_an_empty_baseline_filter(model):
    model.baseline["last.weight"][0, 0] = 0
    model.target["last.weight"][0, 0] = 0
    changed = PathModel(model.network, model.baseline, model.target, CPU)
    layer, out_channel, in_channel = changed.index.locate(np.arange(changed.index.num_filters))
    for divided in (False, True):
        slow = []
        for number, out, inp in zip(layer, out_channel, in_channel, strict=True):
            key = changed.index.keys[number]
            before, after = changed.baseline[key][out, inp], changed.target[key][out, inp]
            change, size = (after - before).abs().sum().item(), before.abs().sum().item()
            slow.append((change / size if size else 0.0) if divided else change)
        np.testing.assert_allclose(weight_change(changed, divided=divided), slow, rtol=1e-4, atol=1e-7)


def test_random_scores_are_a_permutation_of_their_generator():
    first, second = (random_scores(50, np.random.default_rng(4)) for _ in range(2))
    assert np.array_equal(first, second)
    assert np.array_equal(np.sort(first), np.arange(50))


def test_difference_rule_is_the_paper_s_for_two_degradations():
    scores = {"blur": np.array([5.0, 1.0, 2.0]), "noise": np.array([1.0, 4.0, 2.0])}
    assert discriminate(scores, "blur", "difference").tolist() == [4, -3, 0]
    assert discriminate(scores, "noise", "difference").tolist() == [-4, 3, 0]


def test_share_rule_on_hand_made_scores_of_three_degradations():
    scores = {
        "blur": np.array([8.0, 1.0, 1.0]),
        "noise": np.array([20.0, 60.0, 20.0]),
        "jpeg": np.array([0.5, 0.1, 0.4]),
    }
    np.testing.assert_allclose(discriminate(scores, "blur", "share"), [0.3, -0.5, -0.3])
    np.testing.assert_allclose(discriminate(scores, "noise", "share"), [-0.6, 0.5, -0.2])
    np.testing.assert_allclose(discriminate(scores, "jpeg", "share"), [-0.3, -0.5, 0.2])


def test_share_rule_does_not_depend_on_a_degradation_s_strength():
    rng = np.random.default_rng(0)
    scores = {"blur": rng.random(9), "noise": rng.random(9)}
    stronger = scores | {"noise": 100 * scores["noise"]}
    np.testing.assert_allclose(discriminate(scores, "blur", "share"), discriminate(stronger, "blur", "share"))


def test_rules_refuse_what_they_cannot_do():
    with pytest.raises(InputError, match="nothing to compare blur with"):
        discriminate({"blur": np.ones(2)}, "blur", "share")
    with pytest.raises(InputError, match="not 'best'"):
        discriminate({"blur": np.ones(2), "noise": np.ones(2)}, "blur", "best")
    assert not discriminate({"blur": np.zeros(2), "noise": np.zeros(2)}, "blur", "share").any()


class Mixed(nn.Module):
    """Everything at once: strided, dilated, grouped, transposed, normalised, attention, an MLP, a shared weight."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.depthwise = nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=4)
        self.norm = nn.BatchNorm2d(4)
        self.layer_norm = nn.LayerNorm(4, eps=0.1)  # smooth, so that few nodes do
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.mlp = nn.Linear(4, 4)
        self.pointwise, self.tied = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
        self.tied.weight = self.pointwise.weight
        self.up = nn.ConvTranspose2d(4, 3, 4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.tanh(self.norm(self.depthwise(self.down(x))))
        tokens = self.layer_norm(y.flatten(2).transpose(1, 2))
        tokens = tokens + self.mlp(self.attention(tokens, tokens, tokens, need_weights=False)[0])
        y = y + tokens.transpose(1, 2).reshape(y.shape)
        return x + self.up(torch.tanh(self.tied(torch.tanh(self.pointwise(y)))))


@pytest.fixture
def mixed():
    torch.manual_seed(0)
    network = Mixed().double()
    baseline = {name: value.detach().clone() for name, value in network.state_dict().items()}
    target = {
        name: value + 0.1 * torch.rand_like(value) if value.is_floating_point() else value
        for name, value in baseline.items()
    }
    target["tied.weight"] = target["pointwise.weight"]
    return network, baseline, target


def test_completeness_for_a_network_of_everything(mixed, images):
    """Gains of the normalisations, running statistics, biases and shared weights all count."""
    pairs = [(hr, hr.flip(3)) for _, hr in images]
    compute = Compute(CPU.device, "fp64")
    result, index = attribute(*mixed, images=pairs, num_nodes=64, compute=compute)
    assert "attention.in_proj" in index.layers
    assert "tied" not in index.layers
    assert np.abs(result.changes).min() > 1
    np.testing.assert_allclose(result.residuals, 0, atol=1e-7 * np.abs(result.changes).min())


def test_left_out_layers_change_neither_the_others_nor_the_residuals(mixed, images):
    pairs = [(hr, hr.flip(3)) for _, hr in images]
    whole, index = attribute(*mixed, images=pairs, num_nodes=3)
    part, left = attribute(*mixed, images=pairs, num_nodes=3, include=("up", "mlp"))
    assert left.layers == ("mlp", "up")
    kept = np.isin(np.array(index.layers)[index.layer_numbers], left.layers)
    np.testing.assert_allclose(part.scores, whole.scores[:, kept], rtol=1e-5)
    np.testing.assert_allclose(part.residuals, whole.residuals, rtol=1e-5)


def test_a_channel_s_score_is_the_sum_of_its_kernels(mixed, images):
    pairs = [(hr, hr.flip(3)) for _, hr in images]
    kernels, index = attribute(*mixed, images=pairs, num_nodes=2)
    channels, coarse = attribute(*mixed, images=pairs, num_nodes=2, granularity="channel")
    layer, out_channel, _ = index.locate(np.arange(index.num_filters))
    numbers = coarse.number(layer, out_channel, np.zeros_like(layer))
    for row, fine in zip(channels.scores, kernels.scores, strict=True):
        np.testing.assert_allclose(np.bincount(numbers, weights=fine), row, rtol=1e-4)


def test_a_linear_layer_is_a_1x1_convolution():
    torch.manual_seed(0)
    linear, convolution = nn.Linear(3, 3), nn.Conv2d(3, 3, 1)
    baseline = {name: value.detach() for name, value in linear.state_dict().items()}
    target = {name: value + torch.rand_like(value) for name, value in baseline.items()}
    x, y = torch.rand(1, 3, 4, 3), torch.rand(1, 3, 4, 3)
    first, _ = attribute(linear, baseline, target, [(x, y)], num_nodes=2)
    first_weights, last_weights = (
        {name: value[..., None, None] if value.ndim == 2 else value for name, value in weights.items()}
        for weights in (baseline, target)
    )
    moved = [(x.permute(0, 3, 1, 2), y.permute(0, 3, 1, 2))]
    second, _ = attribute(convolution, first_weights, last_weights, moved, num_nodes=2)
    np.testing.assert_allclose(first.scores, second.scores, rtol=1e-5)


@pytest.mark.slow
def test_auto_doubles_the_nodes_until_both_errors_are_small(model, images):
    tight, loose = (
        QuadratureParams(rule="auto", num_nodes=2, max_nodes=512, tolerance=tolerance) for tolerance in (0.01, 0.5)
    )
    rough, fine = attribute_images(model, images, loose), attribute_images(model, images, tight)
    assert (rough.nodes == 4).all()  # one doubling at least
    assert (fine.nodes >= rough.nodes).all()
    assert fine.nodes.max() > 4
    assert (np.abs(fine.residuals) <= 0.01 * np.abs(fine.changes)).all()
    exact = attribute_images(model, images, quadrature("gausslegendre", 400)).scores
    assert (np.abs(fine.scores - exact).sum(1) <= 0.02 * exact.sum(1)).all()
    stopped = attribute_images(model, images, QuadratureParams(rule="auto", num_nodes=2, max_nodes=7, tolerance=1e-9))
    assert (stopped.nodes == 4).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lr, hr: (lr * torch.nan, hr), "image 0: the input is not finite"),
        (lambda lr, hr: (lr, hr / 0), "image 0: the ground truth is not finite"),
        (lambda lr, hr: (lr, hr[..., 1:]), r"makes \(1, 3, 16, 16\) of \(1, 3, 8, 8\), the ground truth asks for"),
        (lambda lr, hr: (lr[:, :2], hr), r"image 0: .* an input of shape \(1, 2, 8, 8\): .* to have 3 channels"),
        (lambda lr, hr: (lr[0], hr[0]), r"the input must be one image \(1, C, H, W\), not \(3, 8, 8\)"),
    ],
)
def test_an_image_that_does_not_fit_is_refused(model, images, change, message):
    with pytest.raises(InputError, match=message):
        attribute_images(model, [change(*images[0])], quadrature("left", 1))


def test_an_image_too_small_for_mirrored_borders_is_refused_by_its_number():
    network = nn.Conv2d(3, 3, 7, padding=3, padding_mode="reflect")
    baseline = network.state_dict()
    target = {name: value + 0.1 for name, value in baseline.items()}
    fits, small = torch.rand(1, 3, 8, 8), torch.rand(1, 3, 3, 8)
    with pytest.raises(InputError, match=r"image 1: .* an input of shape \(1, 3, 3, 8\): .*[Pp]adding"):
        attribute(network, baseline, target, [(fits, fits), (small, small)], num_nodes=2)


def test_numbers_of_nodes_that_cannot_work_are_refused(model, images):
    weights = model.baseline, model.target
    with pytest.raises(InputError, match="attribute: num_nodes = 0: "):
        attribute(model.network, *weights, images, num_nodes=0)
    with pytest.raises(InputError, match="attribute: max_nodes = 16 must be at least twice num_nodes = 16"):
        attribute(model.network, *weights, images, rule="auto", max_nodes=16)


def test_an_error_that_is_not_the_image_s_stays_what_it_is(model, images, monkeypatch):
    def fail(error: Exception) -> None:
        raise error

    for place, error in (
        ("faig.attribution.engine.integrate", RuntimeError("a slip")),
        ("faig.attribution.engine.barrier", ValueError("a slip")),
        ("faig.attribution.path.PathModel.restore", torch.OutOfMemoryError("full")),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(place, lambda *_, error=error: fail(error))
            with pytest.raises(type(error)) as caught:
                attribute_images(model, images, quadrature("left", 1))
        assert caught.value is error


def test_a_rough_integral_is_warned_of(model, images):
    weights = model.baseline, model.target
    with pytest.warns(
        UserWarning, match=r"'left', 1 nodes.* miss [\d.]+% of the change .* num_nodes above 1.* training=True"
    ):
        rough, _ = attribute(model.network, *weights, images, rule="left", num_nodes=1)
    assert rough.convergence_error > 0.05
    far = {name: -2 * value for name, value in model.target.items()}
    with pytest.warns(UserWarning, match=r"'auto', 2 nodes.* max_nodes above 2"):
        attribute(model.network, model.baseline, far, images, rule="auto", num_nodes=1, max_nodes=2)
    attribute(model.network, *weights, images, num_nodes=32)  # no warning, which would be an error


def test_one_image_s_result_is_saved_and_read_as_arrays(model, images, tmp_path):
    nodes = quadrature("gausslegendre", 2)
    together = attribute_images(model, images, nodes)
    for number, (lr, hr) in enumerate(images):
        result = attribute_image(model, lr, hr, nodes)
        kept = Store(tmp_path).get(str(number), result.arrays)
        read = Store(tmp_path).get(str(number), lambda: pytest.fail("was kept"))
        for found in (kept, read):
            np.testing.assert_array_equal(found["scores"], together.scores[number])
            assert found["residual"] == together.residuals[number]
            assert found["num_nodes"] == together.nodes[number] == 2


def test_no_image_is_refused(model):
    with pytest.raises(InputError, match="no image"):
        attribute_images(model, [], quadrature("left", 1))


def test_plain_rule_is_the_score_itself():
    assert discriminate({"blur": np.array([1.0, 2.0])}, "blur", "plain").tolist() == [1, 2]


def test_gradients_are_taken_where_the_caller_has_turned_them_off(images):
    network = nn.Conv2d(3, 12, 3, padding=1)
    network = nn.Sequential(network, nn.PixelShuffle(2))
    baseline = {name: value.clone() for name, value in network.state_dict().items()}
    target = {name: value + 0.1 for name, value in baseline.items()}
    expected, _ = attribute(network, baseline, target, images, num_nodes=2)
    for context in (torch.no_grad, torch.inference_mode):
        with context():
            own = [(lr * 1, hr * 1) for lr, hr in images]  # made under the context
            result, _ = attribute(network, baseline, target, own, num_nodes=2)
        np.testing.assert_allclose(result.scores, expected.scores, rtol=1e-5)


def test_auto_says_where_it_gave_up(model, images):
    kind = {"rule": "auto", "num_nodes": 2, "max_nodes": 8}
    loose = attribute_images(model, images, QuadratureParams(**kind, tolerance=10.0))
    strict = attribute_images(model, images, QuadratureParams(**kind, tolerance=1e-9))
    assert loose.converged.all()
    assert loose.nodes.tolist() == [4, 4, 4]
    assert not strict.converged.any()
    assert strict.nodes.tolist() == [8, 8, 8]


def test_weights_beyond_all_bounds_are_refused(model, images):
    huge = {name: value * 1e30 for name, value in model.target.items()}
    with pytest.raises(InputError, match=r"image 0.*(not finite|too large)"):
        attribute_images(PathModel(model.network, model.baseline, huge, CPU), images, quadrature("gausslegendre", 2))


def test_a_layer_whose_weight_is_computed_can_be_left_out(images):
    network = nn.Sequential(
        nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 3, 1)), nn.Conv2d(3, 12, 1), nn.PixelShuffle(2)
    )
    baseline = {name: value.clone() for name, value in network.state_dict().items()}
    target = {name: value + 0.1 for name, value in baseline.items()}
    with pytest.raises(InputError, match="the weight of 0 is computed from other parameters"):
        attribute(network, baseline, target, images)
    result, index = attribute(network, baseline, target, images, num_nodes=32, exclude=["0"])
    assert index.layers == ("1",)
    assert result.convergence_error < 1e-3
