"""Laws of the report's page: what it says, links to and escapes; what it does without; equal bytes."""

import json
import re
from dataclasses import replace
from html import unescape
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from conftest import ROOT
from page_run import CLAIMS, CLASSES, IMAGES, RUN, make_run, page_of, picture, results, with_ends, write_predictions

from faig.base.errors import InputError
from faig.data.images import encode_png, write_png
from faig.page.answer import answer, question
from faig.page.images import PICTURE_BYTES
from faig.page.run import MAKERS
from faig.page.sections import claims, timings
from faig.page.values import Number, Numbers, listed, numbers_of, written
from faig.report.claims import ClaimParams
from faig.report.numbers import to_table, write_numbers
from stages.report import main

SECTIONS = ("picture", "compare", "dials", "layers", "curves", "quality", "predictor", "claims", "argument", "made")
MOST_OF_BLUR = "mask/blind/faig/blur/removed"
HOSTILE = "<img src=x onerror=alert(1)></script><script>alert(2)</script>"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Path | None]]:
    folder = tmp_path_factory.mktemp("run")
    return folder, make_run(folder)


@pytest.fixture(scope="module")
def page(made: tuple[Path, dict[str, Path | None]]) -> str:
    return page_of(*made)


def text_of(page: str) -> str:
    """What a reader sees: without scripts, styles and tags, spaces made one."""
    bare = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", re.sub("</t[dh]>", " ", bare)))


def section(page: str, name: str) -> str:
    [found] = re.findall(rf'<section id="{name}".*?</section>', page, flags=re.DOTALL)
    return text_of(found)


def numbers(gain: float = 4.0) -> Numbers:
    return numbers_of(to_table(results(gain)), "m.parquet")


def sentence(**options: object) -> tuple[str, str]:
    run = replace(RUN, **options)  # pyright: ignore
    found = answer(numbers(), run, 1000, {"params": "p", "table": "s"})
    parts = (f"{part.text} {part.interval}".strip() if isinstance(part, Number) else part for part in found["sentence"])
    return found["short"], "".join(map(str, parts))


# Numbers


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (0.874, "share", "87"),
        (-0.004, "share", "0"),
        (-0.59, "share", "\N{MINUS SIGN}59"),
        (0.001, "few", "0.1"),
        (0.03, "few", "3"),
        (2.857, "dB", "2.86"),
        (2.857, "gain", "+2.86"),
        (-1.55, "gain", "\N{MINUS SIGN}1.55"),
        (13504.0, "count", "13,504"),
    ],
)
def test_a_number_is_written_by_its_kind(value: float, kind: str, text: str):
    assert written(value, kind) == text  # pyright: ignore


def test_a_list_of_words_is_a_phrase():
    assert [listed(words) for words in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]


def test_every_number_of_the_tables_links_to_its_file_and_shows_its_interval(page: str):
    shown = re.findall(
        r'<span class="number"><a href="([^"]*)" title="([^"]*)">([^<]*)</a>( <span[^>]*>([^<]*))?', page
    )
    assert len(shown) > 50
    table = to_table(results())
    has_interval = dict(zip(table["name"], table["low"].notna(), strict=True))
    found = 0
    for href, name, _, _, interval in shown:
        assert href
        assert name
        if name in has_interval:
            found += 1
            assert href == "../metrics/mission.parquet"
            assert bool(interval) == has_interval[name]
    assert found > 40


# The answer


def test_the_question_names_the_run_s_degradations():
    asked = "Which few filters of this network remove blur, which remove noise, and is that true?"
    assert question(["blur", "noise"]) == asked
    assert question(["jpeg"]) == "Which few filters of this network remove jpeg, and is that true?"


def test_the_answer_is_one_sentence_of_the_numbers():
    short, text = sentence()
    assert short == "Yes for blur and noise."
    assert text.replace("\N{NO-BREAK SPACE}", " ") == (
        "Masking the 3 % of its filters (30 of 1,000) found by FAIG for blur takes away 90 % (85 to 95) of what the "
        "network gained on blur and 10 % (5 to 15) of its gain on noise; masking those found for noise takes away 90 % "
        "(85 to 95) of what the network gained on noise and 10 % (5 to 15) of its gain on blur; masking as many at "
        "random takes away 9 % (4 to 14) of the gain on blur and 9 % (4 to 14) of that on noise."
    )


def test_one_degradation_has_an_answer():
    short, text = sentence(attributed=("noise",))
    assert short == "Yes for noise."
    assert text.count("takes away") == 2


