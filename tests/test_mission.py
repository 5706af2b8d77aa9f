"""Laws of the mission's numbers: few make the headline, and what was not measured is left out of it."""

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from faig.base.params import load_params
from faig.base.statistics import BootstrapParams
from faig.data.targets import TargetParams
from faig.experiments.score_table import Layers
from faig.report.effects import by_ratio, effects, gains
from faig.report.mission import check_results, curve_table, curves_of, headline, quality_table, stacked, with_depths
from faig.report.numbers import to_results, to_table
from faig.report.yardstick import kept

BOOTSTRAP = BootstrapParams(num_resamples=50, confidence=0.9)
TARGET = load_params("targets.blind", TargetParams, ROOT / "params.yaml")
RATIOS = (0.01, 0.03, 0.1)
CHECKS = {
    "blur": {"convergence_error": 0.02, "nodes": 12.0, "unconverged": 0.0, "barrier": 0.3}
    | {"improvement": 0.4, "learning_error": 0.2},
    "noise": {"convergence_error": 0.05, "nodes": 24.0, "unconverged": 1.0, "barrier": 0.1, "improvement": 0.7},
    "clean": {"barrier": 0.7},
}

KINSHIP = {"related": 1.0, "correlation": 0.8, "relative_distance": 0.6}
KINSHIP |= {"layer_correlation": {"first": 0.7, "last": 0.9}, "layer_distance": {"first": 0.5, "last": 0.7}}
METADATA = {"checks": CHECKS, "kinship": KINSHIP}


def measured(*ratios: float, gain: float = 4.0) -> pd.DataFrame:
    """PSNR of the committed target's inputs: fine-tuning brings ``gain`` but for clean, masking takes a share of it."""
    networks = [("baseline", "", 0.0, 0.0), ("target", "", 0.0, 1.0)]
    networks += [
        (method, name, ratio, 1 - ratio * factor)
        for ratio in ratios
        for method, factor in (("faig", 8.0), ("random", 1.0))
        for name in TARGET.attribute
    ]
    rows = [
        {"method": method, "degradation": of, "replicate": 0, "ratio": ratio, "input": name, "image": image}
        | {"psnr": 25.0 + image + share * gain * (name != "clean")}
        for method, of, ratio, share in networks
        for name in TARGET.degradations
        for image in range(3)
    ]
    return pd.DataFrame(rows).assign(curve="deletion")


def both_curves(*ratios: float, gain: float = 4.0) -> pd.DataFrame:
    """The same, and what those filters alone bring back: as much as masking them leaves."""
    deletion = measured(*ratios, gain=gain)
    inserted = deletion[deletion["degradation"].ne("") & deletion["input"].isin(TARGET.attribute)]
    return pd.concat([deletion, inserted.assign(curve="insertion")])


def results_of(gain: float = 4.0) -> dict:
    sweep, options = both_curves(*RATIOS, gain=gain), (TARGET.attribute, 0.5, BOOTSTRAP, 0)
    masked = effects(measured(0.03, gain=gain), *options)
    results = {"finetune": gains(sweep, BOOTSTRAP, 0), "ratios": curves_of(sweep, *options), "mask": masked}
    results = {section: {"blind": values} for section, values in results.items()}
    predictors = {
        name: {"accuracy_attributed": 0.9, "accuracy_all": 0.8, "auroc": {}} for name in ("overlap", "response")
    }
    return {**results, "score": {"blind": check_results(METADATA)}, "predict": predictors}


def test_curves_are_the_effects_at_each_ratio_and_what_is_kept():
    results, sweep = results_of(), measured(*RATIOS)
    brought = kept(both_curves(*RATIOS), TARGET.attribute, 0.5, BOOTSTRAP, 0)
    options = (TARGET.attribute, 0.5, BOOTSTRAP, 0)
    for ratio, table in by_ratio(sweep).items():
        for method, by_degradation in effects(table, *options).items():
            for name, values in by_degradation.items():
                also = brought[method][name][f"{ratio:g}"]
                assert results["ratios"]["blind"][method][name][f"{ratio:g}"] == values | also
    assert set(results["ratios"]["blind"]["faig"]["blur"]) == {"0.01", "0.03", "0.1"}


def test_curves_have_a_row_per_method_degradation_and_ratio():
    curves = results_of()["ratios"]["blind"]
    table = curve_table(curves).set_index(["method", "degradation", "ratio"])
    assert len(table) == 2 * len(TARGET.attribute) * len(RATIOS)
    for method, name, ratio in table.index:
        assert table["removed"][method, name, ratio] == curves[method][name][f"{ratio:g}"]["removed"]
    assert set(table.columns) == {
        f"{name}{end}"
        for name in ("removed", "collateral", "selectivity", "kept", "kept_elsewhere")
        for end in ("", "_low", "_high")
    }


