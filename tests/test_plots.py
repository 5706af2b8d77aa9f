"""What the figures promise: crisp pixels, equal bytes, settings left alone, clear errors."""

import itertools

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib import image as matplotlib_image
from matplotlib.figure import Figure

from faig.figures.plots import (
    COLOURS,
    CURVES,
    MAX_NAMES,
    colours_of,
    image_grid,
    label_of,
    layer_profile,
    name_layers,
    ratio_curves,
    width_of,
)


def picture(height, width, seed):
    return np.random.default_rng(seed).integers(0, 256, size=(height, width, 3), dtype=np.uint8)


def draw_grid(path):
    """Two rows of an LR input and two SR outputs, not square."""
    images = [[picture(20, 28, row), picture(40, 56, 10 + row), picture(40, 56, 20 + row)] for row in range(2)]
    captions = [["", "28.1 dB", "24.6 dB"], ["", "25.4 dB", "25.2 dB"]]
    titles = ["input", "target", "deblurring filters masked"]
    image_grid(images, ["blur", "noise"], titles, captions, path, column_groups=[("", 2), ("FAIG", 1)])
    return images


def ratio_table():
    keys = itertools.product(["faig", "random"], ["blur"], [0.001, 0.01, 0.1])
    table = pd.DataFrame(list(keys), columns=["method", "degradation", "ratio"])
    for quantity in CURVES:
        table[quantity] = table["ratio"] ** 0.5
        table[f"{quantity}_low"], table[f"{quantity}_high"] = table[quantity] - 0.1, table[quantity] + 0.1
    return table


def draw_ratios(path):
    ratio_curves(ratio_table(), path)


def draw_layers(path):
    layer_profile({"blur": [1, 5], "noise": [3, 3]}, [96, 1024], ["first", "body.0.conv1"], path)


FIGURES = {"grid": draw_grid, "ratios": draw_ratios, "layers": draw_layers}


@pytest.mark.parametrize("name", FIGURES)
def test_equal_bytes_whatever_the_users_settings(name, tmp_path):
    FIGURES[name](tmp_path / "a.png")
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "savefig.dpi": 33, "savefig.bbox": "tight"}):
        FIGURES[name](tmp_path / "new folder" / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "new folder" / "b.png").read_bytes()
    assert sorted(file.name for file in tmp_path.rglob("*.*")) == ["a.png", "b.png"]  # no temporary file is left


def test_the_users_settings_stay(tmp_path):
    before = dict(matplotlib.rcParams)
    draw_layers(tmp_path / "a.png")
    assert dict(matplotlib.rcParams) == before


def test_images_of_a_grid_are_repeated_pixels(tmp_path):
    """Each image is found again in the PNG, enlarged to 7 x 40 by 7 x 56 pixels exactly."""
    images = draw_grid(tmp_path / "grid.png")
    canvas = np.rint(matplotlib_image.imread(tmp_path / "grid.png")[..., :3] * 255).astype(np.uint8)
    for image in itertools.chain(*images):
        factor = 280 // image.shape[0]
        enlarged = image.repeat(factor, axis=0).repeat(factor, axis=1)
        assert contains(canvas, enlarged)


def contains(canvas, block):
    height, width = block.shape[:2]
    inside = canvas[: canvas.shape[0] - height + 1, : canvas.shape[1] - width + 1]
    corners = (inside == block[0, 0]).all(axis=-1)
    return any(np.array_equal(canvas[y : y + height, x : x + width], block) for y, x in np.argwhere(corners))


@pytest.mark.parametrize("left_out", ["removed|collateral", "collateral", "kept"])
def test_nothing_to_report_still_makes_a_figure(left_out, tmp_path):
    table = ratio_table()
    ratio_curves(table.drop(columns=table.filter(regex=left_out).columns), tmp_path / "a.png")
    ratio_curves(table, tmp_path / "b.png")
    assert len(matplotlib_image.imread(tmp_path / "a.png")) < len(matplotlib_image.imread(tmp_path / "b.png"))


def test_long_names_of_layers_take_nothing_from_the_charts_of_layers(tmp_path):
    for name in ("conv", "layers.0.residual_group.blocks.0.attn.qkv"):
        layer_profile({"blur": [1]}, [8], [name], tmp_path / f"{len(name)}.png")
    short, long = (len(matplotlib_image.imread(tmp_path / f"{length}.png")) for length in (4, 41))
    assert long - short == pytest.approx(0.06 * (41 - 16) * 200, abs=2)


def test_a_name_keeps_its_colour_and_unknown_names_get_others():
    colours = colours_of(["blur", "rain", "noise", "snow"])
    assert (colours["blur"], colours["noise"]) == (COLOURS["blur"], COLOURS["noise"])
    assert len({colours[name] for name in ("blur", "rain", "noise", "snow")}) == 4


def test_names_that_stand_side_by_side_differ_in_colour():
    for names in (
        ("clean", "blur", "noise", "blur_noise", "jpeg"),
        ("faig", "ig", "taylor", "weight_change", "weight_change_undivided", "random"),
        ("baseline", "blind", "blur", "noise"),
    ):
        assert len({COLOURS[name] for name in names}) == len(names)


def test_labels_are_for_readers():
    assert [label_of(name) for name in ("blur_noise", "faig")] == ["blur noise", "FAIG"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (ratio_table().drop(columns="ratio"), r"lacks the columns \['ratio'\]"),
        (ratio_table().head(0), "no rows"),
    ],
)
def test_unusable_tables_are_refused(table, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        ratio_curves(table, tmp_path / "chart.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("num_layers", "shown"), [(3, 3), (48, 48), (49, 25), (500, 46)])
def test_layers_are_named_as_far_as_they_can_be_read(num_layers: int, shown: int):
    layers = [f"body.{number}" for number in range(num_layers)]
    axes = Figure().subplots()
    name_layers(axes, layers)
    texts = [label.get_text() for label in axes.get_xticklabels()]
    places = axes.get_xticks().astype(int)
    assert texts == [layers[place] for place in places]
    assert (len(texts), places[0]) == (shown, 0)
    assert width_of(layers) <= width_of(layers[:MAX_NAMES])
