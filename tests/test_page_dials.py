"""The page's dials and layers in a real browser: the network is PyTorch's, and all that one can do has its effect."""

import base64
import io
import json

import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from browser import browser, watched_page  # noqa: F401
from PIL import Image
from playwright.sync_api import expect
from test_page_networks import Mixed, dials, foreign, layers, saved, saved_network, spec

from faig.attribution.path import PathModel
from faig.base.compute import Compute
from faig.data.degradation import bicubic
from faig.data.images import write_png
from faig.data.kernels import convolve, gaussian_kernel
from faig.data.quality import border_of, psnr, to_levels
from faig.data.tensors import to_tensor
from faig.experiments.modulation import modulate
from faig.networks.models import build_network
from faig.page.networks import read_tiles
from faig.page.page import environment

pytestmark = pytest.mark.slow
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Dials</title>
<meta name="viewport" content="width=device-width,initial-scale=1"><meta http-equiv="Content-Security-Policy"
content="default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline';
worker-src blob:"><style>{% include "page.css" %}{% include "dials.css" %}{% include "layers.css" %}</style></head>
<body><main><h1>A page</h1>
<section><h2>Dials</h2>{% include "dials.html.j2" %}</section>
<section><h2>Layers</h2>{% include "layers.html.j2" %}</section></main>
<script>{% include "network.js" %}</script><script>{% include "dials.js" %}</script>
<script>{% include "layers.js" %}</script></body></html>"""
CPU = Compute(device=torch.device("cpu"), precision="fp32")
IDLE = '#dial-board[aria-busy="false"]'
WORDS = "A sentence in place of a part."


def written(folder, dials, layers):
    path = folder / "page.html"
    path.write_text(environment().from_string(PAGE).render(dials=dials, layers=layers), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def images(tmp_path):
    """HR and LR folders of one photograph, 2 x 40 pixels wide and 2 x 36 high."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (18, 20, 3), dtype=np.uint8).repeat(2, axis=0).repeat(2, axis=1)
    write_png(tmp_path / "hr/test/a.png", small.repeat(2, axis=0).repeat(2, axis=1))
    for name in ("blur", "noise"):
        write_png(tmp_path / f"lr/{name}/test/a.png", small // 2 if name == "blur" else small)
    return tmp_path / "hr", tmp_path / "lr"


@pytest.fixture
def run(tmp_path, images):
    """A page of a tiny network: its address, its dials and the model."""
    paths, index, baseline, target = saved(tmp_path, spec())
    tiles = read_tiles(images[0], images[1], ["blur", "noise"], 0, 2)
    data, found = dials(paths, 0.3, tiles)
    model = PathModel(build_network(spec()), baseline, target, CPU, index)
    return written(tmp_path, data, layers(paths, 0.3)), found, model


def picture(width, height, file_format="PNG"):
    """The content of an image file of coloured noise in large squares."""
    rng = np.random.default_rng(1)
    small = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    content = io.BytesIO()
    small.resize((width, height), Image.Resampling.NEAREST).save(content, file_format)
    return content.getvalue()


def image_of(batch):
    return {"width": batch.shape[-1], "height": batch.shape[-2], "planes": batch.flatten().tolist()}


def batch_of(image):
    return torch.tensor(image["planes"]).reshape(1, 3, image["height"], image["width"])


CALL = """async ([data, image, all]) => {
  const network = makeNetwork();
  const loaded = await network.load(data);
  image.planes = Float32Array.from(image.planes);
  return all.map((lambdas) => {
    const made = network.restore(loaded, network.modulate(loaded, lambdas), image);
    return { ...made, planes: Array.from(made.planes) };
  });
}"""


def in_page(page, name, *arguments):
    """A function of network.js of images and other values."""
    return page.evaluate(
        f"""(values) => {{
          for (const value of values) if (value.planes) value.planes = Float32Array.from(value.planes);
          const result = makeNetwork().{name}(...values);
          return result !== null && result.planes ? {{ ...result, planes: Array.from(result.planes) }} : result;
        }}""",
        list(arguments),
    )


def shown(page, side="right"):
    return page.evaluate(f"document.querySelector('.dial-{side}').toDataURL()")


def settled(page):
    """Wait until the network rests; the target's output comes last."""
    page.wait_for_selector(IDLE)
    expect(page.locator(".dial-target")).not_to_have_text("…")


def turn(page, dial, value):
    page.evaluate(
        """([dial, value]) => { const range = document.getElementById(`dial-${dial}`);
        range.value = value; range.dispatchEvent(new Event("input")); }""",
        [dial, value],
    )
    settled(page)


@pytest.mark.parametrize("granularity", ["kernel", "channel"])
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("name", ["srresnet", "srcnn"])
def test_the_pages_network_is_pytorchs(browser, tmp_path, name, scale, granularity):  # noqa: F811
    paths, index, baseline, target = saved(tmp_path, spec(name, 4, 2, scale), granularity=granularity)
    data, found = dials(paths, 0.3)
    model = PathModel(build_network(spec(name, 4, 2, scale)), baseline, target, CPU, index)
    lambdas = [[1, 1], [0, 1], [1, 0], [0, 0], [0.35, 1.2], [1.5, 1.5]]
    with watched_page(browser) as page:
        page.goto(written(tmp_path, WORDS, WORDS))
        for height, width in ((9, 7), (1, 5), (16, 16)):
            lr = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(height))
            results = page.evaluate(CALL, [data, image_of(lr), lambdas])
            for values, result in zip(lambdas, results, strict=True):
                weights = modulate(target, baseline, index, list(zip(found.values(), values, strict=True)))
                expected = model.restore(weights, lr).detach()
                torch.testing.assert_close(batch_of(result), expected, rtol=0, atol=1e-4)
        outputs = [batch_of(result) for result in results]
        assert all((outputs[0] - other).abs().max() > 1e-3 for other in outputs[1:])


