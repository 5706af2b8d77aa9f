import hashlib
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from browser import browser, watched_page
from conftest import ROOT, TINY
from PIL import Image
from playwright.sync_api import expect
from test_demo import ABILITIES, declaring, encode

from faig.attribution.filters import FilterIndex
from faig.experiments.score_table import Key, write_scores
from faig.networks.models import build_network
from faig.networks.plugins import extract, moving_weights, save_plugin
from faig.networks.weights import save_network

pytestmark = pytest.mark.slow
__all__ = ["browser"]
TIMEOUT = 60_000  # ms; other programs may be busy
PARTS = ("#pictures", "#dial-0", "#psnr", "#drawing", "#place")
PICTURES = "[...document.querySelectorAll('#pictures img')].map(image => image.src).join()"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with one published pair, tiny and untrained, and its score table."""
    folder = tmp_path_factory.mktemp("project")
    weights, run = (folder / "published/tiny" / part for part in ("weights", "runs/Set"))
    weights.mkdir(parents=True)
    sums = []
    generator = torch.Generator().manual_seed(0)
    baseline = build_network(TINY, 0).state_dict()
    target = {name: value + 0.1 * torch.randn(value.shape, generator=generator) for name, value in baseline.items()}
    for name, values in {"baseline": baseline, "blind": target}.items():
        path = weights / f"{name}.safetensors"
        save_network(path, TINY, values)
        sums.append(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")
    (weights / "SHA256SUMS").write_text("".join(sums))
    index, generator = FilterIndex.of(build_network(TINY, 0)), np.random.default_rng(0)
    scores = {Key(method, name): generator.random(index.num_filters) for method in ("faig", "ig") for name in ABILITIES}
    write_scores(run / "scores/blind.parquet", index, scores, {})
    params = (ROOT / "params.yaml").read_text(encoding="utf-8")
    (run / "params.yaml").write_text(params.replace("mask_ratio: 0.03", "mask_ratio: 0.05"), encoding="utf-8")
    return folder


@contextmanager
def served(folder):
    """The page of a folder: the server's process and its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "FAIG_CHECKPOINTS": str(folder / "found"),
        "TMPDIR": str(folder),
    }
    command = [sys.executable, "-m", "tools.demo", "--port", str(port), "--threads", "1"]
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert "The page is open at" in line, line + process.stdout.read()
        yield process, f"http://127.0.0.1:{port}/"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture(scope="module")
def address(project):
    with served(project) as (process, url):
        yield url
        assert process.poll() is None


@contextmanager
def opened(browser, address, **options):
    """The page, once it shows what it is to show."""
    with watched_page(browser, **options) as page:
        page.set_default_timeout(TIMEOUT)
        page.goto(address)
        expect(page.locator("#psnr tr.baseline td")).to_contain_text("dB", timeout=TIMEOUT)
        expect(page.locator("#told strong")).to_be_visible(timeout=TIMEOUT)
        yield page


@contextmanager
def new_pictures(page):
    """Wait until the block's deeds have changed the pictures, and both have come."""
    before = page.evaluate(PICTURES)
    yield
    page.wait_for_function(
        f"before => {PICTURES} !== before && "
        "[...document.querySelectorAll('#pictures img')].every(image => image.complete && image.naturalWidth)",
        arg=before,
        timeout=TIMEOUT,
    )


def turn(page, dial, value):
    """Type a dial's value."""
    field = page.locator(f"#{dial} input[type=number]")
    field.fill(value)
    field.press("Enter")


def box_of(place):
    """Where a part of the page lies, in pixels of the window."""
    box = place.bounding_box()
    assert box is not None
    return box


def numbers(page):
    """PSNR of the target and as the dials stand."""
    return [page.locator(f"#psnr tr.{row} td").inner_text() for row in ("target", "now")]


def choose(page, name, text):
    page.locator(f"#{name} input").click()
    page.get_by_role("option", name=text, exact=True).click()


def upload(page, name, content, place=0):
    """Upload a photograph, or a plug-in (place 1)."""
    file = {"name": name, "mimeType": "application/octet-stream" if place else "image/png", "buffer": content}
    page.locator("input[type=file]").nth(place).set_input_files([file])