def test_a_run_without_a_gain_has_the_same_columns_for_what_is_removed():
    table = curve_table(results_of(gain=0.1)["ratios"]["blind"])
    assert len(table) == 2 * len(TARGET.attribute) * len(RATIOS)
    assert table[["removed", "removed_low", "removed_high"]].isna().to_numpy().all()


def test_quality_is_the_mean_over_images_of_each_network_on_each_input():
    table = measured(0.03)
    quality = quality_table(table, "faig")
    means = {(network, name): psnr for network, name, psnr in quality.itertuples(index=False)}
    assert len(means) == len(quality) == (2 + len(TARGET.attribute)) * len(TARGET.degradations)
    assert means["baseline", "blur"] == 26.0  # images 0, 1 and 2 at 25 dB and their number
    assert means["target", "blur"] == 30.0
    assert means["blur filters masked", "blur"] == pytest.approx(26 + 4 * (1 - 0.03 * 8))
    assert {means[network, "clean"] for network in quality["network"]} == {26.0}


def test_stacked_tables_keep_their_rows_and_lack_what_they_lacked():
    parts = {"b": pd.DataFrame({"x": [1, 2]}), "a": pd.DataFrame({"x": [3], "y": [4.0]})}
    table = stacked(parts, "name")
    assert table.columns.to_list() == ["name", "x", "y"]
    for name, part in parts.items():
        rows = pd.DataFrame(table[table["name"] == name]).reset_index(drop=True)
        pd.testing.assert_frame_equal(pd.DataFrame(rows, columns=part.columns), part)


def test_the_worst_degradation_says_how_well_the_integrals_close():
    worst = {"convergence_error": 0.05, "nodes": 24.0, "unconverged": 1.0}
    barriers = {"blur": 0.3, "noise": 0.1, "clean": 0.7}
    rest = {"improvement": {"blur": 0.4, "noise": 0.7}, "learning_error": {"blur": 0.2}}
    assert check_results(METADATA) == {**KINSHIP, **worst, "barrier": barriers, **rest}


def test_depths_are_means_over_the_filters():
    layers = Layers(("first", "middle", "last"), np.array([0, 0, 1, 2, 2]))
    values = {"blur": {"removed": 1.0}, "noise": {"removed": 0.9}}
    assert with_depths(values, layers, {"blur": np.array([0, 1]), "noise": np.array([0, 2, 4])}) == {
        "blur": {"removed": 1.0, "mean_depth": 0},
        "noise": {"removed": 0.9, "mean_depth": 0.5},
    }


def numbers(results: dict) -> list[str]:
    return to_table(results)["name"].tolist()


def test_the_headline_is_at_most_20_numbers_each_found_in_the_results():
    results = results_of()
    found = headline(results, "blind", "faig")
    assert list(found) == [
        "gain_db",
        "removed_by_masking",
        "removed_by_masking_at_random",
        "collateral_of_masking",
        "clean_db_lost_by_masking",
        "prediction_accuracy",
        "faig_convergence_error",
        "faig_barrier_db",
        "weights_correlation",
    ]
    assert len(numbers(found)) <= 20
    own = results["mask"]["blind"]["faig"]
    assert found["gain_db"] == {name: values["gain"] for name, values in gains(measured(0.03), BOOTSTRAP, 0).items()}
    assert found["removed_by_masking"] == {name: own[name]["removed"] for name in TARGET.attribute}
    assert found["collateral_of_masking"] == {name: own[name]["collateral"] for name in TARGET.attribute}
    assert found["removed_by_masking"]["blur"] == pytest.approx(0.24)
    assert found["removed_by_masking_at_random"]["blur"] == pytest.approx(0.03)
    assert found["clean_db_lost_by_masking"] == {"blur": 0, "noise": 0}
    assert set(found["prediction_accuracy"]) == {
        f"{name}_{among}" for name in ("overlap", "response") for among in ("attributed", "all")
    }
    assert (found["faig_convergence_error"], found["faig_barrier_db"]) == (0.05, 0.7)
    assert found["weights_correlation"] == 0.8


def test_the_headline_leaves_out_what_was_not_measured():
    found = headline(results_of(gain=0.1), "blind", "faig")
    assert found["gain_db"]["blur"] == pytest.approx(0.1)
    assert found["removed_by_masking"] == found["removed_by_masking_at_random"] == found["collateral_of_masking"] == {}
    assert to_results(to_table(found)).keys() >= {"gain_db", "faig_barrier_db"}