def test_psnr_and_downsampling_are_the_projects(browser, tmp_path):  # noqa: F811
    rng = np.random.default_rng(0)
    with watched_page(browser) as page:
        page.goto(written(tmp_path, WORDS, WORDS))
        for scale in (1, 2, 3):
            first, second = torch.rand(2, 1, 3, 12, 13, generator=torch.Generator().manual_seed(scale)) * 1.4 - 0.2
            second = second.clamp(0, 1)
            border = border_of(scale)
            actual = in_page(page, "psnr", image_of(first), image_of(second), border)
            assert actual == pytest.approx(psnr(first, second, border).item(), abs=1e-9)
        assert in_page(page, "psnr", image_of(first), image_of(first), 2) == 100
        halves = torch.cat([(torch.arange(-1, 257) + 0.5) / 255, torch.tensor([-1.0, 0.0, 1.0, 2.0])])
        levels = page.evaluate("(values) => values.map(makeNetwork().level)", halves.tolist())
        assert levels == to_levels(halves).tolist()
        for scale in (2, 3, 4):
            hr = rng.integers(64, 192, (48, 60, 3), dtype=np.uint8)  # nothing is clipped on the way
            none = {"filter": "bicubic", "sigma": 0, "noise": 0}
            small = batch_of(in_page(page, "degrade", image_of(to_tensor(hr)), scale, none))
            assert (small - to_tensor(bicubic(hr, scale))).abs().max() < 1.01 / 255  # which rounds twice
        none = {"filter": "", "sigma": 2, "noise": 0}
        blurred = batch_of(in_page(page, "degrade", image_of(to_tensor(hr)), 1, none))
        expected = to_tensor(np.rint(convolve(hr.astype(float), gaussian_kernel(21, 2.0, 2.0, 0.0))).astype(np.uint8))
        assert (blurred - expected)[..., 10:-10, 10:-10].abs().max() < 1.01 / 255
        noisy = {"filter": "", "sigma": 0, "noise": 0.1}
        flat = torch.full((1, 3, 100, 100), 0.5)
        added = batch_of(in_page(page, "degrade", image_of(flat), 1, noisy)) - 0.5
        assert added.mean().abs() < 0.005
        assert added.std() == pytest.approx(0.1, abs=0.003)


