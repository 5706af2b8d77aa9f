"""The report's page in a real browser: it draws, answers to mouse and keyboard, and passes an accessibility audit."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import browser, watched_page
from page_run import RUN, make_run, page_of
from playwright.sync_api import Browser, Page

from faig.report.numbers import write_numbers

__all__ = ["browser"]
pytestmark = pytest.mark.slow
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}


def argument_of(folder: Path) -> dict[str, Path]:
    """The argument's numbers and measurements, of the dials alone."""
    ends = {"recovered": 0.5, "recovered_low": 0.4, "recovered_high": 0.6}
    retrained = {name: {"all": ends, "discovered": ends} for name in RUN.attributed}
    turned = {"blur": {"monotonicity": 1.0}}
    write_numbers(folder / "argument.parquet", {"modulate": turned, "retrain": retrained})
    rows = [
        {"dial": dial, "value": value, "input": name, "image": image, "psnr": 20 + value + image}
        for dial in RUN.attributed
        for value in (0.0, 0.5, 1.0)
        for name in ("clean", "blur")
        for image in range(3)
    ]
    pd.DataFrame(rows).to_parquet(folder / "dials.parquet")
    return {"argument": folder / "argument.parquet", "measured": folder}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a made-up run, with the argument's numbers."""
    folder = tmp_path_factory.mktemp("run")
    page_of(folder, {**make_run(folder), **argument_of(folder)})
    return (folder / "report/index.html").as_uri()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    with watched_page(browser, viewport=DESKTOP, color_scheme="light") as opened:
        opened.goto(address)
        yield opened


def draw_all(page: Page) -> None:
    """Open and scroll to everything, so that it is drawn."""
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    for plot in page.locator(".plot").all():
        plot.scroll_into_view_if_needed()
        plot.locator("svg").wait_for()