def test_the_page_shows_pictures_numbers_classes_and_the_network(browser, address):
    with opened(browser, address) as page:
        assert page.locator("#pictures img").count() == 2
        target, now = numbers(page)
        assert target == now
        assert page.locator("#told .share").count() == 4
        assert page.locator("#drawing svg rect.layer").count() == 6
        assert page.locator("#place img").is_visible()


def test_a_dial_is_turned_by_typing_by_keyboard_and_by_mouse_and_put_back(browser, address):
    with opened(browser, address) as page:
        start = numbers(page)
        with new_pictures(page):
            turn(page, "dial-0", "0")
        assert numbers(page)[1] != start[1]
        with new_pictures(page):
            page.locator("#dial-1 input[type=range]").press("ArrowRight")
        assert page.locator("#dial-1 input[type=number]").input_value() == "1.05"
        box = box_of(page.locator("#dial-0 input[type=range]"))
        with new_pictures(page):
            page.mouse.move(box["x"] + 2, box["y"] + box["height"] / 2)
            page.mouse.down()
            page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=8)
            page.mouse.up()
        page.locator("#reset").click()
        expect(page.locator("#psnr tr.now td")).to_have_text(start[1], timeout=TIMEOUT)
        page.wait_for_timeout(1000)  # nothing older comes after it
        assert numbers(page) == start
        assert page.locator("#dial-0 input[type=number]").input_value() == "1"


def test_filters_are_masked_by_one_click_beside_the_target(browser, address):
    with opened(browser, address) as page:
        with new_pictures(page):
            page.get_by_role("button", name="Mask the filters for noise").click()
        assert page.locator("#dial-1 input[type=number]").input_value() == "0"
        expect(page.get_by_label("restored by the target")).to_be_checked()
        target, now = numbers(page)
        assert target != now
        page.locator("#reset").click()
        expect(page.get_by_label("the input, upscaled")).to_be_checked(timeout=TIMEOUT)
        expect(page.locator("#psnr tr.now td")).to_have_text(target, timeout=TIMEOUT)


def test_the_divider_is_dragged(browser, address):
    with opened(browser, address) as page:
        box = box_of(page.locator("#pictures img").first)
        middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        style = "[...document.querySelectorAll('#pictures [style]')].map(part => part.getAttribute('style')).join()"
        before = page.evaluate(style)
        page.mouse.move(*middle)
        page.mouse.down()
        page.mouse.move(middle[0] - 80, middle[1], steps=4)
        page.mouse.up()
        page.wait_for_function(f"before => {style} !== before", arg=before, timeout=TIMEOUT)
        divider = page.get_by_role("slider", name="Divider between before and after")
        expect(divider).not_to_have_attribute("aria-valuenow", "50", timeout=TIMEOUT)
        share = int(str(divider.get_attribute("aria-valuenow")))
        for key, expected in (("ArrowRight", share + 5), ("ArrowLeft", share)):
            divider.press(key)
            near = "|".join(str(expected + rounding) for rounding in (-1, 0, 1))
            expect(divider).to_have_attribute("aria-valuenow", re.compile(f"^({near})$"), timeout=TIMEOUT)


def test_method_ratio_degradation_and_what_is_left_can_be_chosen(browser, address):
    with opened(browser, address) as page:
        drawn = page.locator("#drawing").inner_html()
        turn(page, "ratio", "10")
        page.wait_for_function(
            "before => document.querySelector('#drawing').innerHTML !== before", arg=drawn, timeout=TIMEOUT
        )
        with new_pictures(page):
            turn(page, "dial-0", "0")
        with new_pictures(page):
            choose(page, "method", "integrated input gradients")
        with new_pictures(page):
            turn(page, "noise", "0.3")
        with new_pictures(page):
            page.get_by_label("restored by the baseline").check()
        with new_pictures(page):
            page.get_by_label("restore it as it is").check()
        expect(page.locator("#psnr")).to_contain_text("no PSNR", timeout=TIMEOUT)
        expect(page.locator("#told strong")).to_be_visible(timeout=TIMEOUT)  # calibrated for that method and share