def test_a_dial_changes_picture_and_psnr_and_reset_brings_them_back(browser, run):  # noqa: F811
    uri, found, model = run
    with watched_page(browser) as page:
        page.goto(uri)
        settled(page)
        before, quality = shown(page), page.inner_text(".dial-now")
        assert quality == page.inner_text(".dial-target")
        turn(page, 1, 0)
        assert shown(page) != before
        assert page.inner_text("output[for=dial-1]") == "0.00"
        tiles = json.loads(page.inner_text("#dials-data"))["tiles"]
        lr, hr = (
            to_tensor(np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))).copy())
            for uri in (tiles["inputs"][0]["lr"], tiles["hr"])
        )
        masked = modulate(model.target, model.baseline, model.index, [(found["blur"], 0.0)])
        expected = psnr(model.restore(masked, lr).detach(), hr, 2).item()
        assert page.inner_text(".dial-now").startswith(f"{expected:.2f} dB (")
        page.click(".dial-reset")
        settled(page)
        assert shown(page) == before
        assert page.inner_text(".dial-now") == quality
        page.check("label.dial-choice:nth-child(2) input", force=True)
        settled(page)
        assert shown(page) != before
        assert "ms" in page.inner_text(".dial-status")


def test_the_left_of_the_divider_is_what_was_chosen(browser, run):  # noqa: F811
    with watched_page(browser) as page:
        page.goto(run[0])
        settled(page)
        seen = {}
        for choice in ("nearest", "bicubic", "target", "original"):
            page.select_option(".dial-left-choice", choice)
            seen[choice] = shown(page, "left")
        assert len(set(seen.values())) == 4
        assert seen["target"] == shown(page)
        turn(page, 2, 0.5)
        page.select_option(".dial-left-choice", "target")
        assert shown(page, "left") == seen["target"] != shown(page)


def test_all_works_by_keyboard(browser, run):  # noqa: F811
    with watched_page(browser) as page:
        page.goto(run[0])
        settled(page)
        before = shown(page)
        page.focus("#dial-1")
        for _ in range(3):
            page.keyboard.press("ArrowLeft")
        settled(page)
        assert page.inner_text("output[for=dial-1]") == "0.85"
        assert shown(page) != before
        page.focus(".dial-reset")
        page.keyboard.press("Enter")
        settled(page)
        assert shown(page) == before
        page.focus(".dial-divider")
        page.keyboard.press("Home")
        assert page.evaluate("document.querySelector('.dial-frame').style.getPropertyValue('--dial-split')") == "0%"
        page.focus("label.dial-choice:first-child input")
        page.keyboard.press("ArrowRight")
        settled(page)
        assert shown(page) != before
        page.focus(".layer-row")
        page.keyboard.press("Enter")
        expect(page.locator(".layer-kernels canvas").first).to_be_visible()
        page.keyboard.press("Enter")
        expect(page.locator(".layer-panel").first).to_be_hidden()


def test_requests_while_the_network_runs_are_one(browser, run):  # noqa: F811
    count = "const post = Worker.prototype.postMessage; window.posted = 0;"
    count += "Worker.prototype.postMessage = function (...all) { window.posted++; return post.apply(this, all); };"
    with watched_page(browser) as page:
        page.add_init_script(count)
        page.goto(run[0])
        settled(page)
        turn(page, 1, 0.4)
        expected, posted = shown(page), page.evaluate("window.posted")
        page.evaluate(
            """() => { const range = document.getElementById("dial-1");
            for (let n = 30; n >= 8; n--) { range.value = n / 20; range.dispatchEvent(new Event("input")); } }"""
        )
        settled(page)
        assert page.evaluate("window.posted") - posted == 2
        assert shown(page) == expected