def verdict(**odd: tuple[float, float, float] | None) -> str:
    """The answer's verdict where numbers of the blur filters are others, or None: not there."""
    found = numbers()
    rows = dict(found.rows)
    for name, row in odd.items():
        place = "mask/blind/random/blur/removed" if name == "random" else f"mask/blind/faig/blur/{name}"
        rows.pop(place)
        rows |= {place: row} if row else {}
    run = replace(RUN, attributed=("blur",))
    return answer(replace(found, rows=rows), run, 1000, {"params": "p", "table": "s"})["short"]


def test_a_verdict_needs_whole_intervals():
    assert verdict() == "Yes for blur."
    assert verdict(removed=(0.52, 0.48, 0.6)) == "Not clearly for blur."
    assert verdict(removed=(0.4, 0.3, 0.49)) == "No for blur."
    assert verdict(selectivity=(0.1, -0.1, 0.2)) == "Not clearly for blur."
    assert verdict(selectivity=(-0.2, -0.3, -0.1)) == "No for blur."
    assert verdict(random=(0.8, 0.7, 0.86)) == "Not clearly for blur."
    assert verdict(random=(0.97, 0.96, 0.99)) == "No for blur."


def test_beside_random_filters_more_than_the_whole_gain_counts_as_the_whole():
    """Filters that break the network take away more than those that take away what it gained."""
    assert verdict(removed=(1.3, 1.1, 1.5), random=(4.0, 3.0, 5.0)) == "Not clearly for blur."
    assert verdict(removed=(1.3, 1.1, 1.5), random=(0.5, 0.4, 0.6)) == "Yes for blur."
    rows = {**numbers().rows, "mask/blind/random/blur/removed": (4.0, 3.0, 5.0)}
    broken = answer(replace(numbers(), rows=rows), RUN, 1000, {"params": "p", "table": "s"})["sentence"]
    assert "costs clean inputs" in "".join(map(str, broken))
    assert "costs clean inputs" not in sentence()[1]


def test_without_a_control_or_an_interval_the_run_cannot_tell():
    assert verdict(random=None) == "This run cannot tell for blur, of which it lacks a number."
    alone = verdict(removed=(0.9, 0.9, 0.9))
    assert alone == "This run cannot tell for blur, since one test image has no interval."


def test_an_answer_says_what_the_filters_keep_by_themselves():
    kept = answer(numbers(), RUN, 1000, {"params": "p", "table": "s"})["kept"]
    assert [part.value for part in kept if isinstance(part, Number)] == [0.3, 0.3]
    assert answer(numbers(), replace(RUN, ratio=0.02), 1000, {"params": "p", "table": "s"})["kept"] == []


def test_where_the_gain_on_one_is_small_the_answer_still_tells_what_its_filters_do_to_the_other():
    rows = dict(numbers().rows)
    for name in ("removed", "collateral", "selectivity", "lost_share/blur"):
        del rows[f"mask/blind/faig/blur/{name}"]
    found = answer(replace(numbers(), rows=rows), RUN, 1000, {"params": "p", "table": "s"})
    text = "".join(part.text if isinstance(part, Number) else str(part) for part in found["sentence"])
    assert "is too small to take a share of, and takes away 10 % of its gain on noise;" in text.replace(
        "\N{NO-BREAK SPACE}", " "
    )
    assert found["short"] == "Yes for noise; this run cannot tell for blur, on which the network gained too little."


@pytest.mark.parametrize("attributed", [("blur", "noise"), ("blur", "rain")])
def test_without_a_gain_the_answer_gives_decibels_or_says_that_there_are_none(attributed: tuple[str, ...]):
    run = replace(RUN, attributed=attributed)
    found = answer(numbers(gain=0.2), run, None, {"params": "p", "table": "s"})
    assert found["short"].startswith("This run cannot tell")
    texts = [part.text for part in found["sentence"] if isinstance(part, Number)]
    assert not any(text.endswith("%") for text in texts[1:])
    assert ("rain was not measured" in "".join(map(str, found["sentence"]))) == ("rain" in attributed)


# The page


def test_equal_inputs_give_equal_bytes(made: tuple[Path, dict[str, Path | None]], page: str):
    assert page_of(*made) == page


def test_a_page_asks_for_nothing(page: str):
    policy = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert len(policy) == 1
    assert policy[0].startswith("default-src 'none'; img-src data: blob:;")
    bare = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.DOTALL)
    assert all(source.startswith("data:image/png") for source in re.findall(r'\bsrc="([^"]*)', bare))
    assert not re.search(r"<(link|iframe|object|embed)\b|@import|url\((?!data:)", bare)