def test_what_is_typed_beyond_the_range_is_refused_and_put_back_into_it(browser, address):
    with opened(browser, address) as page:
        shown = page.evaluate(PICTURES)
        page.locator("#dial-0 input[type=number]").fill("9")
        expect(page.get_by_text("a dial must be from 0 to 1.5, not 9")).to_be_visible(timeout=TIMEOUT)
        assert page.evaluate(PICTURES) == shown
        with new_pictures(page):
            page.keyboard.press("Tab")
        assert page.locator("#dial-0 input[type=number]").input_value() == "1.5"


def test_uploads_are_shown_or_refused_in_a_sentence_and_none_is_kept(browser, address, project):
    with opened(browser, address) as page:
        sound = encode(Image.fromarray(np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)))
        with new_pictures(page):
            upload(page, "sound.png", sound)
        shown = page.evaluate(PICTURES)
        for name, content, words in (
            ("broken.png", sound[:9000], "cannot be decoded"),
            ("text.png", b"hello", "is not a PNG"),
            ("bomb.png", declaring(40000, 25000), "not decoded"),
        ):
            upload(page, name, content)
            expect(page.locator("#word")).to_contain_text(f"{name} ", timeout=TIMEOUT)
            expect(page.locator("#word")).to_contain_text(words)
            assert page.evaluate(PICTURES) == shown
        large = io.BytesIO()
        Image.new("RGB", (8000, 5000), (90, 120, 60)).save(large, "JPEG")
        with new_pictures(page):
            upload(page, "large.jpg", large.getvalue())
        expect(page.locator("#word")).to_contain_text("was shrunk to")
        with new_pictures(page):
            choose(page, "name", "coffee")
    kept = [path.name for path in project.glob("faig-demo-*/*/*")]
    assert kept
    assert {"sound.png", "broken.png", "text.png", "bomb.png", "large.jpg"}.isdisjoint(kept)


def test_the_tile_is_placed_by_a_click(browser, address):
    with opened(browser, address) as page:
        with new_pictures(page):
            choose(page, "name", "hubble_deep_field")
        page.wait_for_timeout(1000)
        picture = page.locator("#place img")
        picture.scroll_into_view_if_needed()
        box = box_of(picture)
        with new_pictures(page):
            page.mouse.click(box["x"] + box["width"] / 2 - 60, box["y"] + box["height"] / 2 - 60)
        assert page.locator("#left input[type=number]").input_value() == "0"


def open_plugins(page):
    page.locator("#plugins").get_by_text("Plug-ins", exact=True).click()
    expect(page.locator("#make")).to_be_visible(timeout=TIMEOUT)


def test_plugins_are_made_saved_put_in_scaled_and_taken_out(browser, address):
    with opened(browser, address) as page:
        open_plugins(page)
        expect(page.get_by_label("restored by the baseline with plug-ins")).to_have_count(0)
        with new_pictures(page):
            page.locator("#make").click()
        expect(page.get_by_label("restored by the baseline with plug-ins")).to_be_checked(timeout=TIMEOUT)
        row = page.locator("#psnr tr.plugins td")
        expect(row).to_contain_text("dB", timeout=TIMEOUT)
        with page.expect_download() as download:
            page.locator("#save-0").click()
        assert download.value.suggested_filename == "blur.safetensors"
        content = download.value.path().read_bytes()
        both = row.inner_text()
        with new_pictures(page):
            turn(page, "strength-1", "0")
        expect(row).not_to_have_text(both, timeout=TIMEOUT)
        with new_pictures(page):
            turn(page, "strength-0", "0")
        expect(row).to_have_text(page.locator("#psnr tr.baseline td").inner_text(), timeout=TIMEOUT)
        with new_pictures(page):
            page.get_by_role("button", name="Take out noise, made here").click()
            page.get_by_role("button", name="Take out blur, made here").click()
        expect(page.get_by_label("the input, upscaled")).to_be_checked(timeout=TIMEOUT)
        expect(row).to_have_count(0, timeout=TIMEOUT)
        with new_pictures(page):
            upload(page, "mine.safetensors", content, place=1)
        expect(page.get_by_role("button", name="Take out mine")).to_be_visible(timeout=TIMEOUT)
        assert page.locator("#strength-0 input[type=number]").input_value() == "1"
        expect(page.locator("#save-0")).to_have_count(0)


