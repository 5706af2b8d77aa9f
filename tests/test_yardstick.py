"""Laws of the yardstick: ends of both curves, areas of known curves, a best found not chosen by its own images."""

import itertools

import numpy as np
import pandas as pd
import pytest

from faig.base.errors import InputError
from faig.base.statistics import BootstrapParams
from faig.data.photographs import TileParams, tiles
from faig.report.yardstick import halved, kept, log_mean, net, yardstick

BOOTSTRAP = BootstrapParams(num_resamples=100, confidence=0.9)
ATTRIBUTED = ("blur", "noise")
GAINS = {"blur": 4.0, "noise": 8.0}
RATIOS = (0.001, 0.01, 0.1)
IMAGES = [f"{photograph}_{number}" for photograph in "abcd" for number in range(2)]


def sweep_of(sets, *, kept=(), gains=GAINS, images=IMAGES):
    """{(method, replicate): share lost on (own, other) as a function of ratio and image} -> a target's sweep.

    ``kept``: the same of the share that insertion brings back.
    """
    rows = []

    def add(curve, method, degradation, replicate, ratio, shares):
        for number, image in enumerate(images):
            for name in gains:
                psnr = 20 + number + shares(name, image) * gains[name]
                key = {"method": method, "degradation": degradation, "replicate": replicate, "ratio": ratio}
                rows.append({**key, "input": name, "image": image, "psnr": psnr, "curve": curve})

    add("deletion", "baseline", "", 0, 0.0, lambda name, image: 0)
    add("deletion", "target", "", 0, 0.0, lambda name, image: 1)
    for curve, by_method in (("deletion", sets), ("insertion", dict(kept))):
        for key, own, ratio in itertools.product(by_method, gains, RATIOS):

            def restored(name, image, share=by_method[key], own=own, ratio=ratio, curve=curve):
                moved = share(ratio, image)[name != own]
                return moved if curve == "insertion" else 1 - moved

            add(curve, key[0], own, key[1], ratio, restored)
    return pd.DataFrame(rows)


def constant(removed, collateral=0.0):
    return lambda ratio, image: (removed, collateral)


def measured(sets, attributed=ATTRIBUTED, *, tiled=True, **options):
    return yardstick(sweep_of(sets, **options), attributed, 0.5, BOOTSTRAP, 0, tiled=tiled)


def kept_of(table, attributed=ATTRIBUTED):
    return kept(table, attributed, 0.5, BOOTSTRAP, 0)


# Insertion


def test_all_filters_bring_all_back_and_none_brings_nothing():
    table = sweep_of({}, kept={("all", 0): constant(1, 1), ("none", 0): constant(0)})
    found = kept_of(table)
    for degradation, ratio in itertools.product(ATTRIBUTED, ("0.001", "0.01", "0.1")):
        for method, share in (("all", 1), ("none", 0)):
            values = found[method][degradation][ratio]
            assert values.keys() == {
                f"{name}{end}" for name in ("kept", "kept_elsewhere") for end in ("", "_low", "_high")
            }
            assert list(values.values()) == pytest.approx([share] * 6)


def test_kept_equals_the_formula_image_by_image():
    """A ratio of differences of means, written as loops; with a third degradation, of which one is the largest."""
    gains = {"blur": 4.0, "noise": 8.0, "jpeg": 2.0}
    generator = np.random.default_rng(0)
    table = sweep_of({}, kept={("faig", 0): constant(0.5, 0.25), ("faig", 1): constant(0.3, 0.1)}, gains=gains)
    table["psnr"] += generator.normal(size=len(table))
    attributed = ("blur", "noise", "jpeg")

    def mean(method, degradation, ratio, on):
        values = [
            row["psnr"]
            for row in table.to_dict("records")
            if (row["method"], row["degradation"], row["ratio"], row["input"]) == (method, degradation, ratio, on)
        ]
        return sum(values) / len(values)

    def share(degradation, ratio, on):
        before, after = (mean(name, "", 0.0, on) for name in ("baseline", "target"))
        return (mean("faig", degradation, ratio, on) - before) / (after - before)

    found = kept_of(table, attributed)["faig"]
    for degradation, ratio in itertools.product(attributed, RATIOS):
        values = found[degradation][f"{ratio:g}"]
        assert values["kept"] == pytest.approx(share(degradation, ratio, degradation))
        others = [share(degradation, ratio, on) for on in attributed if on != degradation]
        assert values["kept_elsewhere"] == pytest.approx(max(others))
        assert values["kept_low"] < values["kept"] < values["kept_high"]


# Areas


def test_the_area_of_a_constant_curve_is_its_height():
    found = measured({("faig", 0): constant(0.6, 0.1)}, kept={("faig", 0): constant(0.3, 0.2)})
    for degradation in ATTRIBUTED:
        values = found[degradation]["faig"]
        assert values["area_of_removed"] == values["area_of_removed_low"] == pytest.approx(0.6)
        assert values["area_of_selectivity"] == pytest.approx(0.5)
        assert values["area_of_kept"] == pytest.approx(0.3)


