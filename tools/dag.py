"""The picture of both pipelines, docs/dag.svg, from dvc.yaml and argument/dvc.yaml.

Stages that are made for each target or degradation are one box, and so are stages that start from the same stages and
lead to the same ones. Where a stage can be reached by way of another, there is no second arrow.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import networkx as nx
from grandalf.graphs import Edge, Graph, Vertex
from grandalf.layouts import SugiyamaLayout

from tools.tables import Json, read_yaml

PICTURE = "docs/dag.svg"
PIPELINES = {"dvc.yaml": "mission", "argument/dvc.yaml": "argument"}
EACH = {"degradations": "degradation", "targets": "target"}
LOOKS = {"mission": {"fill": "#d7e8fb", "stroke": "#2a5f9e"}, "argument": {"fill": "#fbe7c8", "stroke": "#8a5a00"}}
"""Dark words on light boxes, and grey arrows: they can be read on a light and on a dark page alike."""

LEGEND = {"mission": "mission: dvc.yaml", "argument": "argument: argument/dvc.yaml"}
CHARACTER, LINE, PAD, GAP = 7.6, 20, 9, 34  # pixels


def stages_of(root: Path) -> nx.DiGraph:
    """Stages of both pipelines, by name, with an edge where one reads what another writes."""
    params, writes, reads = read_yaml(root / "params.yaml"), {}, {}
    graph = nx.DiGraph()
    for file, pipeline in PIPELINES.items():
        for name, stage in read_yaml(root / file)["stages"].items():
            over = re.fullmatch(r"\$\{(\w+)\}", stage.get("foreach", ""))
            label = f"{name}@<{EACH[over[1]]}>" if over else name
            graph.add_node(label, pipeline=pipeline)
            what = stage.get("do", stage)
            keys = list(params[over[1]]) if over else [""]
            reads[label] = {path for key in keys for path in paths(what, ("deps",), params, key)}
            writes[label] = {path for key in keys for path in paths(what, ("outs", "metrics", "plots"), params, key)}
    for first, made in writes.items():
        for second, used in reads.items():
            if first != second and any(
                out == dep or out in dep.parents or dep in out.parents for out in made for dep in used
            ):
                graph.add_edge(first, second)
    return graph


def paths(stage: Json, kinds: tuple[str, ...], params: Json, key: str) -> Iterator[Path]:
    """Paths under the given keys of a stage, with the values of params.yaml filled in."""

    def value(found: re.Match[str]) -> str:
        if found[1] == "key":
            return key
        at = params
        for part in found[1].split("."):
            at = at[part]
        return str(at)

    for entry in (entry for kind in kinds for entry in stage.get(kind, [])):
        yield Path(re.sub(r"\$\{([\w.]+)\}", value, entry if isinstance(entry, str) else next(iter(entry))))


def grouped(graph: nx.DiGraph) -> nx.DiGraph:
    """Boxes: names one under another, without arrows that others make superfluous."""
    reduced = nx.transitive_reduction(graph)
    groups: dict[tuple[str, ...], list[str]] = {}
    for name in graph:
        around = (*sorted(reduced.predecessors(name)), "to", *sorted(reduced.successors(name)))
        groups.setdefault((graph.nodes[name]["pipeline"], *around), []).append(name)
    box = {name: "\n".join(names) for names in groups.values() for name in names}
    boxes = nx.DiGraph()
    for name in graph:
        boxes.add_node(box[name], pipeline=graph.nodes[name]["pipeline"])
    boxes.add_edges_from(sorted({(box[first], box[second]) for first, second in reduced.edges}))
    return boxes


class Box(Vertex):
    """A box of one or more names: its width and height, which the layout asks for, and its middle, which it sets."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.view = self  # what the layout asks
        self.lines = name.split("\n")
        self.w, self.h = max(map(len, self.lines)) * CHARACTER + 2 * PAD, len(self.lines) * LINE + PAD
        self.xy = (0.0, 0.0)


class Arrow(Edge):
    """An arrow between two boxes, and the points that the layout leads it through."""

    def __init__(self, first: Box, second: Box) -> None:
        super().__init__(first, second)
        self.view = self
        self.first, self.second = first, second
        self.points: list[tuple[float, float]] = []

    def setpath(self, points: list[tuple[float, float]]) -> None:
        """Called by the layout."""
        self.points = points