def test_what_is_no_plugin_or_of_another_baseline_is_refused_in_a_sentence(browser, address, project):
    with opened(browser, address) as page:
        open_plugins(page)
        shown = page.evaluate(PICTURES)
        network = build_network(TINY, 3)
        weights = moving_weights(network)
        path = project / "other.safetensors"
        save_plugin(path, extract(weights, weights, FilterIndex.of(network), np.arange(3)))
        for name, content, words in (
            ("other.safetensors", path.read_bytes(), "take the baseline that it was trained from"),
            ("text.safetensors", b"hello", "text.safetensors is not a plug-in of this project"),
        ):
            upload(page, name, content, place=1)
            expect(page.locator("#plugin-word")).to_contain_text(words, timeout=TIMEOUT)
            assert page.evaluate(PICTURES) == shown
    kept = {path.name for path in project.glob("faig-demo-*/**/*.safetensors")}
    assert {"other.safetensors", "text.safetensors"}.isdisjoint(kept)


def test_two_visitors_at_once_have_their_own_dials_and_pictures(browser, address):
    with opened(browser, address) as one, opened(browser, address) as other:
        with new_pictures(one), new_pictures(other):
            choose(one, "name", "chelsea")
            turn(other, "dial-0", "0")
            turn(one, "dial-1", "0")
        other.wait_for_timeout(1500)
        assert other.locator("#dial-1 input[type=number]").input_value() == "1"
        assert one.locator("#dial-0 input[type=number]").input_value() == "1"
        assert numbers(one) != numbers(other)
        sizes = [page.evaluate("document.querySelector('#pictures img').naturalWidth") for page in (one, other)]
        assert sizes == [450, 512]


def test_a_dial_beyond_its_range_by_hand_is_refused_and_the_page_goes_on(browser, address):
    with opened(browser, address) as page:
        shown = page.evaluate(PICTURES)

        def forge(route):
            body = json.loads(route.request.post_data)
            body["data"] = [9 if value == 0.5 else value for value in body["data"]]
            route.continue_(post_data=json.dumps(body))

        page.route("**/queue/join*", forge)
        turn(page, "dial-0", "0.5")
        expect(page.get_by_text("nothing was changed")).to_be_visible(timeout=TIMEOUT)
        assert page.evaluate(PICTURES) == shown
        page.unroute("**/queue/join*")
        with new_pictures(page):
            turn(page, "dial-0", "0.25")


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_passes_the_accessibility_audit(browser, address, scheme, width):
    with opened(browser, address, color_scheme=scheme, viewport={"width": width, "height": 800}) as page:
        open_plugins(page)
        with new_pictures(page):
            page.locator("#make").click()
        expect(page.locator("#psnr tr.plugins td")).to_contain_text("dB", timeout=TIMEOUT)
        found = Axe().run(page).response["violations"]
        assert not [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in found]


def test_on_a_phone_the_picture_comes_first_and_nothing_sticks_out(browser, address):
    with opened(browser, address, viewport={"width": 360, "height": 740}) as page:
        places = [box_of(page.locator(name))["y"] for name in ("#pictures", "#dial-0", "#psnr", "#drawing", "#place")]
        assert places == sorted(places)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert page.evaluate("document.querySelector('#drawing .scroll').scrollWidth") <= 360
        page.wait_for_function("document.querySelector('#place img').naturalWidth > 0", timeout=TIMEOUT)
        open_plugins(page)
        page.locator("#make").click()
        expect(page.locator("#save-1")).to_be_visible(timeout=TIMEOUT)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_server_stops_at_once_while_it_computes(browser, project):
    others = set(project.glob("faig-demo-*"))
    with served(project) as (process, url):
        context = browser.new_context()
        page, errors = context.new_page(), []
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.set_default_timeout(TIMEOUT)
        page.goto(url)
        expect(page.locator("#told strong")).to_be_visible(timeout=TIMEOUT)
        page.locator("#search").click()
        expect(page.locator("#progress")).to_contain_text(re.compile("estimate|found"), timeout=TIMEOUT)
        assert not errors
        turn(page, "dial-0", "9")
        expect(page.get_by_text("a dial must be from 0 to 1.5, not 9")).to_be_visible(timeout=TIMEOUT)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
        assert process.stdout is not None
        assert process.stdout.read().strip() == "Stopped."
        page.wait_for_timeout(3000)
        assert len(errors) < 20
        context.close()
    assert set(project.glob("faig-demo-*")) == others
