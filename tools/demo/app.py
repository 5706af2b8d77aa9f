"""The page: what is on it, and which handler is called where something on it is changed."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import gradio as gr

from faig.experiments.modulation import MAX_LAMBDA
from tools.demo.handlers import AS_IT_IS, DEGRADE, START, Page
from tools.demo.inputs import LEFT, LIMITS, PLUGGED
from tools.demo.pairs import MAX_DIALS
from tools.demo.plugins import MAX_PLUGINS
from tools.demo.words import NO_FILTERS, message

TITLE = "Which few filters remove blur, which remove noise?"
INTRODUCTION = f"""# {TITLE}
A network learned to upscale (the *baseline*), and was then trained further to remove blur and noise as well (the
*target*). For each of these abilities, a few filters were found to be responsible; a dial sets what they hold. At 1
they have the target's weights, and at 0 the baseline's: they are *masked*. All other filters stay the target's. **Mask
the filters for noise**, and the noise comes back while the blur is still removed; left of the divider is then what the
target makes of it."""
DIALS = (
    "## Dials\nEach sets lambda of one ability's filters. 0: the baseline's weights, 1: the target's, up to 1.5: "
    "beyond."
)
DEGRADATION = (
    "## Degradation\nThe photograph is blurred, made smaller, and given noise and JPEG's artefacts, in this order. "
    "Sigma of the noise is a share of white."
)
PLUGINS = (
    "A plug-in holds kernels for a few filters of one baseline, and adds an ability to it. Left of the divider is then "
    "the baseline with plug-ins, right of it the target. At strength 0 a plug-in is not there, at 1 it is as it was "
    "made. The second button makes plug-ins of the target's kernels at the dials' filters; trained ones do better."
)
SLIDERS = (
    ("blur", "Blur: sigma, pixels", 0.1, LIMITS["blur"], START["blur"]),
    ("noise", "Noise: sigma", 0.01, LIMITS["noise"], START["noise"]),
    ("jpeg", "JPEG: quality (100: none)", 1, LIMITS["jpeg"], START["jpeg"]),
)
SHARE = "Share of all filters that each dial moves, in %"
PLACES = (("left", "Frame: left to right"), ("top", "Frame: top to bottom"))
PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


def build(page: Page, first: str) -> gr.Blocks:
    """The page, opened with the pair ``first``."""
    opened = page.studio.open(first)
    method, ratio, words, search_button, *updates = page.controls(opened)
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(600, 1800)) as blocks:
        gr.Markdown(INTRODUCTION, elem_id="title")
        first_note = "" if opened.rankings.methods else message(NO_FILTERS)
        note = _message("note", first_note)
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
                    [(text, key) for key, text in LEFT.items() if key != PLUGGED],
                    value="input",
                    label="Left of the divider",
                    info="To its right: restored as the dials stand.",
                    elem_id="shown",
                )
            with gr.Column(scale=2, min_width=320):
                with gr.Group():
                    gr.Markdown(DIALS, elem_classes="hint")
                    with gr.Row():
                        dials = [
                            _slider(f"dial-{number}", 0.05, (0, MAX_LAMBDA), **_options(update))
                            for number, update in enumerate(updates[:MAX_DIALS])
                        ]
                    with gr.Row():
                        masks = [
                            gr.Button(size="sm", min_width=200, elem_id=f"mask-{number}", **_options(update))
                            for number, update in enumerate(updates[MAX_DIALS:])
                        ]
                    reset = gr.Button("Put dials and sliders back", size="sm", elem_id="reset")
                with gr.Group():
                    gr.Markdown(DEGRADATION, elem_classes="hint")
                    with gr.Row():
                        blur, noise, jpeg = (
                            _slider(name, step, limits, value=value, label=label)
                            for name, label, step, limits, value in SLIDERS
                        )
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
                    share = _slider("ratio", 0.1, (0.1, 10), label=SHARE, value=ratio["value"])
                    search = gr.Button(
                        "Find its filters by all methods",
                        size="sm",
                        visible=search_button["visible"],
                        elem_id="search",
                    )
                    progress = _message("progress")
            with gr.Column(scale=2, min_width=320):
                with gr.Accordion("Photograph", open=True):
                    name = gr.Dropdown(
                        list(page.files), value=next(iter(page.files)), label="Photograph", elem_id="name"
                    )
                    upload = gr.UploadButton("Use a photograph of your own", size="sm", elem_id="upload")
                    word = _message("word")
                    use = gr.Radio(
                        [DEGRADE, AS_IT_IS],
                        value=DEGRADE,
                        label="What is done with it",
                        info="As it is, no original is known, so there is no PSNR.",
                        elem_id="use",
                    )
                    small = gr.Image(
                        label="Click to move the frame",
                        interactive=False,
                        buttons=[],
                        format="png",
                        height=200,
                        elem_id="place",
                    )
                    with gr.Row():
                        left, top = (_slider(key, 0.01, (0, 1), value=0.5, label=label) for key, label in PLACES)
                with gr.Accordion("Plug-ins", open=False, elem_id="plugins"):
                    gr.Markdown(PLUGINS)
                    held = gr.State([], time_to_live=3600)
                    put_in = gr.UploadButton("Put a plug-in's file into the baseline", size="sm", elem_id="put-in")
                    make = gr.Button("Make plug-ins of the dials' filters", size="sm", elem_id="make")
                    plugin_word = _message("plugin-word")
                    strengths, outs, saves = [], [], []
                    for number in range(MAX_PLUGINS):
                        strengths.append(_slider(f"strength-{number}", 0.05, (0, MAX_LAMBDA), visible=False))
                        with gr.Row():
                            outs.append(gr.Button(size="sm", visible=False, elem_id=f"out-{number}"))
                            saves.append(gr.DownloadButton(size="sm", visible=False, elem_id=f"save-{number}"))
        material = [upload_state, name]
        given = [*material, pair, left, top, use, blur, noise, jpeg, methods, share, shown, held, *dials, *strengths]
        newest: dict[str, Any] = {"trigger_mode": "always_last", "concurrency_limit": 4}
        turning = {"outputs": [pictures, psnr, drawing], **newest}
        telling = {"fn": page.tell, "inputs": given, "outputs": told, **newest, **PRIVATE}

        def turn(event: Any) -> None:
            event(page.turn, given, **turning, **PRIVATE).then(**telling)

        sliders = [left, top, blur, noise, jpeg, share, *dials, *strengths]
        changed = [each.input for each in (name, use, methods)]
        # Not `input`: some are set by buttons; what is typed beyond a range is put back into it as the field is left.
        changed += [each.change for each in (shown, *sliders)]
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
        for dial, mask in zip(dials, masks, strict=True):
            mask.click(lambda: (0.0, "target"), None, [dial, shown], **PRIVATE)
        slots = [held, shown, *strengths, *outs, *saves, plugin_word]
        controls = [methods, share, description, search, *dials, *masks, note, *slots]
        turn(pair.input(page.choose, [pair, held, *strengths], controls, **PRIVATE).then)
        turn(put_in.upload(page.slots.put_in, [put_in, pair, held, *strengths], slots, **PRIVATE).then)
        turn(make.click(page.slots.make, [pair, methods, share, held, *strengths], slots, **PRIVATE).then)
        for number, out in enumerate(outs):
            turn(out.click(partial(page.slots.take_out, number), [held, *strengths], slots, **PRIVATE).then)
        turn(upload.upload(page.receive, upload, [*material, word], **PRIVATE).then)
        name.input(lambda: "", None, word, **PRIVATE)
        turn(small.select(page.place, [*material, pair, use], [left, top], **PRIVATE).then)
        searching = search.click(page.search, pair, progress, concurrency_limit=2, **PRIVATE)
        turn(searching.success(page.choose, [pair, held, *strengths], controls, **PRIVATE).then)
        turn(
            reset.click(
                page.back, pair, [methods, share, blur, noise, jpeg, left, top, shown, *dials, *strengths], **PRIVATE
            ).then
        )
    return blocks


def _options(update: Mapping[str, Any]) -> dict[str, Any]:
    """What an update of a component says, as arguments of its constructor."""
    return {key: value for key, value in update.items() if key != "__type__"}


def _message(name: str, text: str = "") -> gr.HTML:
    return gr.HTML(text, elem_id=name, elem_classes="message", padding=False)


def _slider(name: str, step: float, limits: tuple[float, float], **options: Any) -> gr.Slider:
    slider = gr.Slider(*limits, step=step, min_width=200, elem_id=name, buttons=[], **options)
    # Gradio's own check of the range prints a traceback in the terminal; a Wish checks it, too.
    slider.preprocess = lambda payload: payload
    return slider
