"""What masking and modulation look like: the paper's figure 2 for one photograph, and the same over lambda.

Drawn from tables of shown images (:mod:`faig.experiments.showing`): columns row, column, psnr in dB (empty for an
input), png (content of a PNG file).
"""

from pathlib import Path

import numpy as np
import pandas as pd

from faig.data.images import decode_image
from faig.figures.plots import image_grid, label_of

Groups = list[tuple[str, int]]


def masking_picture(table: pd.DataFrame, path: Path) -> None:
    """Write a grid: a row per degraded input; columns input, target, and each degradation's filters masked.

    The filters are the discovered ones and, beside them, equally many random ones, another draw in each column.

    Args:
        table: of shown images; the columns are called ``input``, ``target``, ``<method>/<degradation>`` and
            ``random/<draw>``.
        path: of the PNG file.
    """
    columns = [str(name) for name in dict.fromkeys(table["column"])]
    titles = {"input": "input", "target": "target"}
    method = next(name for name in columns if "/" in name).split("/")[0]
    for name in columns:
        if name.startswith(f"{method}/"):
            titles[name] = f"{label_of(name.split('/')[1])} filters masked"
    headings = [titles.get(name, "equally many masked") for name in columns]
    counts = [sum(name.startswith(f"{kind}/") for name in columns) for kind in (method, "random")]
    groups = [("", len(columns) - sum(counts)), (label_of(method), counts[0]), ("random", counts[1])]
    _grid(table, headings, path, [group for group in groups if group[1]])


def modulation_picture(table: pd.DataFrame, path: Path) -> None:
    """Write a grid: a row per dial, on inputs of its degradation; columns input, and the output at each lambda.

    Args:
        table: of shown images; the columns are called ``input`` and by their lambdas.
        path: of the PNG file.
    """
    columns = list(dict.fromkeys(table["column"]))
    headings = [name if name == "input" else f"$\\lambda$ = {float(name):g}" for name in columns]
    _grid(table, headings, path, [])


def _grid(table: pd.DataFrame, headings: list[str], path: Path, groups: Groups) -> None:
    images, captions, titles = [], [], []
    for row, part in table.groupby("row", sort=False):
        titles.append(f"{label_of(str(row))} input")
        images.append([decode_image(content, "a shown image") for content in part["png"]])
        captions.append(["" if np.isnan(psnr) else f"{psnr:.1f} dB" for psnr in part["psnr"]])
    image_grid(images, titles, headings, captions, path, column_groups=groups)