def give(page, name, content, kind="image/png"):
    page.set_input_files(".dial-picker", {"name": name, "mimeType": kind, "buffer": content})


def test_the_readers_own_picture(browser, run):  # noqa: F811
    with watched_page(browser) as page:
        page.goto(run[0])
        settled(page)
        page.check("label.dial-choice:last-child input", force=True)
        give(page, "own.jpg", picture(300, 200, "JPEG"), "image/jpeg")
        expect(page.locator(".dial-now")).to_have_text("no original to compare")
        expect(page.locator("#dial-place")).to_contain_text("64 x 64 pixels, from column 118 and row 68 of 300 x 200")
        settled(page)
        before = shown(page)
        page.focus(".dial-thumb")
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("Shift+ArrowDown")
        expect(page.locator("#dial-place")).to_contain_text("column 110 and row 69")
        settled(page)
        assert shown(page) != before
        page.click(".dial-thumb", position={"x": 1, "y": 1})
        expect(page.locator("#dial-place")).to_contain_text("column 0 and row 0")
        page.check("[value=degrade]")
        expect(page.locator("#dial-place")).to_contain_text("128 x 128 pixels")
        expect(page.locator(".dial-now")).to_contain_text("dB")
        settled(page)
        before = page.inner_text(".dial-input")
        page.evaluate(
            """() => { const range = document.querySelector(".dial-noise");
            range.value = 0.1; range.dispatchEvent(new Event("input")); }"""
        )
        settled(page)
        assert page.inner_text(".dial-input") != before
        page.check("label.dial-choice:first-child input", force=True)
        expect(page.locator(".dial-own")).to_be_hidden()


def test_files_that_are_no_pictures_are_said_and_the_page_goes_on(browser, run):  # noqa: F811
    huge = bytearray(picture(16, 16))
    huge[16:24] = (40000).to_bytes(4, "big") * 2  # declares 1.6e9 pixels
    broken = {
        "<b>text</b>.png": b"no picture",
        "empty.png": b"",
        "cut.png": picture(64, 64)[:60],
        "huge.png": bytes(huge),
    }
    with watched_page(browser) as page:
        page.goto(run[0])
        settled(page)
        page.check("label.dial-choice:last-child input", force=True)
        for name, content in broken.items():
            give(page, name, content)
            expect(page.locator(".dial-message")).to_contain_text(f"“{name}” cannot be read as a picture")
        give(page, "tiny.png", picture(9, 40))
        expect(page.locator(".dial-message")).to_contain_text("at least 16 are needed")
        assert page.locator(".dial-message b").count() == 0
        before = shown(page)
        turn(page, 1, 0.5)
        assert shown(page) != before
        give(page, "good.png", picture(40, 30))
        expect(page.locator(".dial-message")).to_have_text("")
        expect(page.locator("#dial-place")).to_contain_text("40 x 30 pixels, from column 0 and row 0")
        page.wait_for_selector(IDLE)
        assert page.evaluate("document.querySelector('.dial-right').width") == 80


def test_a_large_picture_is_shrunk_with_a_word(browser, run):  # noqa: F811
    with watched_page(browser) as page:
        page.goto(run[0])
        page.check("label.dial-choice:last-child input", force=True)
        give(page, "large.png", picture(8000, 5000))
        said = "The picture of 8000 x 5000 pixels was shrunk to 5181 x 3238"
        expect(page.locator(".dial-message")).to_contain_text(said, timeout=30_000)
        expect(page.locator("#dial-place")).to_contain_text("of 5181 x 3238")


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_a_picture_can_be_dropped_and_pasted(browser, run, way):  # noqa: F811
    put = """([content, way]) => {
      const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
      const transfer = new DataTransfer();
      transfer.items.add(new File([bytes], "own.png", { type: "image/png" }));
      const options = { bubbles: true, cancelable: true };
      const event = way === "drop"
        ? new DragEvent("drop", { ...options, dataTransfer: transfer })
        : new ClipboardEvent("paste", { ...options, clipboardData: transfer });
      document.getElementById("dial-board").dispatchEvent(event);
    }"""
    with watched_page(browser) as page:
        page.goto(run[0])
        settled(page)
        page.evaluate(put, [base64.b64encode(picture(100, 80)).decode(), way])
        expect(page.locator("#dial-place")).to_contain_text("of 100 x 80")
        expect(page.locator(".dial-own")).to_be_visible()


