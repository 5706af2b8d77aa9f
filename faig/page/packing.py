"""Numbers as text that a page can hold, and weights files read without PyTorch."""

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from faig.base.errors import InputError

HEADER_KEY = "network"  # of a weights file, as faig.networks.weights writes it
Weights = dict[str, np.ndarray]
"""Values by state-dict key."""


def pack(values: np.ndarray) -> dict[str, Any]:
    """Numbers as text: their type, how many, and base64 of their little-endian bytes, deflated.

    The first bytes of all numbers come first, then the second ones, and so on: exponents lie together and deflate well.
    """
    little = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    planes = np.frombuffer(little.tobytes(), np.uint8).reshape(-1, little.itemsize).T
    content = base64.b64encode(zlib.compress(planes.tobytes(), 9)).decode()
    return {"type": values.dtype.name, "length": values.size, "content": content}


def read_weights(path: Path) -> tuple[dict[str, Any], Weights]:
    """What the header of a weights file says of its network, and the floating-point weights by state-dict key.

    Raises:
        InputError: the file is missing, or is no weights file of this project.
    """
    if not path.is_file():
        raise InputError(f"The file {path.name} does not exist: `dvc repro` writes it.")
    try:
        with safe_open(path, framework="np") as file:
            header = json.loads((file.metadata() or {}).get(HEADER_KEY, "null"))
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, json.JSONDecodeError, RecursionError, TypeError) as error:
        raise InputError(f"The file {path.name} is not a weights file of this project.") from error
    if not isinstance(header, dict):
        raise InputError(f"The file {path.name} does not say which network its weights are of.")
    return header, {key: value for key, value in weights.items() if value.dtype.kind == "f"}