def test_removing_more_than_the_whole_gain_counts_as_all_of_it():
    found = measured({("faig", 0): constant(3.0, 0.5)}, kept={("faig", 0): constant(-2.0)})["blur"]["faig"]
    assert found["area_of_removed"] == pytest.approx(1)
    assert found["area_of_selectivity"] == pytest.approx(0.5)
    assert found["area_of_kept"] == pytest.approx(-2)


def test_the_cap_holds_at_every_ratio_before_the_mean():
    found = measured({("faig", 0): lambda ratio, image: ({0.001: 0.0, 0.01: 2.0, 0.1: 0.0}[ratio], 0.0)})
    assert found["blur"]["faig"]["area_of_removed"] == pytest.approx(0.5)


def test_the_mean_over_log_ratio_equals_a_fine_sum_under_the_polygon():
    ratios, values = np.array([0.001, 0.003, 0.01, 0.03, 0.1]), np.array([0.1, 0.8, 0.7, 0.9, 0.2])
    at = np.linspace(np.log(ratios[0]), np.log(ratios[-1]), 200_001)
    assert log_mean(ratios) @ values == pytest.approx(np.interp(at, np.log(ratios), values).mean(), abs=1e-5)
    assert log_mean(ratios).sum() == pytest.approx(1)
    assert log_mean(np.array([0.03])).tolist() == [1]  # a single ratio: the value there


def test_replicates_are_averaged_in_areas():
    found = measured({("random", 0): constant(0.2), ("random", 1): constant(0.4)})
    assert found["noise"]["random"]["area_of_removed"] == pytest.approx(0.3)


# Best found


def test_the_best_found_is_the_largest_net_and_a_method_that_is_always_best_finds_all_of_it():
    found = measured({("good", 0): constant(0.9, 0.1), ("broad", 0): constant(1.5, 0.5), ("none", 0): constant(0, 0)})
    for by_method, ratio in itertools.product(found.values(), ("0.001", "0.01", "0.1")):
        best = by_method["best_found"][ratio]
        assert (best["removed"], best["collateral"], best["net"]) == pytest.approx((0.9, 0.1, 0.8))
        assert best["chosen"] == {"good": 1.0}
        shares = {name: by_method[name][ratio]["share_of_best_found"] for name in ("good", "broad", "none")}
        assert shares == pytest.approx({"good": 1, "broad": 0.5 / 0.8, "none": 0})


def test_a_gain_on_another_degradation_is_no_merit():
    assert net(np.array([0.5, 2.0]), np.array([-0.3, 0.2])) == pytest.approx([0.5, 0.8])


def test_the_best_found_is_reported_on_the_half_that_did_not_choose_it():
    """Two methods, each perfect on one half of the photographs and useless on the other: in truth, neither is good."""

    def perfect_on(photographs):
        return lambda ratio, image: (1.0 if image[0] in photographs else 0.0, 0.0)

    found = measured({("first", 0): perfect_on("ac"), ("second", 0): perfect_on("bd")})["blur"]
    best = found["best_found"]["0.01"]
    assert best["removed"] == best["net"] == pytest.approx(0)
    assert best["chosen"] == {"first": 0.5, "second": 0.5}
    assert "0.01" not in found["first"]  # no share of what is nothing
    assert found["first"]["area_of_removed"] == pytest.approx(0.5)


def test_what_is_reported_of_one_half_does_not_change_what_is_chosen_there():
    """Chosen on the one half, reported on the other: each half's images move one of the two by which it is averaged."""
    low, high = constant(0.5), constant(0.6)
    before = measured({("low", 0): low, ("high", 0): high})["blur"]["best_found"]["0.01"]

    def worse_on_b(ratio, image):
        return (0.2 if image[0] in "bd" else 0.6), 0.0

    after = measured({("low", 0): low, ("high", 0): worse_on_b})["blur"]["best_found"]["0.01"]
    assert before["removed"] == pytest.approx(0.6)
    # The first half still chooses "high", which is 0.2 on the second; the second chooses "low", 0.5 on the first.
    assert after["removed"] == pytest.approx((0.2 + 0.5) / 2)


def test_each_random_set_is_a_candidate_of_its_own():
    found = measured({("random", 0): constant(0.2), ("random", 1): constant(0.6)})["blur"]
    assert found["best_found"]["0.1"]["removed"] == pytest.approx(0.6)
    assert found["random"]["0.1"]["share_of_best_found"] == pytest.approx(0.4 / 0.6)


