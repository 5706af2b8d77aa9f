"""The page: what is on it, and which handler is called where something on it is changed."""

from functools import partial
from typing import Any

import gradio as gr

from tools.demo.handlers import AS_IT_IS, DEGRADE, START, Page
from tools.demo.inputs import LEFT, LIMITS, MAX_LAMBDA
from tools.demo.words import NO_FILTERS, message

INTRODUCTION = """# What do which filters do?
A network learned to upscale (the *baseline*), and was then trained further to remove blur and noise as well (the
*target*). Each dial moves the few filters that were found to be responsible for one ability: at 0 they have the
baseline's weights, at 1 the target's, and at 1.5 they go beyond. All other filters stay the target's."""
DIALS = "**Dials**: lambda of the filters of each ability. 0: as in the baseline, 1: as in the target."
DEGRADATION = "**Degradation**: blur, downsampling, noise, then JPEG. Noise is a share of white."
SLIDERS = (
    ("blur", "Blur: sigma, pixels", 0.1, LIMITS["blur"], START["blur"]),
    ("noise", "Noise: sigma", 0.01, LIMITS["noise"], START["noise"]),
    ("jpeg", "JPEG: quality (100: none)", 1, LIMITS["jpeg"], START["jpeg"]),
)
SHARE = "Share of all filters that each dial moves, in %"
PLACES = (("left", "Tile: left to right"), ("top", "Tile: top to foot"))
PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


def build(page: Page, first: str) -> gr.Blocks:
    """The page, opened with the pair ``first``."""
    opened = page.studio.open(first)
    method, ratio, words, search_button, *dial_updates = page.controls(opened)
    with gr.Blocks(title="What do which filters do?", analytics_enabled=False, delete_cache=(600, 1800)) as blocks:
        gr.Markdown(INTRODUCTION, elem_id="title")
        first_note = "" if opened.rankings.methods else message(NO_FILTERS)
        word, note = (
            gr.HTML(text, elem_id=name, elem_classes="message", padding=False)
            for name, text in (("word", ""), ("note", first_note))
        )
        upload_state = gr.State(None, time_to_live=3600)
        with gr.Row():
            with gr.Column(scale=3, min_width=320):
                pictures = gr.ImageSlider(
                    label="Drag the divider",
                    format="bmp",  # written fastest; it does not leave the machine
                    type="numpy",
                    interactive=False,
                    buttons=["fullscreen"],
                    max_height=560,
                    elem_id="pictures",
                )
                shown = gr.Radio(
                    [(text, key) for key, text in LEFT.items()],
                    value="input",
                    label="Left of the divider",
                    info="To its right: restored as the dials stand.",
                    elem_id="shown",
                )
            with gr.Column(scale=2, min_width=320):
                with gr.Group():
                    gr.Markdown(DIALS, elem_classes="hint")
                    with gr.Row():
                        dials = [_dial(number, update) for number, update in enumerate(dial_updates)]
                    reset = gr.Button("Put dials and sliders back", size="sm", elem_id="reset")
                with gr.Group():
                    gr.Markdown(DEGRADATION, elem_classes="hint")
                    with gr.Row():
                        blur, noise, jpeg = (_slider(*each) for each in SLIDERS)
                psnr = gr.HTML("", elem_id="psnr", padding=False)
        with gr.Row():
            with gr.Column(scale=3, min_width=320):
                told, drawing = (gr.HTML("", elem_id=name, padding=False) for name in ("told", "drawing"))
                with gr.Accordion("Networks and filters", open=True):
                    offered = [(each.title, key) for key, each in page.studio.pairs.items()]
                    pair = gr.Dropdown(offered, value=first, label="Networks", elem_id="pair")
                    description = gr.Markdown(words)
                    methods = gr.Dropdown(
                        method["choices"], value=method["value"], label="Filters found by", elem_id="method"
                    )
                    share = _slider(
                        "ratio", "Share of all filters that each dial moves, in %", 0.1, (0.1, 10), ratio["value"]
                    )
                    search = gr.Button(
                        "Find its filters by all methods",
                        size="sm",
                        visible=search_button["visible"],
                        elem_id="search",
                    )
            with gr.Column(scale=2, min_width=320), gr.Accordion("Photograph", open=True):
                name = gr.Dropdown(list(page.files), value=next(iter(page.files)), label="Photograph", elem_id="name")
                upload = gr.UploadButton("Use a photograph of your own", size="sm", elem_id="upload")
                use = gr.Radio(
                    [DEGRADE, AS_IT_IS],
                    value=DEGRADE,
                    label="What is done with it",
                    info="As it is, it is the network's input, and no original is known.",
                    elem_id="use",
                )
                small = gr.Image(
                    label="Click where the tile is to lie",
                    interactive=False,
                    buttons=[],
                    format="png",
                    height=200,
                    elem_id="place",
                )
                with gr.Row():
                    left, top = (_slider(key, label, 0.01, (0, 1), 0.5) for key, label in PLACES)
        material = [upload_state, name]
        given = [*material, pair, left, top, use, blur, noise, jpeg, methods, share, shown, *dials]
        newest: dict[str, Any] = {"trigger_mode": "always_last", "concurrency_limit": 4}
        turning = {"outputs": [pictures, psnr, drawing, word], **newest}
        telling = {"fn": page.tell, "inputs": given, "outputs": told, **newest, **PRIVATE}

        def turn(event: Any) -> None:
            event(page.turn, given, **turning, **PRIVATE).then(**telling)

        sliders = [left, top, blur, noise, jpeg, share, *dials]
        changed = [each.input for each in (name, use, methods, shown)]
        # Not `input`: what is typed beyond the range is put back into it, unsaid, as the field is left.
        changed += [each.change for each in sliders]
        turn(partial(gr.on, [*changed, blocks.load]))
        places = [*material, pair, left, top, use]
        gr.on(
            [name.change, left.change, top.change, use.change, pair.change, upload_state.change, blocks.load],
            page.show_place,
            places,
            small,
            trigger_mode="always_last",
            **PRIVATE,
        )
        controls = [methods, share, description, search, *dials, note]
        turn(pair.input(page.choose, pair, controls, **PRIVATE).then)
        turn(upload.upload(page.receive, upload, [*material, note], **PRIVATE).then)
        turn(small.select(page.place, [*material, pair, use], [left, top], **PRIVATE).then)
        searching = search.click(page.search, pair, note, concurrency_limit=2, **PRIVATE)
        turn(searching.success(page.choose, pair, controls, **PRIVATE).then)
        turn(reset.click(page.back, pair, [methods, share, blur, noise, jpeg, left, top, *dials], **PRIVATE).then)
    return blocks


def _slider(name: str, label: str, step: float, limits: tuple[float, float], value: float) -> gr.Slider:
    return gr.Slider(*limits, value=value, step=step, label=label, min_width=200, elem_id=name, buttons=[])


def _dial(number: int, update: dict[str, Any]) -> gr.Slider:
    """A dial; those that a pair has no ability for are hidden."""
    return gr.Slider(
        0,
        MAX_LAMBDA,
        value=1.0,
        step=0.05,
        label=update.get("label", f"dial {number}"),
        visible=update["visible"],
        min_width=200,
        elem_id=f"dial-{number}",
        buttons=[],
    )
