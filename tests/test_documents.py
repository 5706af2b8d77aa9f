"""The documents say what the files say that they are made from, and lead where they say."""

import io
import json
import re
import subprocess
import sys
import zipfile
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch
from conftest import ROOT, project_files
from markdown_it import MarkdownIt
from mdit_py_plugins.anchors import anchors_plugin

from faig.attribution.filters import FilterIndex
from faig.data.images import read_image, write_png
from faig.networks.plugins import extract, load_plugin, moving_weights, plug_in, save_plugin
from faig.networks.weights import load_network
from faig.report.numbers import write_numbers
from tools import dag, plugin_tables, runs
from tools.documents import OUTLINES, TABLES, made
from tools.tables import judged, read_json, read_yaml, render, share, table

MADE_FROM = [*OUTLINES, "tools", "params.yaml", "dvc.yaml", "argument", "metrics", "plots", "benchmarks", "published"]
DOCUMENTS = [
    path for path in project_files() if path.suffix == ".md" and path.relative_to(ROOT).parts[0] != "published"
]


def as_committed(folder: Path) -> Path:
    listed = subprocess.run(
        ["git", "ls-tree", "--name-only", "HEAD", *MADE_FROM, dag.PICTURE, plugin_tables.PICTURE],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    names = listed.stdout.decode().split()
    archive = subprocess.run(
        ["git", "archive", "--format=zip", "HEAD", *names], cwd=ROOT, capture_output=True, check=True
    ).stdout
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        files.extractall(folder)
    return folder


@pytest.mark.slow
def test_tables_and_picture_equal_the_files_that_they_come_from(tmp_path: Path):
    """As committed; before a commit, as in the working tree. A user's own run may differ from what is committed."""

    def outdated(root: Path) -> list[str]:
        if not all((root / name).is_file() for name in (*OUTLINES.values(), *OUTLINES)):  # one is new
            return ["not there"]
        return [name for name, text in made(root) if (root / name).read_text(encoding="utf-8") != text]

    committed = outdated(as_committed(tmp_path))
    assert not committed or not outdated(ROOT), f"run `python -m tools.documents`: {committed}"


def test_every_table_stands_in_one_document():
    texts = [(ROOT / outline).read_text(encoding="utf-8") for outline in OUTLINES.values()]
    found = Counter(name for text in texts for name in re.findall(r"<!-- (\w+) -->\n.*?<!-- end -->", text, re.DOTALL))
    assert found == dict.fromkeys(TABLES, 1)


def test_the_readme_is_short_and_begins_with_the_picture_and_the_two_commands():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 120
    beginning = "\n".join(lines[:30])
    assert all(
        shown in beginning for shown in ("](plots/masks/blind.png)", "\nmake repro", "\nmake test", "report/index.html")
    )


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_every_anchor_to_a_heading(path: Path):
    links, _ = links_and_anchors(path)
    for link in links:
        if not re.match(r"https?:", link):
            name, _, anchor = link.partition("#")
            to = (path.parent / name).resolve() if name else path
            assert to.exists(), link
            assert not anchor or anchor in links_and_anchors(to)[1], link


@cache
def links_and_anchors(path: Path) -> tuple[list[str], set[str]]:
    tokens = MarkdownIt("commonmark").enable("table").use(anchors_plugin, max_level=6).parse(path.read_text("utf-8"))
    inline = [child for token in tokens for child in token.children or []]
    links = [str(token.attrs[key]) for token in inline for key in ("href", "src") if key in token.attrs]
    return links, {str(token.attrs["id"]) for token in tokens if token.type == "heading_open"}


def test_every_page_is_in_the_index():
    listed, _ = links_and_anchors(ROOT / "docs/index.md")
    modules, _ = links_and_anchors(ROOT / "docs/api.md")
    pages = {str(path.relative_to(ROOT / "docs")) for path in DOCUMENTS if path.is_relative_to(ROOT / "docs")}
    assert pages - {"index.md"} <= {*listed, *modules}


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_takes_nothing_from_outside(tmp_path: Path):
    """Links to other sites are to be followed by a reader, not fetched by the page."""
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-c", "docs", "-d", tmp_path / "trees"]
    built = subprocess.run([*command, ".", tmp_path / "site"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    pages = [path for path in (tmp_path / "site").rglob("*") if path.suffix in {".html", ".css"}]
    assert {"index.html", "README.html", "docs/reference.html", "docs/api/attribution.engine.html"} <= {
        str(path.relative_to(tmp_path / "site")) for path in pages
    }
    fetched = r"""(?:\ssrc=|<link[^>]*\shref=|url\(|@import\s*)["']?(?:https?:)?//[^"')\s]+"""
    assert not [found for path in pages for found in re.findall(fetched, path.read_text(encoding="utf-8"))]
    engine = (tmp_path / "site/docs/api/attribution.engine.html").read_text("utf-8")
    assert 'id="faig.attribution.engine.attribute_images"' in engine
    assert not [path for path in pages if re.search("Annotated|AfterValidator", path.read_text("utf-8"))]


def test_the_picture_shows_each_stage_once_and_arrows_that_are_needed():
    graph = dag.stages_of(ROOT)
    assert nx.is_directed_acyclic_graph(graph)
    assert {"synthesize@<degradation>", "score@<target>", "claims"} <= set(graph)
    assert graph.has_edge("score@<target>", "mask")
    assert not graph.has_edge("finetune@<target>", "compare_branches")  # which needs the baseline alone
    boxes = dag.grouped(graph)
    lines = [name for box in boxes for name in box.split("\n")]
    assert sorted(lines) == sorted(graph)
    closure, around = nx.transitive_closure(graph), {name: box for box in boxes for name in box.split("\n")}
    assert nx.transitive_reduction(boxes).number_of_edges() == boxes.number_of_edges()
    assert all(nx.has_path(boxes, around[first], around[second]) for first, second in closure.edges)


def test_a_table_that_nothing_makes_and_one_that_stands_twice_are_refused():
    text = "<!-- a -->\n<!-- end -->\n"
    assert render(text, {"a": lambda root: "b", "c": str}, ROOT) == "<!-- a -->\nb\n<!-- end -->\n"
    for twice, tables in ((text, {}), (text + text, {"a": str})):
        with pytest.raises(ValueError, match="the document holds the tables"):
            render(twice, tables, ROOT)


@pytest.mark.slow
@pytest.mark.parametrize("kept", ["metrics/mission.parquet", "metrics", ""])
def test_a_run_of_some_stages_has_fewer_rows(tmp_path: Path, kept: str):
    """Every table is made of what there is: the mission's numbers alone, all numbers, or all of a run."""
    committed, folder = as_committed(tmp_path / "all"), tmp_path / "all/published/net/runs/set"
    for name in ("params.yaml", kept) if kept else ("params.yaml", "metrics", "plots"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (committed / name).rename(folder / name)
    computed_with = {key: {"device": "cpu", "precision": "fp32"} for key in ("train_baseline", "finetune")}
    (folder / "run.json").write_text(json.dumps({"cores": 2, "computed_with": computed_with}))
    (folder / "timings.csv").write_text("stage,seconds,peak_memory_mib\nfinetune@blind,120.0,2048\n")
    rows = {name: make(committed).count("\n| net") for name, make in runs.TABLES.items() if name != "answer"}
    assert rows["training"] == 1
    tuned = runs.params(folder)["finetune"]
    size = f"{tuned['iterations']} of {tuned['batch_size']} x {tuned['patch_size']}²"
    assert f"{size}, 2 min |" in runs.training(committed)
    assert "| 2 cores, fp32 |" in runs.training(committed)
    assert "| finetune@blind | 120 s, 2.0 GiB |" in runs.stages(committed)
    assert rows["gains"] == 4
    assert rows["summary"] >= 2
    assert (rows["retraining"], rows["branches"]) == ((0, 0) if kept == "metrics/mission.parquet" else (7, 1))
    assert rows["order"] == (0 if kept else 2)


def test_gains_too_small_for_shares_are_left_out(tmp_path: Path):
    folder = tmp_path / "published/net/runs/set"
    (folder / "plots").mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    head = "network,method,degradation,ratio,removed,removed_low,removed_high,collateral"
    rows = ["faig,blur,0.01,0.5,0.4,0.6,0.1", "faig,noise,0.01,,,,", "ig,blur,0.01,0.25,0.2,0.3,"]
    (folder / "plots/removed.csv").write_text("\n".join([head, *(f"blind,{row}" for row in rows)]))
    assert runs.order(tmp_path).endswith(
        "| net, set | deblurring | FAIG 50 %; IG 25 % | 1 % |\n| net, set | denoising |  | none |"
    )
    assert "| denoising | FAIG |  | - |" in runs.masking(tmp_path)


def test_a_network_without_curves_has_its_gains_alone(tmp_path: Path):
    folder = tmp_path / "published/net/runs/set"
    write_numbers(
        folder / "metrics/mission.parquet", {"finetune": {"blind": {"blur": {"gain": 1.0}, "noise": {"gain": 2}}}}
    )
    (folder / "run.json").write_text("{}")
    (folder / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    assert runs.networks(tmp_path).endswith(" | 1.0 dB, 2.0 dB | -, - | -, - |")


def test_methods_stand_beside_the_best_found_where_it_was_measured(tmp_path: Path):
    """One run with the numbers, of blur alone, and one that was published before there were any."""
    best = {"0.01": {"removed": 1.0, "collateral": 0.0, "net": 1.0}, "smallest_ratio": 0.03}
    own = {"faig": {"0.01": {"share_of_best_found": 0.8}, "area_of_removed": 0.5}, "best_found": best}
    for name, results in (("new", {"yardstick": {"blind": {"blur": own}}}), ("old", {"finetune": {}})):
        folder = tmp_path / f"published/net/runs/{name}"
        folder.mkdir(parents=True)
        (folder / "run.json").write_text("{}")
        write_numbers(folder / "metrics/mission.parquet", results)
    assert runs.yardstick(tmp_path).splitlines()[2:] == [
        "| net, new | deblurring | best found |  |  |  | 100 % | 3 % |",
        "| net, new | deblurring | FAIG | 50 % |  |  | 80 % | none |",
    ]
    (tmp_path / "published/net/runs/new/run.json").unlink()
    assert runs.yardstick(tmp_path) == "*Not measured in a published run.*"


def test_shares_are_rounded_to_percent_and_what_is_left_out_is_empty():
    values = {"removed": 0.956, "removed_low": -0.001, "removed_high": 0.97}
    assert share(values, "removed") == "96 %"
    assert share(values, "removed", low=True) == "96 % (0 to 97)"
    assert share({}, "removed") == share({"removed": float("nan")}, "removed") == ""
    assert table(("a", "b"), []) == "*Not measured in a published run.*"
    assert table(("a", "b"), [("1", "2")]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_a_verdict_comes_with_value_interval_and_threshold():
    """As in the table of claims, where what was not measured is empty."""
    claim = {"asked": "at most", "value": -0.001, "low": -0.4, "high": 0.1, "threshold": 0.25, "verdict": "holds"}
    assert judged(claim) == ("0.00 (-0.40 to 0.10)", "at most 0.25", "holds")
    empty = dict.fromkeys(("value", "low", "high", "threshold"), float("nan"))
    exact = {**empty, "asked": "at least", "value": 1.0, "threshold": 2.0, "verdict": "fails"}
    assert judged(exact) == ("1.00", "at least 2.00", "fails")
    assert judged({**empty, "asked": "at least", "verdict": "not measured"}) == ("", "", "not measured")


def measured_of(name: str) -> dict[str, Any]:
    """Scale and network that a preset asks for."""
    if name == "default":
        params = read_yaml(ROOT / "params.yaml")
        return {"scale": params["scale"], "network": params["network"]}
    preset = read_yaml(ROOT / f"presets/{name}.yaml")
    base = measured_of(preset.get("extends", "default"))
    return {"scale": preset.get("scale", base["scale"]), "network": base["network"] | preset.get("network", {})}


def test_measured_presets_are_the_presets_as_they_are():
    for name, values in read_json(ROOT / "benchmarks/studies/results/presets.json")["presets"].items():
        asked = measured_of(name)
        assert values["scale"] == asked["scale"], name
        for key in ("name", "width", "depth"):
            assert values["network"][key] == asked["network"][key], name


def examples_of(document: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(encoding="utf-8"), re.DOTALL)


def test_the_examples_in_python_run_one_after_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    examples = examples_of("docs/python.md")
    assert len(examples) == 5
    monkeypatch.chdir(tmp_path)
    Path("published").symlink_to(ROOT / "published")
    write_png(Path("photograph.png"), np.random.default_rng(0).integers(0, 256, (16, 12, 3), dtype=np.uint8))
    names: dict[str, Any] = {}
    exec("\n".join(examples), names)
    assert names["result"].scores.shape == (1, names["index"].num_filters)
    assert names["learned"].scores.shape == (names["index"].num_filters,)
    baseline, half, plugin = names["baseline"], names["half"], load_plugin(Path("blur.safetensors"))
    moved = {name for name, value in half.items() if not torch.equal(value, baseline[name])}
    assert moved == FilterIndex.of(names["network"]).places(plugin.filters, baseline).keys()
    assert all(torch.equal(names["network"].state_dict()[name], value) for name, value in half.items())
    restored, masked = (read_image(Path(f"{name}.png")) for name in ("restored", "still_blurred"))
    assert restored.shape == masked.shape == (32, 24, 3)
    assert (restored != masked).any()


def test_a_plugin_is_used_as_documented_and_read_without_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    by_project, by_hand = examples_of("docs/plugins.md")
    monkeypatch.chdir(tmp_path)
    weights = ROOT / "published/srresnet_32x8_bicubic/weights"
    Path("baseline.safetensors").symlink_to(weights / "baseline.safetensors")
    network, target = (load_network(weights / f"{name}.safetensors")[0] for name in ("baseline", "blind"))
    index, generator = FilterIndex.of(network), np.random.default_rng(0)
    chosen = np.split(generator.permutation(index.num_filters)[:400], 2)
    for name, filters in zip(("blur", "noise"), chosen, strict=True):
        made = extract(moving_weights(target), moving_weights(network), index, filters)
        save_plugin(Path(f"{name}.safetensors"), made)
    names: dict[str, Any] = {}
    exec(by_project, names)
    alone = plug_in(names["baseline"], index, [(names["noise"], 0.5)])
    assert all(torch.equal(value, alone[name]) for name, value in names["without_blur"].items())
    exec(by_hand, names)
    expected = plug_in(names["baseline"], index, [(names["blur"], 1.0)])
    assert names["weights"].keys() == expected.keys()
    assert all(np.array_equal(value, expected[name].numpy()) for name, value in names["weights"].items())
