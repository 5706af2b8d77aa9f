"""Photographs of the page: those that come with scikit-image, the project's test images, and those that are uploaded.

An uploaded file is checked by its header before it is decoded, and deleted once it has been.
"""

import hashlib
import io
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError
from skimage import data as bundled

from faig.base.errors import InputError
from faig.data.images import decode_image, is_image, read_image
from faig.data.photographs import TEST_FILES, TRAIN_FILES

MAX_BYTES = 96 * 2**20
"""Of an uploaded file."""
MAX_PIXELS = 100_000_000
"""Declared by an uploaded file's header; more are refused."""
KEPT_PIXELS = 4_000_000
"""A photograph with more pixels is shrunk to about as many."""
MIN_SIDE = 48
"""Pixels that each side of a photograph must have."""
KINDS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP")


@dataclass(frozen=True, eq=False)
class Photograph:
    """A photograph, uint8 RGB (H, W, 3), and the name that it is shown under."""

    name: str
    pixels: np.ndarray

    @cached_property
    def digest(self) -> str:
        """SHA-256 of size and pixels, hexadecimal: equal photographs are restored once."""
        return hashlib.sha256(repr(self.pixels.shape).encode() + self.pixels.tobytes()).hexdigest()


def bundled_files() -> dict[str, Path]:
    """Files of the photographs that come with scikit-image by name, those for tests first."""
    folder = Path(bundled.__file__).parent
    return {Path(name).stem: folder / name for name in (*TEST_FILES, *TRAIN_FILES)}


def offered_files(folder: Path) -> dict[str, Path]:
    """All photographs that the page offers by name: bundled ones, and the images of a folder, if it is there."""
    own = sorted(folder.iterdir()) if folder.is_dir() else []
    return bundled_files() | {f"data/hr/test: {path.stem}": path for path in own if is_image(path)}


def read_offered(name: str, path: Path) -> Photograph:
    """Read one of the photographs that the page offers.

    Raises:
        InputError: the file cannot be used.
    """
    return Photograph(name, _fitted(read_image(path), name)[0])


def read_upload(path: Path, name: str) -> tuple[Photograph, str]:
    """Read an uploaded file: the photograph, and a sentence where it was changed, else ''.

    Args:
        path: where the upload lies.
        name: what the reader calls the file.

    Raises:
        InputError: the file is no photograph, damaged, or too large or too small; says so in a sentence.
    """
    name = name[:80]
    if path.stat().st_size > MAX_BYTES:
        raise InputError(f"{name} has more than {MAX_BYTES // 2**20} MB: choose a smaller file")
    content = path.read_bytes()
    _require_photograph(content, name)
    pixels, word = _fitted(decode_image(content, name), name)
    return Photograph(name, pixels), word


def _require_photograph(content: bytes, name: str) -> None:
    """Refuse by the header what is no photograph or declares too many pixels; nothing is decoded."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own warning of large images: MAX_PIXELS decides here
            header = Image.open(io.BytesIO(content), formats=KINDS)
    except UnidentifiedImageError as error:
        raise InputError(f"{name} is not a PNG, JPEG, WebP, TIFF or BMP image: choose one that is") from error
    except Image.DecompressionBombError as error:
        raise InputError(f"{name} declares far too many pixels and was not decoded: choose a smaller image") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"{name} is damaged: {error}") from error
    width, height = header.size
    if width * height > MAX_PIXELS:
        raise InputError(
            f"{name} declares {width} x {height} pixels and was not decoded: "
            f"at most {MAX_PIXELS // 10**6} million can be used"
        )


def _fitted(pixels: np.ndarray, name: str) -> tuple[np.ndarray, str]:
    """A photograph of a size that can be used, and a sentence where it was shrunk."""
    height, width = pixels.shape[:2]
    if min(height, width) < MIN_SIDE:
        raise InputError(f"{name} has {width} x {height} pixels: each side must have at least {MIN_SIDE}")
    if height * width <= KEPT_PIXELS:
        return pixels, ""
    factor = (KEPT_PIXELS / (height * width)) ** 0.5
    size = max(round(width * factor), 1), max(round(height * factor), 1)
    if min(size) < MIN_SIDE:
        raise InputError(f"{name} has {width} x {height} pixels: that is too long and too narrow")
    shrunk = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return shrunk, f"{name} has {width} x {height} pixels and was shrunk to {size[0]} x {size[1]}."