def test_each_image_is_in_the_page_once(page: str):
    sources = re.findall(r'<img id="picture-[^>]*src="([^"]*)"', page)
    assert len(sources) == 12
    assert all(page.count(source) == sources.count(source) for source in sources)


def test_headings_are_in_order(page: str):
    levels = [int(level) for level in re.findall(r"<h([1-6])\b", re.sub(r"<script.*?</script>", "", page, flags=re.S))]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_every_section_has_something_to_show(page: str):
    assert re.findall(r'<section id="([\w-]+)"', page) == list(SECTIONS)
    missing = {name for name in SECTIONS if "Not measured in this run" in section(page, name)}
    assert missing == {"argument"}


def test_the_page_s_own_time_is_not_in_it(page: str):
    assert "2.5" in section(page, "made")
    assert "9.9" not in section(page, "made")


def test_claims_are_judged_or_said_to_be_missing(page: str):
    shown = section(page, "claims")
    assert re.search(r"blur goes ✓ holds 90 % \(85 to 95\) at least 50 % before the first run", shown)
    assert re.search(r"noise stays ✗ fails 10 % \(5 to 15\) at most 5 % after the first run", shown)
    assert "1 claim that this run did not measure" in shown
    assert "make argument" in shown
    assert re.search(r"dials turn . not measured", shown)


def test_a_claim_s_threshold_may_be_a_number_of_the_argument_which_is_then_missing():
    asked = {
        "less": ClaimParams(says="less", metric="mask/blind/random/blur/removed", at_most=MOST_OF_BLUR, set="before"),
        "more": ClaimParams(
            says="more", metric=MOST_OF_BLUR, at_least="compare_predictors/trivial/accuracy_all", set="before"
        ),
    }
    found = claims(asked, numbers(), None, "claims.yaml")
    assert found["sentence"] == ["This run can judge 1 claim: 1 holds."]
    assert (found["judged"][0]["threshold"].name, found["judged"][0]["threshold"].href) == (MOST_OF_BLUR, "m.parquet")
    assert found["judged"][0]["threshold"].interval == "(85 to 95)"
    assert [row["of_mission"] for row in found["others"]] == [False]


def test_verdicts_are_counted_in_a_sentence():
    bounds = {"at least 80 %": 0.8, "at least 88 %": 0.88, "at least 89 %": 0.89, "at least 95 %": 0.95}
    asked = {
        name: ClaimParams(says=name, metric=MOST_OF_BLUR, at_least=bound, set="before")
        for name, bound in bounds.items()
    }
    [said] = claims(asked, numbers(), None, "")["sentence"]
    assert said.startswith("This run can judge 4 claims: 1 holds, 1 fails and 2 are unsure, since their intervals ")


def test_the_argument_s_time_is_in_the_argument_s_page_alone():
    noted = [
        {"stage": stage, "seconds": 2, "peak_memory_mib": 1}
        for stage in ("mask", "argument/dvc.yaml:retrain", "report", "argument/dvc.yaml:report_argument")
    ]
    shown = [[row["stage"] for row in timings(noted, has_argument=both)["rows"]] for both in (False, True)]
    assert shown == [["mask"], ["mask", "retrain"]]


def test_with_the_argument_s_numbers_every_claim_is_judged(made: tuple[Path, dict[str, Path | None]], tmp_path: Path):
    folder, paths = made
    dials = {"modulate": {"blur": {"monotonicity": 1.0, "monotonicity_low": 0.95, "monotonicity_high": 1.0}}}
    write_numbers(tmp_path / "argument.parquet", dials)
    rows = [
        {"dial": "blur", "value": value, "input": name, "image": image, "psnr": 20 + value}
        for value in (0.0, 1.0)
        for name in ("blur", "clean")
        for image in range(3)
    ]
    pd.DataFrame(rows).to_parquet(tmp_path / "dials.parquet")
    page = page_of(folder, {**paths, "argument": tmp_path / "argument.parquet", "measured": tmp_path})
    assert "dials turn ✓ holds" in section(page, "claims")
    assert "did not measure" not in section(page, "claims")
    assert "PSNR over lambda" in section(page, "argument")
    assert "Response over severity" not in section(page, "argument")


def test_an_argument_without_numbers_is_said(made: tuple[Path, dict[str, Path | None]], tmp_path: Path):
    folder, paths = made
    write_numbers(tmp_path / "argument.parquet", {"modulate": {"blur": {"monotonicity": 1.0}}})
    page = page_of(folder, {**paths, "argument": tmp_path / "argument.parquet", "measured": tmp_path})
    assert "hold nothing that is shown here" in section(page, "argument")


