"""The page: its sections put together, and written as one file by the template."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

import vl_convert
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from faig.base.errors import InputError
from faig.base.files import replacing
from faig.experiments.score_table import Layers, discovered_by, read_layers
from faig.figures.plots import colours_of, label_of
from faig.page import argument, sections
from faig.page.answer import answer, question
from faig.page.charts import ratio_charts
from faig.page.images import shown_pictures
from faig.page.networks import dials_data, layers_data, read_tiles
from faig.page.run import Files, Missing, Run
from faig.page.values import Numbers
from faig.report.claims import ClaimParams

T = TypeVar("T")
TEMPLATES = Path(__file__).parent / "templates"
STYLES = ("page.css", "dials.css", "layers.css")
SCRIPTS = ("page.js", "network.js", "dials.js", "layers.js")
"""Of the templates' folder, in the order in which the page runs them."""
UNRANKED = "There is no score table that ranks all filters of {}. `dvc repro score` makes it."
PAGE_BYTES, OTHER_BYTES = 4_700_000, 500_000
"""Of a page that still takes crops of the predictor, and of what it holds beside images, networks and Vega."""


def write_page(
    files: Files, run: Run, asked: Mapping[str, ClaimParams] | str, noted: Sequence[Mapping[str, object]]
) -> None:
    """Write the report of a run; equal files, settings and times give equal bytes.

    Args:
        files: of the run; what is missing, the page says so.
        run: the settings.
        asked: the claims; a sentence where there are none.
        noted: time and memory by stage, as :func:`stages.shared.timings.read_timings` returns them.

    Raises:
        InputError: a file is damaged, or of another kind than its name says.
    """
    page = environment().get_template("page.html.j2").render(context(files, run, asked, noted))
    with replacing(files.page) as partial:
        partial.write_text(page, encoding="utf-8", newline="\n")


@cache
def environment() -> Environment:
    """The template engine: all that is put into the page is escaped, and a name that is not known is an error."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["label"] = label_of
    return made


def context(
    files: Files, run: Run, asked: Mapping[str, ClaimParams] | str, noted: Sequence[Mapping[str, object]]
) -> dict[str, Any]:
    """All that the template shows, by section; a sentence in place of a section that has nothing to show."""
    mission, further = _found(files.numbers, "mission"), _found(files.numbers, "argument")
    layers, found = _filters(files, run)
    degradations = [*run.attributed, *(name for name in run.classes if name not in run.attributed)]
    of_mission = mission if isinstance(mission, Numbers) else None
    of_argument = further if isinstance(further, Numbers) else None

    def measured(section: Callable[..., T], *arguments: object) -> T | str:
        return mission if isinstance(mission, str) else _found(section, mission, *arguments)

    pictures, vega, hrefs = _found(_pictures, files, run), _vega(), _hrefs(files, run)
    dials, where = _found(_dials, files, run, found, layers), _found(_layers, files, run, layers)
    used = OTHER_BYTES + sum(len(json.dumps(part, default=str)) for part in (pictures, vega, dials, where))
    return {
        "question": question(run.attributed),
        "answer": measured(answer, run, len(layers.numbers) if layers else None, hrefs),
        "confidence": run.bootstrap.confidence,
        "num_images": _num_images(files),
        "pictures": pictures,
        "dials": dials,
        "layers": where,
        "curves": measured(ratio_charts, run),
        "quality": measured(sections.quality, run),
        "masking": measured(sections.masking, run),
        "confusion": _found(sections.confusion, files, run, of_mission, max(0, PAGE_BYTES - used) * 3 // 4),
        "claims": asked
        if isinstance(asked, str)
        else sections.claims(asked, of_mission, of_argument, hrefs.get("claims", "")),
        "argument": _found(argument.shown, files, run, further),
        "settings": sections.settings(run.shown),
        "versions": sections.versions(),
        "timings": _found(partial(sections.timings, has_argument=of_argument is not None), noted),
        "run": run,
        "hrefs": hrefs,
        "colours": colours_of(degradations),
        "style": "\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in STYLES),
        "vega": vega,
        "scripts": [(TEMPLATES / name).read_text(encoding="utf-8") for name in SCRIPTS],
        "has_argument": of_argument is not None,
    }


def _found(section: Callable[..., T], *arguments: object) -> T | str:
    """What a section shows, or the sentence that stands in its place."""
    try:
        return section(*arguments)
    except Missing as missing:
        return str(missing)


def _hrefs(files: Files, run: Run) -> dict[str, str]:
    """Links to the files that sections name."""
    named = {name: files.link(path) for name, path in files.paths.items() if path is not None}
    scores = files.paths.get("scores")
    named["params"] = files.link(Path("params.yaml"))
    named["table"] = files.link(scores / f"{run.target}.parquet") if scores else ""
    return named


def _pictures(files: Files, run: Run) -> dict[str, Any]:
    table = files.table("pictures", columns=["row", "column", "psnr", "png"])
    return shown_pictures(table, run, files.link(files["pictures"]))


def _num_images(files: Files) -> int:
    """How many test images there are; 0 where the files do not tell."""
    hr = files.paths.get("hr")
    return len(list((hr / "test").glob("*.png"))) if hr else 0


def _filters(files: Files, run: Run) -> tuple[Layers | None, dict[str, Any]]:
    """The layers of the network and the discovered filters, as far as the score table has them."""
    try:
        path = files["scores"] / f"{run.target}.parquet"
        layers = read_layers(path)
        return layers, discovered_by(path, run.ratio, len(layers.numbers), run.method)  # pyright: ignore
    except (Missing, InputError):
        return None, {}


def _dials(files: Files, run: Run, found: Mapping[str, Any], layers: Layers | None) -> dict[str, Any] | str:
    if layers is None or not found:
        raise Missing(UNRANKED.format(run.target))
    folder = files["networks"]
    baseline, target = (folder / f"{name}.safetensors" for name in ("baseline", run.target))
    degradations = list(dict.fromkeys([*run.attributed, *run.classes]))
    tiles = _found(lambda: read_tiles(files["hr"], files["lr"], degradations, run.picture, run.scale))
    return dials_data(baseline, target, found, layers, None if isinstance(tiles, str) else tiles)


def _layers(files: Files, run: Run, layers: Layers | None) -> dict[str, Any] | str:
    if layers is None:
        raise Missing(UNRANKED.format(run.target))
    folder, scores = files["networks"], files["scores"] / f"{run.target}.parquet"
    baseline, target = (folder / f"{name}.safetensors" for name in ("baseline", run.target))
    return layers_data(baseline, target, scores, run.ratio, run.method)


@cache
def _vega() -> str:
    """Vega, Vega-Lite and vega-embed as one script that asks for nothing.

    Raises:
        AssertionError: the script would end the element that it stands in.
    """
    script = vl_convert.javascript_bundle()  # pyright: ignore[reportCallIssue]  # its stub lacks the default
    assert "</script" not in script.lower()
    return script
