"""Laws of the figures of the argument's stages."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from faig.figures.charts import kinship_chart, selectivity_chart, severity_chart

EFFECTS = {
    "blur": {"lost_db": {"blur": 2.0, "clean": -0.1, "noise": 0.5}, "lost_share": {"blur": 1.0, "noise": 0.1}},
    "noise": {"lost_db": {"blur": 0.0, "clean": 1.0, "noise": 4.0}, "lost_share": {"blur": 0.0, "noise": 0.8}},
}


def picture(path: Path) -> np.ndarray:
    image = cv2.imread(str(path))
    assert image is not None
    return image


def test_a_selectivity_matrix_is_darkest_where_all_is_lost_and_grey_where_there_is_no_share(tmp_path: Path):
    selectivity_chart(EFFECTS, tmp_path / "a.png")
    selectivity_chart(EFFECTS, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    colours, counts = np.unique(picture(tmp_path / "a.png").reshape(-1, 3), axis=0, return_counts=True)
    fields = colours[np.argsort(-counts)][:6]  # the background and five kinds of cell
    assert min(fields.sum(axis=1)) == pytest.approx(np.array([107, 48, 8]).sum(), abs=12)  # the darkest of Blues
    assert [1 for field in fields if np.ptp(field) == 0 and field[0] < 250]  # without a share: grey


def test_filters_of_degradations_that_are_not_varied_are_drawn_too(tmp_path: Path):
    rows = [
        {"degradation": "noise", "value": value, "image": image, "filters": filters, "response": value}
        for value in (0.1, 0.2, 0.3)
        for image in "ab"
        for filters in ("noise", "rain", "snow")
    ]
    severity_chart(pd.DataFrame(rows), tmp_path / "all.png")
    severity_chart(pd.DataFrame(rows[::3]), tmp_path / "own.png")
    assert not np.array_equal(picture(tmp_path / "all.png"), picture(tmp_path / "own.png"))


def test_kinship_is_drawn_for_every_layer_in_its_order(tmp_path: Path):
    def draw(names: list[str], heights: dict[str, float], related: float = 1.0) -> np.ndarray:
        by_layer = {name: heights[name] for name in sorted(heights)}  # files keep them by name
        values = {"related": related, "correlation": 0.8, "relative_distance": 0.6}
        values |= {"layer_correlation": by_layer, "layer_distance": by_layer}
        kinship_chart(values, names, tmp_path / "new/a.png")
        return picture(tmp_path / "new/a.png")

    two = draw(["first", "body"], {"first": 0.2, "body": 0.7})
    assert not np.array_equal(two, draw(["body", "first"], {"first": 0.2, "body": 0.7}))
    assert not np.array_equal(two, draw(["first", "body"], {"first": 0.7, "body": 0.2}))
    assert not np.array_equal(two, draw(["first", "body"], {"first": 0.2, "body": 0.7}, related=0.0))
    many = [f"body.{number}" for number in range(30)]
    assert draw(many, dict.fromkeys(many, 0.7)).shape[1] > two.shape[1]
