"""A drawing of the network with its discovered filters lit up, as SVG.

Every layer is a column, from the input on the left to the output on the right. In a column the layer's output channels
run from top to bottom, in at most :data:`ROWS` cells for each ability; a cell is the brighter the larger the share of
its filters that are discovered.
"""

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from faig.attribution.filters import FilterIndex

ROWS = 16
WIDTH, HEIGHT = 720, 250  # of the drawing's own units
TOP, BOTTOM = 62, 232  # of the cells
LABELS = 20
"""Layers whose names all find room; of more, only some are named."""


def draw(index: FilterIndex, found: Mapping[str, np.ndarray], dials: Sequence[float]) -> str:
    """The drawing.

    Args:
        index: the network's filters.
        found: discovered filters (n,) by ability.
        dials: lambda of each ability; a dial that is turned down dims its filters.

    Returns:
        HTML with an ``svg`` element and its legend; names are escaped.
    """
    num_layers, num_kinds = len(index.layers), max(len(found), 1)
    pitch = WIDTH / num_layers
    gap = min(6.0, 0.18 * pitch)
    cell = (pitch - gap) / num_kinds
    every = -(-num_layers // LABELS)
    total = sum(len(filters) for filters in found.values())
    parts = [
        "<h2>Where the filters of the dials are</h2>"
        '<div class="scroll" tabindex="0" role="group" aria-label="Drawing of the network">'
        f'<svg class="network" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(_summary(index, found))}">'
    ]
    for layer, name in enumerate(index.layers):
        x = layer * pitch + gap / 2
        parts.append(f'<rect class="layer" x="{x:.1f}" y="{TOP}" width="{pitch - gap:.1f}" height="{BOTTOM - TOP}"/>')
        if layer % every == 0:
            label = escape(_short(name, every * pitch))
            parts.append(f'<text x="{x + (pitch - gap) / 2:.1f}" y="{HEIGHT - 4}">{label}</text>')
    counts = {ability: index.count_by_layer(filters) for ability, filters in found.items()}
    most = max((count.max() for count in counts.values()), default=0) or 1
    for kind, (ability, filters) in enumerate(found.items()):
        value = dials[kind] if kind < len(dials) else 1.0
        parts.append(f'<g class="ability-{kind}" opacity="{0.2 + 0.8 * min(max(value, 0.0), 1.0):.2f}">')
        for layer, count in enumerate(counts[ability].tolist()):
            x = layer * pitch + gap / 2 + kind * cell
            if not count:
                continue
            bar = (TOP - 12) * count / most
            title = escape(f"{index.layers[layer]}: {count} of {index.sizes[layer]:,} filters for {ability}")
            parts.append(
                f'<rect x="{x:.1f}" y="{TOP - 6 - bar:.1f}" width="{cell:.1f}" height="{bar:.1f}">'
                f"<title>{title}</title></rect>"
            )
        for layer, row, num_rows, share in _cells(index, filters):
            x, height = layer * pitch + gap / 2 + kind * cell, (BOTTOM - TOP) / num_rows
            parts.append(
                f'<rect x="{x:.1f}" y="{TOP + row * height:.1f}" width="{cell:.1f}" height="{height:.1f}" '
                f'fill-opacity="{0.15 + 0.85 * min(share / 0.3, 1.0) ** 0.5:.2f}"/>'
            )
        parts.append("</g>")
    return "".join([*parts, "</svg></div>", _legend(found, total)])


def _cells(index: FilterIndex, filters: np.ndarray) -> list[tuple[int, int, int, float]]:
    """Layer, row, rows of the layer, and the share of the cell's filters that are discovered; cells with some."""
    layers, outs, _ = index.locate(filters)
    cells = []
    for layer, (num_out, per_out) in enumerate(index.shapes):
        rows = min(ROWS, num_out)
        row_of = np.arange(num_out) * rows // num_out
        sizes = np.bincount(row_of, minlength=rows) * per_out
        counts = np.bincount(row_of[outs[layers == layer]], minlength=rows)
        cells += [(layer, row, rows, counts[row] / sizes[row]) for row in np.flatnonzero(counts).tolist()]
    return cells


def _summary(index: FilterIndex, found: Mapping[str, np.ndarray]) -> str:
    """The drawing in words."""
    parts = []
    for ability, filters in found.items():
        counts = index.count_by_layer(filters)
        best = np.argsort(-counts, kind="stable")[:3]
        where = ", ".join(f"{counts[layer]} in {index.layers[layer]}" for layer in best.tolist() if counts[layer])
        parts.append(f"{ability}: {len(filters)} filters, most of them {where}")
    return f"Network of {len(index.layers)} layers and {index.num_filters:,} filters. " + ". ".join(parts)


def _short(name: str, width: float) -> str:
    """A layer's name in short, and no more of its end than there is room for."""
    short = name.removeprefix("body.").replace("conv", "c").replace("upsample", "up")
    room = max(int(width / 5.5), 4)
    return short if len(short) <= room else "…" + short[1 - room :]


def _legend(found: Mapping[str, np.ndarray], total: int) -> str:
    entries = "".join(
        f'<li class="ability-{kind}"><span></span>{escape(ability)}: {len(filters):,} filters</li>'
        for kind, (ability, filters) in enumerate(found.items())
    )
    caption = (
        "Each column is a layer, from the input to the output. Its cells are groups of output channels: the "
        "stronger the colour, the more of their filters are moved. The bars above count the filters of a layer."
    )
    return f'<ul class="legend">{entries}</ul><p class="quiet">{caption}</p>' if total else ""
