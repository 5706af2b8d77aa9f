"""What ``dvc plots`` shows: baseline and targets in one figure, whatever the preset; and without a network."""

import json
import os
import re
import shutil
import sys
from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from browser import browser, watched_page
from click.testing import CliRunner
from conftest import CPU, ROOT, TINY
from dvc_render.vega_templates import TEMPLATES
from playwright.sync_api import Browser
from project import IDENTITY, Project, commit

from faig.base.params import load_params, read_params
from faig.base.processes import ALONE
from faig.data.pairs import Pair
from faig.networks.models import build_network
from faig.networks.training import TrainingParams
from stages.shared import fitting
from stages.shared.fitting import LIVE, fit_or_load, show_live
from tools import plots_page
from tools.preset import apply_preset, preset_names, read_preset

__all__ = ["browser"]  # a fixture
PARTS = (".gitignore", ".dvcignore", ".dvc/config", ".dvc/.gitignore", ".dvc/plots", "params.yaml", "plots", "live")
FILES = ("dvc.yaml", "argument/dvc.yaml")
FIGURES = {name: entry for file in FILES for each in read_params(ROOT / file)["plots"] for name, entry in each.items()}
TABLES = {name: figure for name, figure in FIGURES.items() if isinstance(figure["y"], dict)}
"""Figures of one table; the other is of a folder."""
CURVE = [
    {"iteration": 10 * point, "learning_rate": 1e-3, "train_loss": 1 / point, "validation_psnr": 20.0 + point}
    for point in range(1, 5)
]


def table_of(figure: dict[str, Any]) -> tuple[Path, str]:
    """The file of a figure, relative to the project's folder, and the column that is drawn."""
    [(path, column)] = figure["y"].items()
    return Path(path.removeprefix("../")), column


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """The committed results under git, with all that DVC reads to draw them."""
    for name in (*PARTS, *FILES):
        (tmp_path / "clone" / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / "clone" / name)
        else:
            shutil.copy(ROOT / name, tmp_path / "clone" / name)
    for left in (tmp_path / "clone/live").glob("*/"):  # by a training that runs here
        shutil.rmtree(left)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("GIT_", "DVC_"))}
    made = Project(tmp_path / "clone", {**kept, **IDENTITY, "DVC_SITE_CACHE_DIR": str(tmp_path / "site")})
    made.run("git", "init", "-q")
    commit(made)
    return made


def drawn(project: Project, *command: str) -> dict[str, list[dict[str, Any]]]:
    """What ``dvc plots`` draws, by name; a warning beside it would be no JSON."""
    found = json.loads(project.run(sys.executable, "-m", "dvc", "plots", *command, "--json"))
    assert found.keys() == {"data"}
    return found["data"]


def rows_of(figure: list[dict[str, Any]]) -> list[dict[str, str]]:
    [only] = figure
    return only["content"]["data"]["values"]


# What is declared


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_has_a_template_a_title_and_labels(name: str):
    figure = FIGURES[name]
    assert (ROOT / f".dvc/plots/{figure['template']}.json").is_file()
    assert {"x", "y", "y_label"} <= figure.keys()
    assert "title" in figure or name == "live"  # where the title is the file's path, which names the network


@pytest.mark.parametrize("name", TABLES)
def test_a_figure_s_columns_are_in_its_table(name: str):
    path, column = table_of(TABLES[name])
    assert {column, TABLES[name]["x"]} <= set(pd.read_csv(ROOT / path, nrows=1).columns)


@pytest.mark.parametrize("path", sorted((ROOT / ".dvc/plots").glob("*.json")), ids=lambda path: path.stem)
def test_a_template_names_columns_that_its_tables_have(path: Path):
    text = path.read_text(encoding="utf-8")
    assert path.stem not in {template.DEFAULT_NAME for template in TEMPLATES}  # those of DVC stay what they are
    assert {"<DVC_METRIC_DATA>", "<DVC_METRIC_TITLE>", "<DVC_METRIC_X_LABEL>"} <= set(re.findall("<[A-Z_]+>", text))
    named = set(re.findall(r'"field": "(\w+)"', text)) - set(re.findall(r'"as": "(\w+)"', text)) - {"rev"}
    for figure in TABLES.values():
        if figure["template"] == path.stem:
            assert named <= set(pd.read_csv(ROOT / table_of(figure)[0], nrows=1).columns)


# What DVC draws


@pytest.mark.slow
def test_baseline_and_targets_are_in_one_figure_and_pictures_beside_them(project: Project):
    found = drawn(project, "show")
    assert {name for name, figure in found.items() if figure[0]["type"] == "vega"} == TABLES.keys()
    targets = read_params(ROOT / "params.yaml")["targets"]
    assert {row["network"] for row in rows_of(found["training"])} == {"baseline", *targets}
    assert {row["network"] for row in rows_of(found["removed"])} == set(targets)
    assert {row["network"] for row in rows_of(found["quality"])} >= {"baseline", "target", "blur filters masked"}
    assert {row["predictor"] for row in rows_of(found["confusion"])} == {"overlap", "response"}
    pictures = {str(path.relative_to(project.folder)) for path in (project.folder / "plots").rglob("*.png")}
    assert {name for name, figure in found.items() if figure[0]["type"] == "image"} == pictures


