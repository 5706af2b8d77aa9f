"""Laws of what masking took away: ends, hand-made tables, and the sweep's table against one table per ratio."""

import math

import pandas as pd
import pytest

from faig.base.statistics import BootstrapParams
from faig.report.effects import by_ratio, effects, gains

BOOTSTRAP = BootstrapParams(num_resamples=200, confidence=0.95)
TARGET = {"blur": [30.0, 32.0], "noise": [28.0, 26.0], "clean": [33.0, 35.0]}
BASELINE = {"blur": [26.0, 26.0], "noise": [20.0, 20.0], "clean": [34.0, 36.0]}
UNMASKED = {("baseline", ""): BASELINE, ("target", ""): TARGET}


def table_of(quality, *, replicate=0, ratio=0.03):
    """{(method, degradation): {input: [PSNR per image]}} -> a table as masking's measure returns it."""
    rows = [
        {"method": method, "degradation": of, "replicate": replicate, "ratio": ratio if of else 0.0}
        | {"input": name, "image": str(number), "psnr": value}
        for (method, of), by_input in quality.items()
        for name, values in by_input.items()
        for number, value in enumerate(values)
    ]
    return pd.DataFrame(rows)


def all_effects(table):
    return effects(table, ["blur", "noise"], 0.5, BOOTSTRAP, seed=0)


def points(values):
    """Without the ends of intervals, each of which must enclose its value."""
    found = {name: value for name, value in values.items() if not name.endswith(("_low", "_high"))}
    for name, value in found.items():
        assert values[f"{name}_low"] <= value <= values[f"{name}_high"]
    assert len(values) == 3 * len(found)
    return found


def effects_of(masked):
    return all_effects(table_of({**UNMASKED, ("faig", "blur"): masked}))["faig"]["blur"]


def test_gains_are_differences_of_mean_psnr():
    found = gains(table_of({**UNMASKED, ("faig", "blur"): BASELINE}), BOOTSTRAP, seed=0)
    assert points(found["blur"]) == {"psnr_baseline": 26.0, "psnr_target": 31.0, "gain": 5.0}
    assert {name: values["gain"] for name, values in found.items()} == {"blur": 5.0, "clean": -1.0, "noise": 7.0}


def test_gains_by_each_measure_of_the_table():
    table = table_of(UNMASKED).assign(curve="deletion")
    table = table.assign(psnr_y=2 * table["psnr"], ssim=table["psnr"] / 100, gradient_distance=0.0)
    found = gains(table, BOOTSTRAP, seed=0)["blur"]
    on_luma = {"psnr_y_baseline": 52.0, "psnr_y_target": 62.0, "gain_y": 10.0}
    rgb = {"psnr_baseline": 26.0, "psnr_target": 31.0, "gain": 5.0}
    assert points(found) == pytest.approx({**rgb, **on_luma, "ssim_baseline": 0.26, "ssim_target": 0.31})


def test_masked_like_the_baseline_removes_all_masked_like_the_target_nothing():
    assert effects_of(BASELINE)["removed"] == pytest.approx(1)
    assert effects_of(BASELINE)["selectivity"] == pytest.approx(0)
    nothing = effects_of(TARGET)
    assert nothing["removed"] == nothing["collateral"] == 0


def test_removed_collateral_and_selectivity_on_a_hand_made_table():
    values = effects_of({"blur": [28.0, 28.0], "noise": [27.0, 25.5], "clean": [32.0, 35.0]})
    assert values["removed"] == pytest.approx(3 / 5)  # lost 2 and 4 of gains 4 and 6
    assert values["collateral"] == pytest.approx(0.75 / 7)
    assert values["selectivity"] == pytest.approx(3 / 5 - 0.75 / 7)
    assert points(values["lost_db"]) == pytest.approx({"blur": 3.0, "noise": 0.75, "clean": 0.5})
    assert points(values["lost_share"]) == pytest.approx({"blur": 3 / 5, "noise": 0.75 / 7})  # none on clean
    for name in ("removed", "collateral", "selectivity"):
        assert values[f"{name}_low"] <= values[name] <= values[f"{name}_high"]


def test_a_gain_too_small_to_divide_by_leaves_the_shares_out():
    quality = {("baseline", ""): BASELINE, ("target", ""): {**TARGET, "blur": [26.2, 26.2]}}
    values = all_effects(table_of({**quality, ("faig", "blur"): BASELINE, ("faig", "noise"): BASELINE}))["faig"]
    assert values["blur"].keys() == {"lost_db", "lost_share"}
    assert values["noise"].keys() == {"removed", "removed_low", "removed_high", "lost_db", "lost_share"}
    assert points(values["blur"]["lost_share"]).keys() == {"noise"}
    numbers = [number for group in values.values() for number in group.values() if isinstance(number, float)]
    assert all(math.isfinite(number) for number in numbers)


def test_replicates_are_averaged():
    rows = table_of({**UNMASKED, ("random", "blur"): TARGET})
    again = table_of({("random", "blur"): BASELINE}, replicate=1)
    assert all_effects(pd.concat([rows, again]))["random"]["blur"]["removed"] == pytest.approx(0.5)


def test_what_was_measured_beside_psnr_is_averaged_over_the_images():
    table = table_of({**UNMASKED, ("faig", "blur"): BASELINE})
    others = {"psnr_y": 2 * table["psnr"], "ssim": table["psnr"] / 100, "gradient_distance": table["psnr"]}
    others["lpips"] = 1 - others["ssim"]  # less is better
    values = all_effects(table.assign(**others))["faig"]["blur"]
    assert points(values["psnr_y_lost"]) == pytest.approx({"blur": 10, "noise": 14, "clean": -2})
    assert points(values["lpips_lost"]) == pytest.approx({"blur": 0.05, "noise": 0.07, "clean": -0.01})
    assert not {"psnr_lost", "gradient_distance_lost"} & values.keys()
    assert points(values["ssim_lost"]) == pytest.approx({"blur": 0.05, "noise": 0.07, "clean": -0.01})
    assert values["gradient_distance"] == pytest.approx(26)


def test_effects_over_the_ratios_are_those_of_each_ratio_s_own_table():
    masked = {0.1: BASELINE, 0.01: TARGET, 0.03: {"blur": [28.0, 31.0], "noise": [27.0, 25.5], "clean": [32.0, 35.0]}}
    own = {ratio: table_of({**UNMASKED, ("faig", "blur"): values}, ratio=ratio) for ratio, values in masked.items()}
    sweep = pd.concat([table_of(UNMASKED), *(table_of({("faig", "blur"): masked[r]}, ratio=r) for r in masked)])
    found = by_ratio(sweep)
    assert list(found) == [0.01, 0.03, 0.1]
    for ratio, table in own.items():
        assert all_effects(found[ratio]) == all_effects(table)
