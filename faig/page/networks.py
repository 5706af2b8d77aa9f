"""What the report's page needs to run the networks and to draw filters: weights, kernels and tiles.

Where something cannot be done, the result is a sentence that the page shows in its place.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from faig.base.errors import InputError
from faig.data.images import encode_png, list_images, read_image
from faig.experiments.score_table import METHODS, Layers, read_discovered, read_layers
from faig.figures.plots import label_of
from faig.page.packing import Weights, pack, read_weights
from faig.page.plans import PLANS

MAX_WEIGHTS = 400_000
"""A network of more weights is not put into the page: 2 MB of text, and about a second for a tile."""
TILE = 64
"""LR pixels of a side of the tiles, at most."""
MAX_DRAWN = 48
"""Filters of a degradation and layer whose kernels are kept, at most."""
MAX_KERNELS = 320_000
"""Bytes of all kernels that are kept, at most, before they are packed: with more layers, fewer of each."""
MAX_INPUTS, MAX_TAPS = 8, 64
"""Kernels of a filter that is a whole output channel, and weights of a kernel, that are kept, at most."""
MAX_POSITIONS = 200_000
"""Bytes of the positions of the filters of other methods, at most, before they are packed."""
ELSEWHERE = "`make demo` opens a page that runs this network on your computer."

Pair = tuple[np.ndarray, np.ndarray]
"""A layer's kernels before and after fine-tuning."""


def read_tiles(hr: Path, lr: Path, degradations: Sequence[str], number: int, scale: int) -> dict[str, Any] | None:
    """The middle of one test image and what each degradation makes of it, as data URIs of PNG files.

    Args:
        hr: folder of HR images, <hr>/test/<name>.png.
        lr: folder of LR images, <lr>/<degradation>/test/<name>.png.
        degradations: those without files are left out.
        number: of the test image, as ``mask.picture`` counts them: by size, then by name, and round again.
        scale: HR pixels per LR pixel along each side.

    Returns:
        The image's name, its tile ``hr``, and ``inputs``: name, label and ``lr`` of each degradation; None where files
        are missing.

    Raises:
        InputError: a file is no image.
    """
    image, shown, inputs = None, "", []
    for degradation in degradations:
        folder = lr / degradation / "test"
        paths = list_images(folder) if folder.is_dir() and any(folder.iterdir()) else []
        if not paths:
            continue
        path = sorted(paths, key=lambda path: (_size(path), path.stem))[number % len(paths)]
        original = hr / "test" / path.name
        if original.is_file() and image in (None, path.stem):
            image = path.stem
            small, large = _middle(read_image(path), read_image(original), scale)
            shown = _uri(large)
            inputs.append({"name": degradation, "label": label_of(degradation), "lr": _uri(small)})
    return {"image": image, "hr": shown, "inputs": inputs} if inputs else None


def _size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.height, image.width