def test_tiles_of_a_photograph_lie_in_one_half():
    for names in (IMAGES, ["img_1_0", "img_1_1", "img_2_0"], ["b_0", "a_0", "a_1", "a_10", "a_2"]):
        first, second = halved(names, tiled=True)
        assert (first ^ second).all()
        for photograph in {name.rpartition("_")[0] for name in names}:
            assert (
                len({bool(half) for name, half in zip(names, first, strict=True) if name.startswith(f"{photograph}_")})
                == 1
            )


def test_tiles_are_recognised_as_they_are_made():
    made = [
        name
        for photograph in ("coffee", "img_7")
        for name in tiles(photograph, np.zeros((64, 96, 3), np.uint8), TileParams(size=32, per_photograph=4))
    ]
    first, _ = halved(made, tiled=True)
    assert first.tolist() == [True] * 4 + [False] * 4


def test_whole_photographs_are_halved_one_by_one():
    first, second = halved(["img_1", "img_2", "img_3"], tiled=False)
    assert first.tolist() == [True, False, True]
    assert second.tolist() == [False, True, False]


def test_one_photograph_cannot_be_halved_and_has_no_best_found():
    found = measured({("faig", 0): constant(0.95)}, images=["a_0", "a_1"])["blur"]
    assert found["faig"]["area_of_removed"] == pytest.approx(0.95)
    assert found["best_found"] == {"smallest_ratio": 0.001}
    assert "0.001" not in found["faig"]


# Smallest set


@pytest.mark.parametrize(
    ("removed", "collateral", "smallest"),
    [
        ((0.5, 0.901, 1.2), (0.0, 0.04, 0.0), 0.01),
        ((0.95, 0.95, 0.95), (0.06, 0.051, 0.049), 0.1),
        ((0.95, 0.95, 0.5), (-0.5, 0.2, 0.0), 0.001),
        ((0.8, 0.85, 0.89), (0.0, 0.0, 0.0), None),
    ],
)
def test_the_smallest_set_removes_90_percent_and_takes_less_than_5_along(removed, collateral, smallest):
    shares = dict(zip(RATIOS, zip(removed, collateral, strict=True), strict=True))
    found = measured({("faig", 0): lambda ratio, image: shares[ratio], ("other", 0): constant(0.1)})["noise"]
    assert found["faig"].get("smallest_ratio") == found["best_found"].get("smallest_ratio") == smallest
    assert "smallest_ratio" not in found["other"]


# What is left out, and what is refused


def test_a_lone_degradation_has_no_collateral():
    table = sweep_of({("faig", 0): constant(0.95)}, kept={("faig", 0): constant(0.5)}, gains={"blur": 4.0})
    found = yardstick(table, ["blur"], 0.5, BOOTSTRAP, 0, tiled=True)["blur"]
    assert {"area_of_removed", "area_of_kept", "smallest_ratio"} <= found["faig"].keys()
    assert "area_of_selectivity" not in found["faig"]
    assert found["best_found"]["0.01"].keys() == {
        "removed",
        "removed_low",
        "removed_high",
        "net",
        "net_low",
        "net_high",
        "chosen",
    }
    assert kept_of(table, ["blur"])["faig"]["blur"]["0.01"].keys() == {"kept", "kept_low", "kept_high"}


def test_gains_too_small_to_divide_by_leave_the_degradation_out():
    gains = {"blur": 4.0, "noise": 0.1}
    assert measured({("faig", 0): constant(0.5)}, gains=gains).keys() == {"blur"}
    assert measured({("faig", 0): constant(0.5)}, gains=dict.fromkeys(gains, 0.1)) == {}
    table = sweep_of({}, kept={("faig", 0): constant(0.5, 1.0)}, gains=gains)
    assert kept_of(table)["faig"].keys() == {"blur"}
    assert "kept_elsewhere" not in kept_of(table)["faig"]["blur"]["0.01"]


def test_what_is_missing_is_named():
    table = sweep_of({("faig", 0): constant(0.5)})
    options = (ATTRIBUTED, 0.5, BOOTSTRAP, 0)
    with pytest.raises(InputError, match=r"lacks the columns \['curve'\]: run the stage sweep again"):
        yardstick(table.drop(columns="curve"), *options, tiled=True)
    with pytest.raises(InputError, match="the sweep lacks target, noise, a_0"):
        yardstick(table.query("method != 'target' or input != 'noise'"), *options, tiled=True)
    with pytest.raises(InputError, match=r"the sweep lacks deletion, faig, blur, 0, 0\.01, noise, a_0"):
        yardstick(
            table.query("not (degradation == 'blur' and ratio == 0.01 and input == 'noise')"), *options, tiled=True
        )
    with pytest.raises(InputError, match="the sweep masks no filters for noise"):
        yardstick(table.query("degradation != 'noise'"), *options, tiled=True)
    with pytest.raises(InputError, match="img is not named as a tile of a photograph is"):
        halved(["a_0", "img"], tiled=True)
