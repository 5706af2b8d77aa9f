import numpy as np
import pytest
import torch
from conftest import CPU, TINY
from torch.func import functional_call

from faig.attribution import (
    END_POINT,
    PathModel,
    discriminate,
    faig,
    gauss_legendre,
    input_gradients,
    integrate,
    left_endpoints,
    load_model,
    random_scores,
    taylor,
    weight_change,
)
from faig.networks import NetworkParams, NetworkSpec, build_network, save_network


def test_gauss_legendre_is_exact_for_polynomials_of_degree_2n_minus_1():
    for num in (1, 2, 5, 12):
        places, weights = gauss_legendre(num)
        for degree in range(2 * num):
            assert np.dot(weights, places**degree) == pytest.approx(1 / (degree + 1), abs=1e-12)
    with pytest.raises(ValueError, match="at least one node, not 0"):
        gauss_legendre(0)


def test_left_endpoints_are_the_authors_rule():
    places, weights = left_endpoints(4)
    assert places.tolist() == [0, 0.25, 0.5, 0.75]
    assert weights.tolist() == [0.25] * 4


def test_the_path_runs_from_baseline_to_target_straight(model):
    for place in (0.0, 0.25, 1.0):
        for name, value in model.at(place).items():
            torch.testing.assert_close(value, (1 - place) * model.baseline[name] + place * model.target[name])


def test_completeness_biases_included(model, images):
    attribution = faig(model, images, gauss_legendre(150))  # the ReLUs' kinks make the integrand rough
    assert np.abs(attribution.changes).min() > 1
    np.testing.assert_allclose(attribution.residuals, 0, atol=5e-3 * np.abs(attribution.changes).min())
    assert attribution.convergence_error < 2e-3


def test_two_nodes_are_exact_for_a_linear_network(images):
    network = torch.nn.Conv2d(3, 3, 3, padding=1)  # the loss is quadratic in its weights, its gradient linear
    baseline = {name: value.detach() for name, value in network.state_dict().items()}
    target = {name: value + 0.1 * torch.ones_like(value) for name, value in baseline.items()}
    pairs = [(hr, hr.flip(3)) for _, hr in images]
    attribution = faig(PathModel(network, baseline, target, CPU), pairs, gauss_legendre(2))
    assert attribution.scores.shape == (3, 9)
    assert attribution.convergence_error < 1e-5


def test_convergence_error_falls_with_the_nodes_and_shows_a_bad_integral(model, images):
    assert (
        faig(model, images, gauss_legendre(1)).convergence_error
        > 10 * faig(model, images, gauss_legendre(16)).convergence_error
    )


def test_without_biases_the_integrals_do_not_close(model, images):
    lr, hr = images[0]
    integrals = integrate(model, lr, hr, gauss_legendre(24))
    kernels = sum(value.sum().item() for name, value in integrals.items() if name.endswith("weight"))
    change = (model.loss(model.target, lr, hr) - model.loss(model.baseline, lr, hr)).item()
    assert abs(kernels - change) > 0.01 * abs(change)


def slow_faig(model, lr, hr, num_steps):
    """Equations 5 and 6 weight by weight in float64: left endpoints, loops over the kernels."""
    network = build_network(TINY).double()
    baseline, target = ({k: v.double() for k, v in weights.items()} for weights in (model.baseline, model.target))
    integral = {name: torch.zeros_like(value) for name, value in baseline.items()}
    for step in range(num_steps):
        place = step / num_steps
        weights = {
            name: (baseline[name] + place * (target[name] - baseline[name])).requires_grad_() for name in baseline
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
    for nodes, tolerance in ((left_endpoints(100), 1e-4), (gauss_legendre(16), 2e-2)):
        fast = faig(model, [(lr, hr)], nodes).scores[0]
        assert np.linalg.norm(fast - slow) / np.linalg.norm(slow) < tolerance


def test_scores_are_per_image(model, images):
    together = faig(model, images, gauss_legendre(3)).scores
    for row, image in zip(together, images, strict=True):
        np.testing.assert_allclose(row, faig(model, [image], gauss_legendre(3)).scores[0], rtol=1e-5)


def test_no_change_of_weights_gives_zero_scores(model, images):
    still = PathModel(build_network(TINY), model.target, model.target, CPU)
    attribution = faig(still, images, gauss_legendre(2))
    assert not attribution.scores.any()
    assert attribution.convergence_error == 0
    assert not weight_change(still, divided=True).any()


def test_taylor_is_one_node_at_the_target(model, images):
    np.testing.assert_array_equal(taylor(model, images), faig(model, images, END_POINT).scores)
    (lr, hr), *_ = images
    weights = {name: value.clone().requires_grad_() for name, value in model.target.items()}
    gradients = torch.autograd.grad(model.loss(weights, lr, hr), list(weights.values()))
    products = {name: (gradient * model.change[name]).abs() for name, gradient in zip(weights, gradients, strict=True)}
    np.testing.assert_allclose(taylor(model, images)[0], model.index.collect(products).numpy(), rtol=1e-4, atol=1e-6)


def test_input_gradients_integrate_the_gradient_of_the_summed_output(model, images):
    (clean, _), (degraded, _), *_ = images
    fast = input_gradients(model, [(clean, degraded)], gauss_legendre(32))[0]
    total = {name: torch.zeros_like(value) for name, value in model.target.items()}
    for step in range(400):
        weights = {name: value.clone().requires_grad_() for name, value in model.target.items()}
        place = (step + 0.5) / 400
        functional_call(model.network, weights, (clean + place * (degraded - clean),)).sum().backward()
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
        for place, out, inp in zip(layer, out_channel, in_channel, strict=True):
            key = changed.index.weights[place]
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
    with pytest.raises(ValueError, match="nothing to compare blur with"):
        discriminate({"blur": np.ones(2)}, "blur", "share")
    with pytest.raises(ValueError, match="not 'best'"):
        discriminate({"blur": np.ones(2), "noise": np.ones(2)}, "blur", "best")
    assert not discriminate({"blur": np.zeros(2), "noise": np.zeros(2)}, "blur", "share").any()


def test_weights_of_different_networks_are_refused(model):
    other = {**model.target, "last.bias": torch.zeros(5)}
    with pytest.raises(ValueError, match=r"last\.bias is \(3,\) and \(5,\)"):
        PathModel(model.network, model.baseline, other, CPU)
    missing = {name: value for name, value in model.target.items() if name != "last.bias"}
    with pytest.raises(ValueError, match=r"last\.bias is \(3,\) and None"):
        PathModel(model.network, model.baseline, missing, CPU)


def test_weights_that_are_not_finite_are_refused(model):
    model.target["last.bias"][0] = float("inf")
    with pytest.raises(ValueError, match=r"last\.bias are not finite"):
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