@pytest.mark.slow
def test_two_revisions_are_in_one_figure(project: Project):
    for figure in TABLES.values():
        path, _ = table_of(figure)
        text = (project.folder / path).read_text(encoding="utf-8")
        (project.folder / path).write_text(text + text.splitlines()[-1] + "\n", encoding="utf-8")
    commit(project)
    found = drawn(project, "diff", "HEAD~1", "HEAD")
    for name in TABLES:
        assert {row["rev"] for row in rows_of(found[name])} == {"HEAD~1", "HEAD"}
    assert [picture["revisions"] for picture in found["plots/masks/blind.png"]] == [["HEAD~1"], ["HEAD"]]
    split = drawn(project, "diff", "HEAD~1", "HEAD", "--split")  # as DVC's VS Code extension asks
    assert split.keys() == found.keys()


@pytest.mark.slow
def test_no_preset_breaks_the_figures(project: Project):
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    for name in (name for name in preset_names() if {"targets", "main_target"} & read_preset(name).keys()):
        (project.folder / "params.yaml").write_text(apply_preset(name, text)[0], encoding="utf-8")
        assert drawn(project, "show").keys() >= TABLES.keys(), name


# A running training


@pytest.fixture
def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return LIVE / "blind/training.csv"


def test_a_live_curve_is_the_curve_so_far_and_no_point_is_there_twice(live: Path):
    for told in (CURVE[:1], CURVE[:3], CURVE[:2], CURVE):  # the third: killed, and gone on from a checkpoint
        show_live("blind", told)
        expected = pd.DataFrame(told).assign(network="blind")
        pd.testing.assert_frame_equal(pd.read_csv(live), expected, check_like=True, check_dtype=False, rtol=1e-5)
    assert list(live.parent.iterdir()) == [live]


def test_a_stage_s_live_curve_is_the_curve_that_it_returns(live: Path, monkeypatch: pytest.MonkeyPatch):
    """And it goes once all is well, with the checkpoint."""
    shutil.copy(ROOT / "params.yaml", ".")
    Path("published/none").mkdir(parents=True)
    gone: list[Path | None] = []
    monkeypatch.setattr(fitting, "delete_afterwards", gone.append)
    values = load_params("finetune", TrainingParams)
    params = replace(values, iterations=7, batch_size=2, patch_size=16, log_every=2, checkpoint_every=4)
    pair = Pair("a", "clean", np.zeros((32, 32, 3), np.uint8), np.zeros((16, 16, 3), np.uint8))
    pairs, start = ([pair], [pair]), lambda *_: (build_network(TINY, seed=1), TINY)
    _, _, curve = fit_or_load("blind", ("finetune", "blind"), start, pairs, {"clean": 1.0}, params, CPU, ALONE)
    assert curve["iteration"].to_list() == [2, 4, 6, 7]
    shown = pd.read_csv(live)
    assert set(shown.pop("network")) == {"blind"}
    pd.testing.assert_frame_equal(shown, curve, check_dtype=False, rtol=1e-5)
    assert gone[1] == live.parent


def test_nothing_of_an_earlier_run_is_left_once_another_starts(live: Path):
    show_live("blind", CURVE)
    show_live("blind", [])
    assert not live.exists()
    show_live("only_blur", CURVE[:1])
    assert not live.exists()


def test_a_folder_that_cannot_be_written_to_stops_no_training(live: Path):
    LIVE.write_text("no folder")
    show_live("blind", CURVE)


@pytest.mark.slow
def test_dvc_draws_a_training_that_has_not_ended(project: Project, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fitting, "LIVE", project.folder / "live")
    show_live("blind", CURVE[:2])
    assert [row["iteration"] for row in rows_of(drawn(project, "show")["live/blind/training.csv"])] == ["10", "20"]
    show_live("blind", CURVE)
    assert len(rows_of(drawn(project, "diff", "HEAD")["live/blind/training.csv"])) == len(CURVE)
    assert project.run("git", "status", "--porcelain") == ""


# Pages without a network


def write_page(project: Project) -> None:
    with chdir(project.folder):
        result = CliRunner().invoke(plots_page.main)
    assert result.exit_code == 0, result.output


@pytest.mark.slow
def test_pages_open_without_a_network(project: Project, browser: Browser):
    write_page(project)
    project.run(sys.executable, "-m", "dvc", "plots", "show")
    assert project.run("git", "status", "--porcelain") == ""
    with watched_page(browser) as page:
        page.goto((project.folder / "dvc_plots/index.html").as_uri())
        page.wait_for_function(f"document.querySelectorAll('svg.marks').length === {len(TABLES)}")
        shown = "\n".join(figure.text_content() or "" for figure in page.query_selector_all(".vega-embed"))
        for figure in TABLES.values():
            for text in (figure["title"].split("$")[0], figure.get("x_label", figure["x"]), figure["y_label"]):
                assert text in shown
        assert all(name in shown for name in ("baseline", "only_blur: blur", "noise filters masked", "response"))
        widths = [picture.evaluate("element => element.naturalWidth") for picture in page.query_selector_all("img")]
        assert len(widths) == len(list((project.folder / "plots").rglob("*.png")))
        assert all(widths)


@pytest.mark.slow
def test_a_template_of_one_s_own_stays(project: Project):
    project.run(sys.executable, "-m", "dvc", "config", "plots.html_template", "mine.html")
    write_page(project)
    assert project.run(sys.executable, "-m", "dvc", "config", "plots.html_template").strip() == "mine.html"