def test_plug_ins_have_a_table_and_a_sentence_each(made: tuple[Path, dict[str, Path | None]], tmp_path: Path):
    folder, paths = made
    alone = {"gained_db": 3.0, "bytes": 20480, "of_full": 0.04, **with_ends("recovered", 0.9)}
    together = {"gained_db": 2.5, **with_ends("kept", 0.8)}
    found = {"blur": {"plugin": alone, "plugins_together": together}, "noise": {"plugin": {"gained_db": 0.1}}}
    write_numbers(tmp_path / "argument.parquet", {"plugins": found})
    shown = section(page_of(folder, {**paths, "argument": tmp_path / "argument.parquet"}), "argument")
    shown = shown.replace("\N{NO-BREAK SPACE}", " ")
    assert (
        "The plug-in for blur takes 20,480 bytes, 4 % of what the whole network takes, and gains 90 % (85 to 95) of "
        "what training the whole network on it gains; put in together with the others, it keeps 80 % (75 to 85) of its "
        "gain."
    ) in shown
    assert "blur its own plug-in +3.00 dB 90 % (85 to 95) \N{EN DASH}" in shown
    assert "blur the plug-ins of all degradations together +2.50 dB \N{EN DASH} 80 % (75 to 85)" in shown
    assert "noise its own plug-in +0.10 dB \N{EN DASH} \N{EN DASH}" in shown


def test_a_confusion_matrix_counts_the_crops(page: str):
    shown = re.findall(r'aria-label="(\d+) crops? with ([\w ]+) named ([\w ]+)"', page)
    assert len(shown) == 2 * len(CLASSES) ** 2
    assert sum(int(count) for count, _, _ in shown) == 2 * len(CLASSES) * len(IMAGES)
    assert any(int(count) for count, actual, named in shown if actual != named)


# What is missing or odd


def charts(page: str) -> list[dict]:
    return [json.loads(text) for text in re.findall(r"data-chart=[^>]*>(.*?)</script>", page, flags=re.DOTALL)]


def test_charts_are_json_and_hold_the_numbers(page: str):
    found = charts(page)
    assert len(found) == 6
    assert all("90" in json.dumps(chart) or "10" in json.dumps(chart) for chart in found)


@pytest.mark.parametrize("name", ["mission", "scores", "networks", "pictures", "predictions", "lr", "hr"])
def test_a_run_of_a_part_has_a_page_that_says_so(name: str, made: tuple[Path, dict[str, Path | None]]):
    folder, paths = made
    page = page_of(folder, {**paths, name: folder / "nowhere"})
    assert re.findall(r'<section id="([\w-]+)"', page) == list(SECTIONS)
    if name in ("lr", "hr"):  # the reader's own picture can be restored all the same
        assert 'id="dials-data"' in page
    else:
        assert MAKERS[name] in text_of(page)


def test_nothing_at_all_has_a_page_that_says_so(tmp_path: Path):
    page = page_of(tmp_path, {}, asked="There are no claims.", noted=[])
    assert "There are no claims." in text_of(page)
    assert "No time was noted" in text_of(page)
    assert text_of(page).count("Not measured in this run") >= 6


def test_a_degradation_without_gain_is_given_in_decibels(tmp_path: Path):
    page = page_of(tmp_path, make_run(tmp_path, gain=0.2))
    assert "This run cannot tell" in text_of(page)
    assert "No degradation gained enough" in section(page, "curves")
    assert charts(page) == []
    assert re.search("FAIG blur \N{EN DASH} \N{EN DASH} 0.20.dB", section(page, "quality"))


def test_names_with_html_are_escaped(tmp_path: Path):
    paths = make_run(tmp_path)
    table = pd.read_parquet(str(paths["predictions"]))
    table.loc[(table["set"] == "test") & (table["image"] == "a"), "image"] = "a'\"&"
    table.to_parquet(str(paths["predictions"]))
    for name in CLASSES:
        write_png(tmp_path / "data/lr" / name / "test" / "a'\"&.png", picture(16, 0))
    pictures = pd.read_parquet(str(paths["pictures"]))
    pictures["row"] = pictures["row"].replace({"blur": HOSTILE})
    pictures.to_parquet(str(paths["pictures"]))
    claims = {"odd": replace(CLAIMS["blur_goes"], says=HOSTILE)}
    run = replace(RUN, shown={"dataset": HOSTILE, HOSTILE: [HOSTILE]})
    page = page_of(tmp_path, paths, run, asked=claims, noted=[{"stage": HOSTILE, "seconds": 1, "peak_memory_mib": 1}])
    assert "<img src=x" not in page
    assert "<script>alert" not in page
    assert "&lt;img src=x onerror" in page