def test_the_divider_is_dragged(browser, run):  # noqa: F811
    with watched_page(browser) as page:
        page.goto(run[0])
        settled(page)
        box = page.locator(".dial-frame").bounding_box()
        assert box is not None
        middle = box["y"] + box["height"] / 2
        page.mouse.move(box["x"] + box["width"] / 2, middle)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] / 4, middle, steps=5)
        page.mouse.up()
        split = page.evaluate("document.querySelector('.dial-frame').style.getPropertyValue('--dial-split')")
        assert float(split.removesuffix("%")) == pytest.approx(25, abs=2)


@pytest.mark.parametrize("lacking", ["Worker", "DecompressionStream"])
def test_a_browser_that_cannot_run_the_network_is_said(browser, run, lacking):  # noqa: F811
    lack = f"delete window.{lacking};"
    if lacking == "DecompressionStream":  # in workers, too
        lack += "const made = Blob; window.Blob = function (parts, options) {"
        lack += "return new made(['delete self.DecompressionStream;', ...parts], options); };"
    with watched_page(browser) as page:
        page.add_init_script(lack)
        page.goto(run[0])
        expect(page.locator(".dial-status")).to_contain_text("The network cannot be run")
        if lacking == "DecompressionStream":
            expect(page.locator("#layer-board")).to_contain_text("The layers cannot be shown")


def test_without_tiles_the_reader_is_asked_for_a_picture(browser, tmp_path):  # noqa: F811
    paths, *_ = saved(tmp_path, spec(scale=1))
    with watched_page(browser) as page:
        page.goto(written(tmp_path, dials(paths)[0], WORDS))
        expect(page.locator(".dial-own")).to_be_visible()
        give(page, "own.png", picture(70, 70))
        expect(page.locator(".dial-now")).to_have_text("no original to compare")
        assert page.locator(".dial-filter").count() == 0
        page.check("[value=degrade]")
        settled(page)
        assert page.inner_text(".dial-now").endswith("dB")


def test_names_are_text_not_markup(browser, tmp_path, images):  # noqa: F811
    paths, *_ = saved(tmp_path, spec())
    data, _ = dials(paths, 0.3, read_tiles(images[0], images[1], ["blur"], 0, 2))
    drawn = layers(paths, 0.3)
    bad = "</script><img src=x onerror=alert(1)>"
    data["dials"][0]["label"] = data["tiles"]["inputs"][0]["label"] = drawn["layers"][0]["name"] = bad
    drawn["labels"] = dict.fromkeys(drawn["labels"], bad)
    with watched_page(browser) as page:
        page.goto(written(tmp_path, data, drawn))
        page.wait_for_selector(IDLE)
        page.click(".layer-row >> nth=0")
        expect(page.locator(".layer-kernels canvas").first).to_be_visible()
        assert page.locator("img[onerror]").count() == 0
        assert bad in page.inner_text(".dial-row >> nth=0")
        assert bad in page.inner_text(".layer-row >> nth=0")


def test_sentences_stand_in_place_of_both_parts(browser, tmp_path):  # noqa: F811
    with watched_page(browser) as page:
        page.goto(written(tmp_path, WORDS, WORDS))
        assert page.inner_text("main").count(WORDS) == 2
        assert page.locator("input, button, canvas").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_audit_of_accessibility_finds_nothing(browser, run, scheme):  # noqa: F811
    size = {"width": 360, "height": 740}
    with watched_page(browser, color_scheme=scheme, viewport=size) as page:
        page.goto(run[0])
        settled(page)
        page.check("label.dial-choice:last-child input", force=True)
        give(page, "own.png", picture(300, 200))
        page.check("[value=degrade]")
        page.click(".layer-row >> nth=1")
        expect(page.locator(".layer-kernels canvas").first).to_be_visible()
        settled(page)
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


