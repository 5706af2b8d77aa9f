"""Laws of the images that are shown: a table holds what networks restore, and a picture shows what the table holds."""

import numpy as np
import pandas as pd
import pytest

from faig.data.images import decode_image, encode_png
from faig.data.quality import psnr
from faig.data.tensors import to_image
from faig.experiments.modulation import modulate
from faig.experiments.score_table import Key
from faig.experiments.showing import show_masking, show_modulation
from faig.figures import pictures
from faig.figures.pictures import masking_picture, modulation_picture

FOUND = {"blur": np.array([3, 11, 40]), "noise": np.array([0, 7])}
RANDOM = [np.array([5, 6, 7]), np.array([20, 21, 22])]
CHOSEN = {Key("faig", name): filters for name, filters in FOUND.items()}
CHOSEN |= {Key("random", name, n): filters for name in FOUND for n, filters in enumerate(RANDOM)}
CHOSEN |= {Key("taylor", name): np.array([1]) for name in FOUND}


@pytest.fixture
def shown(images):
    return dict(zip(FOUND, images, strict=False))


def require_restored(table, row, column, sr, hr):
    """The image of a table is the network's output, of its PSNR."""
    [found] = table[(table["row"] == row) & (table["column"] == column)].to_dict("records")
    np.testing.assert_array_equal(decode_image(found["png"], "shown"), to_image(sr))
    assert found["psnr"] == psnr(sr, hr, 2).item()


def test_what_is_shown_of_masking(model, shown):
    table = show_masking(model, shown, CHOSEN, "faig")
    columns = ["input", "target", "faig/blur", "faig/noise", "random/0", "random/1"]
    assert table[["row", "column"]].to_numpy().tolist() == [[row, column] for row in shown for column in columns]
    weights = {"target": model.target, "faig/blur": model.masked(FOUND["blur"]), "random/1": model.masked(RANDOM[1])}
    for row, (lr, hr) in shown.items():
        for column, values in weights.items():
            require_restored(table, row, column, model.restore(values, lr).detach(), hr)
    inputs = [row for row in table.to_dict("records") if row["column"] == "input"]
    for row, (lr, _) in zip(inputs, shown.values(), strict=True):
        assert np.isnan(row["psnr"])
        np.testing.assert_array_equal(decode_image(row["png"], "input"), to_image(lr))


def test_one_random_draw_is_shown_beside_each_degradation(model, shown):
    one_draw = {key: filters for key, filters in CHOSEN.items() if key.replicate == 0}
    table = show_masking(model, shown, one_draw, "faig").set_index(["row", "column"])
    assert table.loc[("blur", "random/0"), "png"] == table.loc[("blur", "random/1"), "png"]


def test_what_is_shown_of_modulation(model, shown):
    table = show_modulation(model, shown, FOUND, [0.0, 0.5, 1.0])
    assert table[["row", "column"]].to_numpy().tolist() == [
        [row, column] for row in FOUND for column in ("input", "0", "0.5", "1")
    ]
    for row, (lr, hr) in shown.items():
        half = modulate(model.target, model.baseline, model.index, [(FOUND[row], 0.5)])
        for column, values in (("0", model.masked(FOUND[row])), ("0.5", half), ("1", model.target)):
            require_restored(table, row, column, model.restore(values, lr).detach(), hr)


def table_of(columns):
    """Two rows of random images; the input has no PSNR."""
    generator = np.random.default_rng(0)
    rows = [
        {"row": row, "column": column, "psnr": np.nan if column == "input" else 24.56, "image": image}
        for row in ("blur", "blur_noise")
        for column in columns
        for image in [generator.integers(256, size=(4, 4, 3), dtype=np.uint8)]
    ]
    return pd.DataFrame(rows).assign(png=lambda table: [encode_png(image, "shown") for image in table["image"]])


@pytest.fixture
def drawn(monkeypatch):
    """What the pictures give to :func:`image_grid`."""
    given = {}

    def image_grid(images, rows, columns, captions, path, *, column_groups):
        given.update(images=images, rows=rows, columns=columns, captions=captions, groups=column_groups)

    monkeypatch.setattr(pictures, "image_grid", image_grid)
    return given


def test_the_masking_picture_groups_faig_s_and_random_filters(drawn, tmp_path):
    table = table_of(["input", "target", "faig/blur", "faig/blur_noise", "random/0", "random/1"])
    masking_picture(table, tmp_path / "a.png")
    masked = ["blur filters masked", "blur noise filters masked"]
    assert drawn["columns"] == ["input", "target", *masked, "equally many masked", "equally many masked"]
    assert drawn["groups"] == [("", 2), ("FAIG", 2), ("random", 2)]
    assert drawn["rows"] == ["blur input", "blur noise input"]
    assert drawn["captions"] == [["", *["24.6 dB"] * 5]] * 2
    np.testing.assert_array_equal(np.concatenate(drawn["images"]), np.stack(table["image"].to_list()))


def test_without_random_filters_there_is_no_group_of_them(drawn, tmp_path):
    masking_picture(table_of(["input", "target", "faig/blur"]), tmp_path / "a.png")
    assert drawn["groups"] == [("", 2), ("FAIG", 1)]


def test_the_modulation_picture_names_the_lambdas(drawn, tmp_path):
    modulation_picture(table_of(["input", "0", "0.5", "1.5"]), tmp_path / "a.png")
    assert drawn["columns"] == ["input", r"$\lambda$ = 0", r"$\lambda$ = 0.5", r"$\lambda$ = 1.5"]
    assert drawn["groups"] == []


def test_pictures_are_drawn_with_equal_bytes(tmp_path):
    for name in "ab":
        masking_picture(table_of(["input", "faig/blur"]), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
