"""Tables and figure of the study of plug-ins, from results whose answers are known."""

import json
from pathlib import Path
from typing import Any

import pytest

from tools.plugin_tables import alone, effect, picture, sizes, together, words

BASE = [20.0, 22.0, 27.0]


def run(way: str, degradation: str, gain: float, size: int, seed: int = 0) -> dict[str, Any]:
    psnr = {degradation: [value + gain for value in BASE], "clean": [value - 0.5 for value in BASE]}
    return {"way": way, "degradation": degradation, "seed": seed, "bytes": size, "psnr": psnr}


def network() -> dict[str, Any]:
    both = {
        label: {on: [value + gain for value in BASE] for on in ("blur", "noise", "blur_noise", "clean")}
        for label, gain in (("blur alone", 2.0), ("noise alone", 4.0), ("together", 1.0))
    }
    runs = [run(way, name, gain, size) for name in ("blur", "noise") for way, gain, size in (("full", 4, 9000),)]
    runs += [run("learned 1 %", name, 3, 90) for name in ("blur", "noise")] + [run("learned 1 %", "blur", 1, 110, 1)]
    return {
        "filters": 250,
        "baseline": dict.fromkeys(("blur", "noise", "blur_noise", "clean"), BASE),
        "alone": runs,
        "both": [{"way": "learned 1 %", "seed": 0, "psnr": both}],
        "joint": [{"way": "learned 1 %", "seed": 0, "psnr": {"jointly": both["blur alone"]}}],
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "benchmarks/studies/results/plugins.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"networks": {"tiny": network(), "with rates alone": {"rates": {}}}}))
    return tmp_path


def test_what_is_recovered_is_the_mean_over_seeds_beside_the_whole_network() -> None:
    found = effect(network(), "learned 1 %", "blur")
    assert found["gain"] == pytest.approx(2)
    assert found["recovered"] == pytest.approx(0.5)
    assert (found["recovered_low"], found["recovered_high"]) == pytest.approx((0.25, 0.75))  # over the two seeds
    assert found["clean"] == pytest.approx(-0.5)
    assert effect(network(), "learned 3 %", "blur") == {}


def test_sizes_rise_and_count_seeds() -> None:
    assert list(sizes(network()).items()) == [("learned 1 %", (pytest.approx(290 / 3), 2)), ("full", (9000, 1))]


def test_the_tables_say_what_was_found(root: Path) -> None:
    text = alone(root)
    assert "tiny, 250 filters:" in text
    assert (
        "| learned masks: 1 % | 0.1 kB | 93 | 2 | +2.00 | 50 % (25 to 75) | -0.50 | +3.00 | 75 % (75 to 75) |" in text
    )
    assert "rates" not in text
    kept = together(root)
    assert "| both of these together | +1.00 | +1.00 | +1.00 | +1.00 | 50 % | 25 % |" in kept
    assert "| trained on both at once | +2.00 | +2.00 | +2.00 | +2.00 | 100 % | 50 % |" in kept
    assert "| trained on blur, alone | +2.00 | +2.00 | +2.00 | +2.00 |  |  |" in kept


def test_what_was_trained_on_one_degradation_alone_is_shown_for_it_alone() -> None:
    own = network()
    own["alone"] = [each for each in own["alone"] if each["degradation"] == "blur" or each["way"] == "full"]
    assert effect(own, "learned 1 %", "noise") == {}


def test_without_results_the_tables_say_so(tmp_path: Path) -> None:
    assert "Not measured" in alone(tmp_path)
    assert "Not measured" in together(tmp_path)


def test_the_figure_has_a_panel_per_network_and_degradation_and_equal_bytes(root: Path) -> None:
    drawn = picture(root)
    assert drawn == picture(root)
    for text in ("tiny, blur", "tiny, noise", "learned masks", "the whole network", "size of what was trained"):
        assert text in drawn


def test_every_way_has_words() -> None:
    assert words("learned 1 %") == "learned masks: 1 %"
    assert words("rank 4") == "low rank: 4"
    assert words("learned 1 %, selective") == "learned masks: 1 %, selective"
    assert words("full, 4 times as long") == "the whole network, 4 times as long"
    assert words("biases") == "all biases"