# Layers


def test_rows_count_each_layers_filters_and_open_to_the_best_kernels(browser, run):  # noqa: F811
    uri, found, model = run
    counts = {name: model.index.count_by_layer(filters) for name, filters in found.items()}
    with watched_page(browser) as page:
        page.goto(uri)
        rows = page.locator(".layer-row")
        expect(rows).to_have_count(len(model.index.layers))
        for place, (name, size) in enumerate(zip(model.index.layers, model.index.sizes, strict=True)):
            blur, noise = (counts[each][place] for each in ("blur", "noise"))
            expect(rows.nth(place)).to_have_text(f"{name}: {blur} of {size} filters for blur, {noise} for noise")
        rows.nth(0).click()
        expect(page.locator(".layer-kernels li")).to_have_count(int(counts["blur"][0] + counts["noise"][0]))
        best = next(each for each in found["blur"] if each < model.index.sizes[0])
        _, out, inp = model.index.locate(np.array([best]))
        key = model.index.keys[0]
        norm = np.linalg.norm((model.target[key] - model.baseline[key])[out[0], inp[0]].numpy())
        text = page.locator(".layer-kernels li").first.inner_text()
        assert text.startswith(f"input {inp[0]} → output {out[0]}")
        assert float(text.split()[-1]) == pytest.approx(norm, rel=6e-3)
        page.select_option(".layer-method", "weight_change_undivided")
        expect(page.locator(".layer-panel").first).to_contain_text("choose it above to see them")
        assert page.locator(".layer-kernels").count() == 0


@pytest.mark.parametrize("granularity", ["kernel", "channel"])
def test_layers_of_every_kind_are_drawn(browser, tmp_path, granularity):  # noqa: F811
    paths, index, *_ = saved_network(tmp_path, Mixed(), foreign, granularity)
    drawn = layers(paths, 0.9)
    with watched_page(browser) as page:
        page.goto(written(tmp_path, WORDS, drawn))
        rows = page.locator(".layer-row")
        expect(rows).to_have_count(len(index.layers))
        for place in range(len(index.layers)):
            rows.nth(place).click()
            panel = page.locator(".layer-panel").nth(place)
            expect(panel.locator(".layer-kernels canvas").first).to_be_visible()
            said = "A filter is a whole output channel" if granularity == "channel" else "For each filter"
            expect(panel).to_contain_text(said)
        if granularity == "kernel":
            grouped = page.locator(".layer-panel").nth(1)
            inputs = {int(text.split()[1]) for text in grouped.locator("li").all_inner_texts()}
            assert inputs == set(range(6))
            line = page.locator(".layer-panel").nth(4)
            expect(line).to_contain_text("A filter of this layer is one weight.")


def test_more_filters_than_are_shown_are_said(browser, tmp_path):  # noqa: F811
    paths, index, *_ = saved(tmp_path, spec(width=16))
    found = dials(paths, 0.5)[1]
    total = int(index.count_by_layer(found["blur"])[1])
    assert total > 48
    with watched_page(browser) as page:
        page.goto(written(tmp_path, WORDS, layers(paths, 0.5)))
        page.click(".layer-row >> nth=1")
        expect(page.locator(".layer-panel h3").first).to_contain_text(f"the best 48 of {total} are shown")
        expect(page.locator(".layer-kernels").first.locator("li")).to_have_count(48)
        shown = page.locator(".layer-kernels").first.locator("li:visible")
        assert shown.count() < 48
        page.click("text=Show all 48 >> nth=0")
        expect(shown).to_have_count(48)