def test_methods_with_html_are_escaped_in_charts_too(tmp_path: Path):
    paths, mission = make_run(tmp_path), tmp_path / "odd.parquet"
    table = to_table(results())
    odd = table.assign(name=[name.replace("/random/", "/<script>alert(2)<b>/") for name in table["name"]])
    pd.concat([table, odd]).to_parquet(mission)
    page = page_of(tmp_path, {**paths, "mission": mission})
    assert "<script>alert(2)" not in page
    assert len(charts(page)) == 6


@pytest.mark.parametrize("images", [IMAGES[:1], ()])
def test_one_image_and_none_have_a_page(images: tuple[str, ...], tmp_path: Path):
    paths = make_run(tmp_path)
    write_predictions(paths["predictions"], images)  # pyright: ignore
    pictures = pd.read_parquet(str(paths["pictures"]))
    pictures[: len(images)].to_parquet(str(paths["pictures"]))
    page = page_of(tmp_path, paths)
    said = "No test crop was predicted", "This run shows no image"
    assert [sentence in text_of(page) for sentence in said] == [not images] * 2


def test_large_images_are_cut_to_their_middle(tmp_path: Path):
    paths = make_run(tmp_path)
    pictures = pd.read_parquet(str(paths["pictures"]))
    pictures["png"] = [encode_png(picture(300 if name == "input" else 600, 0), "") for name in pictures["column"]]
    pictures.to_parquet(str(paths["pictures"]))
    page = page_of(tmp_path, paths)
    assert len(page) < 1.4 * PICTURE_BYTES + 1.2e6 + 1e6
    assert re.search(r"the middle (\d+) pixels are shown", section(page, "picture"))


def test_of_many_crops_the_wrong_ones_are_kept(tmp_path: Path):
    paths, names = make_run(tmp_path), tuple(f"image_{number}" for number in range(12))
    write_predictions(tmp_path / "data/predictions.parquet", names)
    for number, (degradation, name) in enumerate((degradation, name) for degradation in CLASSES for name in names):
        write_png(tmp_path / "data/lr" / degradation / "test" / f"{name}.png", picture(120, number))
    page = page_of(tmp_path, paths)
    assert len(page) < 5e6
    shown, total = re.findall(r"(\d+) of (\d+) crops are kept", section(page, "predictor"))[0]
    assert 0 < int(shown) < int(total) == len(CLASSES) * len(names)
    kept = re.findall(r'<figure data-actual="(\w+)" data-named="([^"]*)"', page)
    cells = re.compile(r'data-actual="(\w+)" data-named="(\w+)" [^>]*aria-label="(\d+) crop')
    for predictor, matrix in re.findall(r'data-predictor="(\w+)"(.*?)</table>', page, flags=re.DOTALL):
        wrong = sum(int(count) for actual, named, count in cells.findall(matrix) if actual != named)
        assert wrong == sum(json.loads(unescape(named))[predictor] != actual for actual, named in kept) > 0


@pytest.mark.parametrize("name", ["mission", "pictures", "predictions"])
def test_a_damaged_file_is_an_error_that_names_it(name: str, made: tuple[Path, dict[str, Path | None]], tmp_path: Path):
    folder, paths = made
    broken = tmp_path / f"{name}.parquet"
    broken.write_text("no table")
    before = (folder / "report/index.html").read_bytes()
    with pytest.raises(InputError, match=re.escape(str(broken))):
        page_of(folder, {**paths, name: broken})
    pd.DataFrame({"x": [1]}).to_parquet(broken)
    with pytest.raises(InputError, match="lacks the columns"):
        page_of(folder, {**paths, name: broken})
    assert (folder / "report/index.html").read_bytes() == before
    assert list((folder / "report").glob("*.part")) == []


# The stage


def test_the_stage_writes_equal_bytes_twice(
    made: tuple[Path, dict[str, Path | None]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(ROOT)
    options = [f"--{name}={path}" for name, path in made[1].items()]
    for number in range(2):
        output = tmp_path / f"{number}/index.html"
        result = CliRunner().invoke(main, [*options, f"--output={output}"])
        assert result.exit_code == 0, result.output
    assert (tmp_path / "0/index.html").read_bytes() == (tmp_path / "1/index.html").read_bytes()