def draw(root: Path) -> str:
    """The picture as SVG text."""
    graph = grouped(stages_of(root))
    boxes = {name: Box(name) for name in graph}
    arrows = [Arrow(boxes[first], boxes[second]) for first, second in graph.edges]
    [connected] = Graph(list(boxes.values()), arrows).C
    layout = SugiyamaLayout(connected)
    layout.xspace, layout.yspace = GAP, GAP
    layout.init_all()
    layout.draw(3)
    layout.draw_edges()
    return picture(graph, boxes, arrows)


def picture(graph: nx.DiGraph, boxes: dict[str, Box], arrows: list[Arrow]) -> str:
    """Boxes and arrows at their places, beneath a legend."""
    left = min(box.xy[0] - box.w / 2 for box in boxes.values()) - PAD
    width = max(box.xy[0] + box.w / 2 for box in boxes.values()) + PAD - left
    top = min(box.xy[1] - box.h / 2 for box in boxes.values()) - 2 * GAP
    height = max(box.xy[1] + box.h / 2 for box in boxes.values()) + PAD - top
    size = {
        "viewBox": f"{left:.0f} {top:.0f} {width:.0f} {height:.0f}",
        "width": f"{width:.0f}",
        "height": f"{height:.0f}",
    }
    svg = ElementTree.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "role": "img", "font-size": "13"} | size)
    svg.set("font-family", "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace")
    ElementTree.SubElement(
        svg, "title"
    ).text = "The stages of both pipelines, and which of them reads what another writes"
    head = ElementTree.SubElement(svg, "marker", {"id": "head", "viewBox": "0 0 8 8", "refX": "8", "refY": "4"})
    head.attrib |= {"markerWidth": "8", "markerHeight": "8", "orient": "auto"}
    ElementTree.SubElement(head, "path", {"d": "M0 0L8 4L0 8z", "fill": "#7c7c7c"})
    for arrow in arrows:
        (x, y), (end_x, end_y) = arrow.first.xy, arrow.second.xy
        points = [(x, y + arrow.first.h / 2), *arrow.points[1:-1], (end_x, end_y - arrow.second.h / 2)]
        path = {"d": curve(points), "fill": "none", "stroke": "#7c7c7c", "stroke-width": "1.5"}
        ElementTree.SubElement(svg, "path", path | {"marker-end": "url(#head)"})
    for name, box in boxes.items():
        add_box(svg, box, graph.nodes[name]["pipeline"])
    for row, (pipeline, words) in enumerate(LEGEND.items()):
        box = Box(words)
        box.xy = (left + PAD + box.w / 2, top + box.h / 2 + 1 + row * (box.h + 4))
        add_box(svg, box, pipeline)
    ElementTree.indent(svg)
    return ElementTree.tostring(svg, encoding="unicode") + "\n"


def add_box(svg: ElementTree.Element, box: Box, pipeline: str) -> None:
    """A rounded rectangle with its lines; dashed in the argument, so that colours are not all that tells."""
    x, y = box.xy[0] - box.w / 2, box.xy[1] - box.h / 2
    place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "width": f"{box.w:.1f}", "height": f"{box.h:.1f}", "rx": "5"}
    dashes = {"stroke-dasharray": "5 3"} if pipeline == "argument" else {}
    ElementTree.SubElement(svg, "rect", place | LOOKS[pipeline] | dashes)
    for row, line in enumerate(box.lines):
        at = {"x": f"{box.xy[0]:.1f}", "y": f"{y + PAD / 2 + (row + 0.7) * LINE:.1f}", "text-anchor": "middle"}
        ElementTree.SubElement(svg, "text", at | {"fill": "#1a1a1a"}).text = line


def curve(points: list[tuple[float, float]]) -> str:
    """A smooth line downwards through the points."""
    parts = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for (x, y), (to_x, to_y) in pairwise(points):
        middle = (y + to_y) / 2
        parts.append(f"C{x:.1f} {middle:.1f} {to_x:.1f} {middle:.1f} {to_x:.1f} {to_y:.1f}")
    return "".join(parts)
