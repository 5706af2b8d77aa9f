"""Laws of the argument's summaries, each on a table made by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from faig.base.statistics import BootstrapParams
from faig.report.argument import (
    best_pair,
    rank_correlation,
    summarize_branches,
    summarize_dials,
    summarize_plugins,
    summarize_retraining,
    summarize_severity,
)

BOOTSTRAP = BootstrapParams(num_resamples=200, confidence=0.9)


def generator():
    return np.random.default_rng(0)


# Dials


def dial(psnr_of):
    """The summary of one dial whose inputs ``blur`` and ``clean`` have the PSNR of (lambda, input, image)."""
    rows = [
        {"dial": "blur", "value": value, "input": name, "image": image, "psnr": psnr_of(value, name, image)}
        for value in (0.0, 0.5, 1.0, 1.5)
        for name in ("blur", "clean")
        for image in ("a", "b")
    ]
    return summarize_dials(pd.DataFrame(rows), BOOTSTRAP, seed=0)["blur"]


def test_what_is_reported_of_a_dial():
    own = {0.0: 20.0, 0.5: 24.0, 1.0: 26.0, 1.5: 22.0}
    values = dial(lambda value, name, image: own[value] + (image == "b") if name == "blur" else 30 - value)
    assert (values["psnr_masked"], values["psnr_target"], values["psnr_best"]) == (20.5, 26.5, 26.5)
    assert values["best_lambda"] == 1.0
    assert values["monotonicity"] == values["monotonicity_low"] == values["monotonicity_high"] == 1
    assert values["other_db"] == {"clean": 1.0}


def test_monotonicity_counts_the_steps_that_rise_by_image():
    values = dial(lambda value, name, image: value if image == "a" else -value)
    assert values["monotonicity"] == 0.5
    assert 0 <= values["monotonicity_low"] < 0.5 < values["monotonicity_high"] <= 1


def test_the_best_pair_of_two_dials():
    rows = [(0.0, 0.0, 20), (0.0, 1.0, 22), (0.5, 1.0, 27), (1.0, 1.0, 26)]
    columns = ["first", "second", "psnr"]
    table = pd.DataFrame([(a, b, x + move) for a, b, x in rows for move in (-1, 1)], columns=columns)
    best = {"best_blur": 0.5, "best_noise": 1.0, "psnr_best": 27.0}
    assert best_pair(table, ["blur", "noise"]) == {**best, "psnr_target": 26.0, "psnr_masked": 20.0}


# Retraining


def retrained(gains):
    """PSNR 20 + 1 per image, plus the gain of (variant, replicate)."""
    rows = [
        {"variant": variant, "replicate": replicate, "image": image, "psnr": 20 + place + gain}
        for (variant, replicate), gain in {("baseline", 0): 0, **gains}.items()
        for place, image in enumerate("abc")
    ]
    return pd.DataFrame(rows)


def summary(table):
    return summarize_retraining(table, 0.5, BOOTSTRAP, generator())


HAND_MADE = {
    ("target", 0): 4.0,
    ("discovered", 0): 3.0,
    ("discovered", 1): 3.0,
    ("random", 0): 1.0,
    ("random", 1): 2.0,
    ("rewired", 0): 3.0,
    ("rewired", 1): 3.0,
    ("all", 0): 5.0,
}


def test_what_each_variant_recovers_of_the_gain():
    results = summary(retrained(HAND_MADE))
    assert results["gain"] == pytest.approx(4)
    recovered = {name: values["recovered"] for name, values in results.items() if name != "gain"}
    assert recovered == pytest.approx({"discovered": 0.75, "random": 0.375, "rewired": 0.75, "all": 1.25})
    for bound in ("_low", "_high"):
        assert results["discovered"]["recovered" + bound] == pytest.approx(0.75)
        assert results["rewired"]["behind" + bound] == pytest.approx(0)
    assert results["random"]["behind"] == pytest.approx(0.375)
    assert results["random"]["behind_low"] == pytest.approx(0.25)  # both draws the better replicate
    assert results["random"]["behind_high"] == pytest.approx(0.5)


def test_an_interval_widens_with_the_spread_over_images():
    rows = retrained(HAND_MADE)
    rows.loc[(rows["variant"] == "random") & (rows["image"] == "a"), "psnr"] += 3
    wide, narrow = (summary(table)["random"] for table in (rows, retrained(HAND_MADE)))
    assert wide["recovered_high"] - wide["recovered_low"] > narrow["recovered_high"] - narrow["recovered_low"]


def test_a_gain_too_small_is_reported_and_not_divided_by():
    results = summary(retrained({("target", 0): 0.1, ("discovered", 0): 0.0, ("random", 0): 0.2}))
    assert results["gain"] == pytest.approx(0.1)
    assert results["random"] == {"gained_db": pytest.approx(0.2)}
    assert results["discovered"] == {"gained_db": pytest.approx(0)}


# Plug-ins

PLUGGED = {
    ("plugin", "blur", 0.5): {"blur": 2.0, "noise": 0.0, "clean": -0.25},
    ("plugin", "blur", 1.0): {"blur": 3.0, "noise": 0.5, "clean": -0.5},
    ("full", "blur", 1.0): {"blur": 4.0, "noise": -2.0, "clean": -1.0},
    ("plugin", "noise", 1.0): {"blur": 0.0, "noise": 0.1, "clean": 0.0},
    ("full", "noise", 1.0): {"blur": 0.0, "noise": 0.2, "clean": 0.0},
    ("plugins_together", "", 1.0): {"blur": 2.25, "noise": 0.1, "clean": -0.75},
    ("tasks_together", "", 1.0): {"blur": 1.0, "noise": 0.1, "clean": -3.0},
    ("full_joint", "", 1.0): {"blur": 5.0, "noise": 0.2, "clean": -1.0},
}
"""What is gained by variant, degradation and strength, by input."""


def plugged(networks=PLUGGED, spread=0.0):
    """PSNR 20 + 1 per image, plus the gain; that of plug-ins together differs from image to image."""
    known = {("baseline", "", 0.0): dict.fromkeys(("blur", "noise", "clean"), 0.0), **networks}
    rows = [
        {"variant": variant, "degradation": degradation, "strength": strength, "input": name, "image": image}
        | {"psnr": 20 + place + gain + spread * place * (variant == "plugins_together")}
        | {"num_bytes": {"plugin": 50, "full": 1000}.get(variant, 0)}
        for (variant, degradation, strength), gains in known.items()
        for name, gain in gains.items()
        for place, image in enumerate("abc")
    ]
    return summarize_plugins(pd.DataFrame(rows), 0.5, BOOTSTRAP, generator())


def test_what_plug_ins_gain_alone_and_keep_together():
    blur = plugged()["blur"]
    assert {variant: values["gained_db"] for variant, values in blur.items()} == pytest.approx(
        {"plugin": 3, "full": 4, "plugins_together": 2.25, "tasks_together": 1, "full_joint": 5}
    )
    assert blur["plugin"]["gained_at"] == pytest.approx({"0.5": 2, "1": 3})
    recovered = {variant: values["recovered"] for variant, values in blur.items() if "recovered" in values}
    assert recovered == pytest.approx(
        {"plugin": 0.75, "plugins_together": 0.5625, "tasks_together": 0.25, "full_joint": 1.25}
    )
    kept = {variant: values["kept"] for variant, values in blur.items() if "kept" in values}
    assert kept == pytest.approx({"plugins_together": 0.75, "tasks_together": 0.25})
    assert (blur["plugin"]["bytes"], blur["plugin"]["of_full"]) == (50, 0.05)
    assert (blur["plugin"]["clean_db"], blur["full"]["clean_db"]) == pytest.approx((-0.5, -1))


def test_the_interval_of_what_is_kept_is_over_images():
    even, odd = plugged()["blur"]["plugins_together"], plugged(spread=0.5)["blur"]["plugins_together"]
    assert (even["kept_low"], even["kept_high"]) == pytest.approx((0.75, 0.75))
    assert odd["kept_low"] < odd["kept"] - 0.1 < odd["kept"] + 0.1 < odd["kept_high"]


def test_of_a_small_gain_no_share_is_taken():
    noise = plugged()["noise"]
    assert noise["plugin"]["gained_db"] == pytest.approx(0.1)
    assert not [key for values in noise.values() for key in values if key.startswith(("recovered", "kept"))]


def test_inputs_without_a_plug_in_have_the_gains_of_what_serves_all():
    assert {variant: list(values) for variant, values in plugged()["clean"].items()} == {
        "plugins_together": ["gained_db"], "tasks_together": ["gained_db"], "full_joint": ["gained_db"],
    }  # fmt: skip


def test_one_plug_in_alone_is_reported():
    alone = plugged({key: gains for key, gains in PLUGGED.items() if key[1] == "blur"})
    assert set(alone) == {"blur"}
    assert set(alone["blur"]) == {"plugin", "full"}


# Branches


def test_how_far_two_branches_lead():
    networks = {"one_branch": {"parameters": 100, "gflops": 1.5}, "two_branches": {"parameters": 105, "gflops": 2.0}}
    rows = [
        {"network": network, "replicate": replicate, "input": name, "image": place, "ssim": 0.5, **size}
        | {"psnr": base + place + (1 + replicate) * (network == "two_branches")}
        | {"predicted": "blur" if network == "two_branches" else ""}
        for name, base in (("blur", 30), ("noise", 20))
        for place in range(3)
        for replicate in range(2)
        for network, size in networks.items()
    ]
    results = summarize_branches(pd.DataFrame(rows), BOOTSTRAP, generator())
    assert results["blur"]["psnr_one_branch"] == pytest.approx(31)
    assert results["blur"]["psnr_two_branches"] == pytest.approx(32.5)
    assert results["mean"]["lead"] == pytest.approx(1.5)
    assert (results["mean"]["lead_low"], results["mean"]["lead_high"]) == pytest.approx((1, 2))  # one replicate twice
    assert results["mean"]["psnr_one_branch"] == pytest.approx(26)
    assert results["prediction"]["accuracy"] == pytest.approx(0.5)
    assert {name: results[name] for name in networks} == networks


# Severity


def test_rank_correlation_is_scipy_s():
    draw = generator()
    for _ in range(5):
        curve = draw.integers(4, size=8).astype(float)
        assert rank_correlation(curve) == pytest.approx(float(spearmanr(curve, range(8))[0]))  # pyright: ignore
    assert rank_correlation(np.exp(np.arange(6.0))) == pytest.approx(1)
    assert rank_correlation(np.zeros(6)) == 0


def severity(trained):
    rows = [
        {"degradation": "noise", "value": value, "trained": trained, "image": image, "detail": 2 * n}
        | {"filters": filters, "response": response}
        for n, value in enumerate([0.0, 0.02, 0.05, 0.1, 0.15, 0.2])
        for image, sign in (("a", 1), ("b", 1), ("c", -1))
        for filters, response in (("noise", sign * n), ("blur", 0.0))
    ]
    return summarize_severity(pd.DataFrame(rows), BOOTSTRAP, generator())["noise"]


def test_whether_the_response_grows_with_the_level():
    results = severity(trained=0.05)
    assert results["rank_correlation"] == pytest.approx(1 / 3)
    assert -1 <= results["rank_correlation_low"] < 1 / 3 < results["rank_correlation_high"] <= 1
    assert results["other"] == {"blur": 0}
    assert results["num_levels"] == 6
    assert results["relative"] == pytest.approx(-1)  # all fall behind the detail
    assert results["up_to_trained"] == pytest.approx(1 / 3)
    assert "up_to_trained" not in severity(trained=0.02)