def _middle(lr: np.ndarray, hr: np.ndarray, scale: int) -> tuple[np.ndarray, np.ndarray]:
    height, width = (min(side, TILE) for side in lr.shape[:2])
    y, x = ((side - shown) // 2 for side, shown in zip(lr.shape[:2], (height, width), strict=True))
    return lr[y : y + height, x : x + width], hr[y * scale : (y + height) * scale, x * scale : (x + width) * scale]


def _uri(image: np.ndarray) -> str:
    return "data:image/png;base64," + base64.b64encode(encode_png(np.ascontiguousarray(image), "a tile")).decode()


def dials_data(
    baseline: Path, target: Path, found: Mapping[str, np.ndarray], layers: Layers, tiles: Mapping[str, Any] | None
) -> dict[str, Any] | str:
    """What the page's dials need: the target's weights, the baseline's at the dialled filters, and tiles to restore.

    Args:
        baseline: weights file of the baseline.
        target: weights file of the target.
        found: the discovered filters (n,) by degradation, each a dial.
        layers: where the filters lie, as :func:`faig.experiments.score_table.read_layers` reads it.
        tiles: of :func:`read_tiles`; without them, the reader's own picture can be restored all the same.

    Returns:
        The data, or a sentence where the page cannot run this network.
    """
    try:
        header, weights = read_weights(target)
        before = read_weights(baseline)[1]
        network = _known(header)
        names = [step["name"] for step in network["plan"] if step["do"] == "convolve"]
        return network | _weights_and_dials(names, weights, before, found, layers) | {"tiles": tiles}
    except InputError as error:
        return str(error)


def _known(header: Mapping[str, Any]) -> dict[str, Any]:
    """What the page's script needs to know of a network: a plan of its steps, its scale."""
    params = header.get("params")
    if not isinstance(params, dict) or params.get("name") not in PLANS:
        what = header.get("architecture") if header.get("name") == "spandrel" else header.get("name")
        raise InputError(
            f"The dials can only be turned in this page for the networks {' and '.join(PLANS)}, which its script "
            f"knows, and this network is another one ({what}). {ELSEWHERE}"
        )
    scale, depth = header.get("scale"), params.get("depth")
    if scale not in (1, 2, 3, 4) or not isinstance(depth, int) or not 0 < depth <= MAX_WEIGHTS:
        raise InputError("The dials cannot be turned, because the target's file describes its network wrongly.")
    return {"network": params["name"], "scale": scale, "plan": PLANS[params["name"]](depth, scale)}


def _weights_and_dials(
    names: Sequence[str], weights: Weights, before: Weights, found: Mapping[str, np.ndarray], layers: Layers
) -> dict[str, Any]:
    count = sum(value.size for value in weights.values())
    if count > MAX_WEIGHTS:
        raise InputError(
            f"The dials cannot be turned in this page, because the network has {count:,} weights and the page holds at "
            f"most {MAX_WEIGHTS:,}. {ELSEWHERE}"
        )
    keys = [f"{name}.weight" for name in names]
    parts = [f"{name}.{part}" for name in names for part in ("weight", "bias")]
    if any(key not in weights or key not in before or weights[key].shape != before[key].shape for key in parts):
        raise InputError("The dials cannot be turned, because baseline and target are not of one network.")
    sizes = np.array([np.prod(weights[key].shape[:2]) for key in keys])
    if layers.names != tuple(names) or any(sizes % layers.sizes):
        raise InputError("The dials cannot be turned, because the filters were scored for another network.")
    kernels = {dial: _kernels_of(filters, layers, sizes) for dial, filters in found.items()}
    dialled = np.unique(np.concatenate(list(kernels.values()))) if kernels else np.empty(0, int)
    own = np.concatenate([before[key].reshape(-1, 9) for key in keys])[dialled]
    shapes = [weights[key].shape for key in keys]
    return {
        "convolutions": [
            {"name": name, "outputs": shape[0], "inputs": shape[1]} for name, shape in zip(names, shapes, strict=True)
        ],
        "weights": pack(np.concatenate([weights[key].ravel() for key in parts]).astype(np.float32)),
        "baseline": pack(own.astype(np.float32)),
        "dials": [
            {"name": dial, "label": label_of(dial), "count": len(found[dial])}
            | {"filters": pack(filters.astype(np.int32))}
            for dial, filters in kernels.items()
        ],
        "count": len(layers.numbers),
    }


def _kernels_of(filters: np.ndarray, layers: Layers, sizes: np.ndarray) -> np.ndarray:
    """Numbers of the kernels of filters (n,): themselves, or all of an output channel where that is one filter."""
    per_filter = sizes // layers.sizes
    layer = layers.numbers[filters]
    within = filters - (np.cumsum(layers.sizes) - layers.sizes)[layer]
    first = (np.cumsum(sizes) - sizes)[layer] + within * per_filter[layer]
    parts = [np.arange(start, start + count) for start, count in zip(first, per_filter[layer], strict=True)]
    return np.concatenate(parts) if parts else np.empty(0, int)


@dataclass(frozen=True)
class Shape:
    """How a layer's filters are numbered: ``first``, its first one's number, and ``rows`` x ``columns`` from there.

    A row is an output channel; in it, a column is an input channel of its group, or stands for all of them where a
    filter is a whole output channel.
    """

    name: str
    first: int
    rows: int
    columns: int
    groups: int
    is_channel: bool

    @property
    def end(self) -> int:
        """The number after its last filter's."""
        return self.first + self.rows * self.columns


def layers_data(baseline: Path, target: Path, scores: Path, ratio: float, method: str) -> dict[str, Any] | str:
    """What the picture of the layers needs: where the discovered filters lie, and the best ones' kernels.

    Args:
        baseline: weights file of the baseline.
        target: weights file of the target.
        scores: the score table.
        ratio: the share of all filters that counts as discovered.
        method: the method whose kernels are drawn; of the table's other methods, positions alone are kept.

    Returns:
        The data, or a sentence where a file is missing or the table is of another network.
    """
    try:
        header, after = read_weights(target)
        before = read_weights(baseline)[1]
        layers = read_layers(scores)
        ranked = read_discovered(scores, ratio, len(layers.numbers), [name for name in METHODS if name != "random"])
    except InputError as error:
        return str(error)
    found = {key.degradation: filters for key, filters in ranked.items() if key.method == method}
    if not found:
        return f"The score table holds no filters of the method {method}."
    shapes = _shapes(scores, layers)
    changes = _changes(scores)
    kernels = {shape.name: _kernels(shape, before, after, changes) for shape in shapes}
    positions = {key: filters for key, filters in ranked.items() if key.method == method}
    if sum(filters.size * filters.itemsize for filters in ranked.values()) <= MAX_POSITIONS:
        positions = ranked
    methods: dict[str, dict[str, Any]] = {}
    for key, filters in positions.items():
        methods.setdefault(key.method, {})[key.degradation] = pack(np.sort(filters).astype(np.int32))
    groups, drawn = _groups(found, shapes, kernels)
    return {
        "network": str((header.get("params") or header).get("name", "")),
        "ratio": ratio,
        "method": method,
        "methods": methods,
        "degradations": list(found),
        "labels": {name: label_of(name) for name in (*methods, *found)},
        "layers": [
            {
                "name": shape.name,
                "first": shape.first,
                "rows": shape.rows,
                "columns": shape.columns,
                "groups": shape.groups,
            }
            | _drawing(shape, kernels[shape.name])
            for shape in shapes
        ],
        "groups": groups,
        "kernels": pack(drawn),
    }


def _shapes(scores: Path, layers: Layers) -> list[Shape]:
    with pq.ParquetFile(scores) as file:
        table = file.read_row_group(0, columns=["filter", "out_channel", "in_channel"]).to_pandas()
    table = table.sort_values("filter")
    firsts = np.cumsum(layers.sizes) - layers.sizes
    shapes = []
    for name, first, size in zip(layers.names, firsts.tolist(), layers.sizes.tolist(), strict=True):
        own = table.iloc[first : first + size]
        rows, inputs = int(own["out_channel"].max()) + 1, int(own["in_channel"].max()) + 1
        columns = size // rows
        shapes.append(Shape(name, first, rows, columns, max(inputs // columns, 1), is_channel=inputs == 0))
    return shapes


def _changes(scores: Path) -> np.ndarray | None:
    """The sum of the weights' absolute changes of each filter, (F,), if the table has it."""
    with pq.ParquetFile(scores) as file:
        for number in range(file.num_row_groups):
            if file.metadata.row_group(number).column(0).statistics.max == "weight_change_undivided":
                table = file.read_row_group(number, columns=["filter", "score"]).to_pandas()
                return table.sort_values("filter")["score"].to_numpy()
    return None


def _kernels(shape: Shape, before: Weights, after: Weights, changes: np.ndarray | None) -> Pair | None:
    """The kernels of a layer's filters in both networks, (filters, kernels, height, width); None: not to be told.

    Weights are laid out as (outputs, inputs, ...), or, of a transposed convolution, as (inputs, outputs, ...). Where
    both would fit, the sums of the filters' changes tell.
    """
    key = next((key for key in (f"{shape.name}.weight", f"{shape.name}_weight") if key in after), None)
    if key is None or key not in before or before[key].shape != after[key].shape or after[key].ndim < 2:
        return None
    taps = after[key].shape[2:] or (1, 1)
    grid = (int(np.prod(taps[:-1])), taps[-1])
    for is_transposed in (False, True):
        pair = tuple(_laid_out(shape, each[key], grid, is_transposed) for each in (before, after))
        if pair[0] is not None and pair[1] is not None:
            sums = np.abs(pair[1] - pair[0]).sum(axis=(1, 2, 3))
            if changes is None or np.allclose(sums, changes[shape.first : shape.end], rtol=1e-3, atol=1e-6):
                return pair[0], pair[1]
    return None


def _laid_out(shape: Shape, weight: np.ndarray, grid: tuple[int, int], is_transposed: bool) -> np.ndarray | None:
    """A weight as (filters, kernels, height, width), if it can be so."""
    rows, columns = weight.shape[:2]
    if is_transposed:
        groups = shape.rows // columns if shape.is_channel else shape.groups
        if groups * columns != shape.rows or rows % groups:
            return None
        weight = weight.reshape(groups, rows // groups, columns, *grid).swapaxes(1, 2)
        rows, columns = shape.rows, rows // groups
    if rows != shape.rows or not (shape.is_channel or columns == shape.columns):
        return None
    return weight.reshape(rows * shape.columns, -1, *grid)


def _drawing(shape: Shape, kernels: Pair | None) -> dict[str, Any]:
    """How the layer's filters are drawn: kernels of height x width, ``shown`` of ``inputs`` in each filter."""
    if kernels is None:
        return {"shown": 0}
    inputs, height, width = kernels[0].shape[1:]
    shown = min(inputs, max(MAX_TAPS // (height * width), 1))
    return {"shown": shown, "inputs": inputs, "height": height, "width": width, "channel": shape.is_channel}


def _groups(
    found: Mapping[str, np.ndarray],
    shapes: Sequence[Shape],
    kernels: Mapping[str, Pair | None],
) -> tuple[list[dict[str, Any]], np.ndarray]:
    """The best filters of each degradation and layer, and their kernels before, and how they change, in whole numbers.

    A group's numbers are multiples of its ``steps``: the first of weights, the second of changes.
    """
    limit = MAX_DRAWN
    while _bytes(found, shapes, kernels, limit) > MAX_KERNELS:
        limit //= 2
    groups, drawn = [], [np.empty(0, np.int16)]
    for number, shape in enumerate(shapes):
        pair = kernels[shape.name]
        if pair is None:
            continue
        shown = _drawing(shape, pair)["shown"]
        for degradation, filters in found.items():
            own = filters[(filters >= shape.first) & (filters < shape.end)] - shape.first
            best = own[:limit]
            if not best.size:
                continue
            first, second = (each[best].astype(np.float64) for each in pair)
            change = second - first
            norms = np.sqrt((change**2).sum(axis=(1, 2, 3)))
            steps = [max(float(np.abs(values).max()), 1e-12) / 32767 for values in (first, change)]
            for values, step in zip((first, change), steps, strict=True):
                drawn.append(np.rint(values[:, :shown] / step).astype(np.int16).ravel())
            groups.append(
                {
                    "layer": number,
                    "degradation": degradation,
                    "filters": best.tolist(),
                    "norms": [float(f"{norm:.3g}") for norm in norms],
                    "steps": [float(f"{step:.6g}") for step in steps],
                }
            )
    return groups, np.concatenate(drawn)


def _bytes(
    found: Mapping[str, np.ndarray],
    shapes: Sequence[Shape],
    kernels: Mapping[str, Pair | None],
    limit: int,
) -> int:
    total = 0
    for shape in shapes:
        drawing = _drawing(shape, kernels[shape.name])
        if drawing["shown"]:
            counts = [int(((filters >= shape.first) & (filters < shape.end)).sum()) for filters in found.values()]
            size = drawing["shown"] * drawing["height"] * drawing["width"]
            total += sum(min(count, limit) for count in counts) * size * 4
    return total