def at_of(page: Page) -> float:
    """Where the divider is, in percent from the left."""
    return float(page.locator("#divider-stage").evaluate("each => parseFloat(each.style.getPropertyValue('--at'))"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_an_accessibility_audit_finds_nothing(browser: Browser, address: str, viewport: dict[str, int], scheme: str):
    with watched_page(browser, viewport=viewport, color_scheme=scheme) as page:
        page.goto(address)
        draw_all(page)
        found = Axe().run(page).response
        assert [(each["id"], each["nodes"][0]["html"]) for each in found["violations"]] == []
        assert len(found["passes"]) > 20


def test_nothing_is_wider_than_a_phone(browser: Browser, address: str):
    with watched_page(browser, viewport=PHONE) as page:
        page.goto(address)
        draw_all(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_a_long_name_makes_nothing_wider_than_a_phone(browser: Browser, tmp_path: Path):
    paths = make_run(tmp_path)
    pictures = pd.read_parquet(str(paths["pictures"]))
    pictures["row"] = pictures["row"].replace({"blur": "x" * 80})
    pictures["column"] = pictures["column"].replace({"faig/blur": f"faig/{'x' * 80}"})
    pictures.to_parquet(str(paths["pictures"]))
    page_of(tmp_path, paths)
    with watched_page(browser, viewport=PHONE) as page:
        page.goto((tmp_path / "report/index.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_without_scripts_the_page_can_be_read(browser: Browser, address: str):
    with watched_page(browser, java_script_enabled=False) as page:
        page.goto(address)
        assert page.locator(".answer").inner_text().startswith("Yes for blur and noise.")
        assert page.locator("#picture-0").is_visible()
        assert page.get_by_text("The divider needs JavaScript.").is_visible()
        assert page.locator("#quality table").first.is_visible()


def test_the_divider_follows_the_mouse(page: Page):
    stage = page.locator("#divider-stage")
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    assert box is not None
    assert at_of(page) == 50
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 40, steps=4)
    page.mouse.up()
    assert at_of(page) == pytest.approx(25, abs=1)
    page.mouse.move(box["x"] + 0.9 * box["width"], box["y"] + 40)
    assert at_of(page) == pytest.approx(25, abs=1)
    page.mouse.click(box["x"] + 0.75 * box["width"], box["y"] + 40)
    assert at_of(page) == pytest.approx(75, abs=1)


def test_the_divider_follows_the_keyboard(page: Page):
    page.locator("#divider-range").focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert at_of(page) == 53
    page.keyboard.press("Home")
    assert at_of(page) == 0


def test_the_divider_shows_what_is_chosen(page: Page):
    page.locator("#divider-row").select_option("noise")
    page.locator("#divider-left").select_option("input")
    assert page.locator("#divider-right").input_value() == "faig/noise"
    shown = {side: page.locator(f"#divider-{side}").get_attribute("src") for side in ("under", "over")}
    for side, column in (("under", "input"), ("over", "faig/noise")):
        assert shown[side] == page.locator(f'img[data-row="noise"][data-column="{column}"]').get_attribute("src")
    assert page.locator("#divider-under").get_attribute("alt") == "Left: Photograph with noise: input"


def test_a_cell_of_the_confusion_matrix_shows_its_crops(page: Page):
    matrix = page.locator(".matrix:visible")
    wrong = matrix.locator("button.wrong").first
    wrong.focus()
    page.keyboard.press("Enter")
    assert wrong.get_attribute("aria-pressed") == "true"
    actual, named, count = (wrong.get_attribute("data-actual"), wrong.get_attribute("data-named"), wrong.inner_text())
    crops = page.locator("#crops figure:visible")
    assert crops.count() == int(count)
    assert {each.get_attribute("data-actual") for each in crops.all()} == {actual}
    assert actual != named
    matrix.locator('button[data-actual="clean"][data-named="noise"]').click()
    assert crops.count() == 0
    assert page.locator("#crops-text").inner_text() == "0 crops with clean named noise."


def test_every_predictor_can_be_chosen(page: Page):
    for name in ("overlap", "response"):
        page.locator(f'input[name="predictor"][value="{name}"]').check()
        assert page.locator(".matrix:visible").get_attribute("data-predictor") == name


def test_a_point_under_the_mouse_says_its_number_and_interval(page: Page):
    plot = page.locator("#removed-blur")
    plot.scroll_into_view_if_needed()
    points = plot.locator("svg .layer_3_marks path")
    points.first.wait_for()
    points.first.hover()
    tooltip = page.locator("#vg-tooltip-element.visible")
    tooltip.wait_for()
    assert "FAIG, 1 % of the filters: 90\N{NO-BREAK SPACE}% (85 to 95)" in tooltip.inner_text()


def test_a_point_that_is_tapped_says_its_number(browser: Browser, address: str):
    with watched_page(browser, viewport=PHONE, has_touch=True, is_mobile=True) as page:
        page.goto(address)
        page.locator("#removed-blur").scroll_into_view_if_needed()
        page.locator("#removed-blur svg .layer_3_marks path").first.tap()
        page.locator("#vg-tooltip-element.visible").wait_for()
        assert "90" in page.locator("#vg-tooltip-element").inner_text()


def test_a_method_can_be_hidden(page: Page):
    draw_all(page)
    lines = page.locator("#removed-blur svg .mark-line path")
    assert lines.count() == 2
    page.locator('#curves .legend input[value="random"]').uncheck()
    page.wait_for_function("document.querySelectorAll('#removed-blur svg .mark-line path').length === 1")


def test_charts_are_drawn_anew_when_the_scheme_changes(page: Page):
    draw_all(page)
    label = page.locator("#removed-blur svg .role-axis-label text").first
    before = label.get_attribute("fill")
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(
        "before => document.querySelector('#removed-blur svg .role-axis-label text')?.getAttribute('fill') !== before",
        arg=before,
    )


def test_all_charts_are_printed_in_light_colours(browser: Browser, address: str):
    with watched_page(browser, viewport=DESKTOP, color_scheme="dark") as page:
        page.goto(address)
        fills = "[...document.querySelectorAll('.plot')].map(plot => plot.querySelector('text')?.getAttribute('fill'))"
        number = page.locator(".plot").count()
        for event, ink in (("beforeprint", "#5a626b"), ("afterprint", "#a3a9b0")):  # --muted of either scheme
            page.evaluate(f"dispatchEvent(new Event('{event}'))")
            page.wait_for_function(f"{fills}.filter(fill => fill === '{ink}').length === {number}")


def test_the_keyboard_reaches_the_results_first(page: Page):
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the results"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_a_page_of_nothing_has_no_error(browser: Browser, tmp_path: Path):
    page_of(tmp_path, {})
    with watched_page(browser) as page:
        page.goto((tmp_path / "report/index.html").as_uri())
        assert page.locator("main section").count() == 10
        assert [(each["id"], each["nodes"][0]["html"]) for each in Axe().run(page).response["violations"]] == []
