"""Files <-> 8-bit RGB images, arrays uint8 (H, W, 3). The only place that knows BGR, alpha, bit depths and EXIF."""

import io
import warnings
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from faig.files import replacing

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
MAX_PIXELS = 2**27
"""A file that declares more is refused before it is decoded."""


def read_image(path: Path) -> np.ndarray:
    """Read a photograph as 8-bit RGB, uint8 (H, W, 3).

    Gray becomes RGB, an opaque alpha channel is dropped, 16 bits are scaled to 8, EXIF orientation is applied.

    Raises:
        ValueError: the file is missing, corrupt, truncated, too large, transparent, CMYK, or neither 8- nor 16-bit.
    """
    if not path.is_file():
        raise ValueError(f"{path} does not exist")
    return decode_image(path.read_bytes(), str(path))


def decode_image(content: bytes, name: str) -> np.ndarray:
    """As :func:`read_image`, of a file's content; ``name`` is what errors call it."""
    has_alpha = _check_header(content, name)
    encoded = np.frombuffer(content, np.uint8)
    if has_alpha:
        _require_opaque(_decode(encoded, cv2.IMREAD_UNCHANGED, name), name)
    # COLOR turns gray into BGR, drops alpha and applies the EXIF orientation; ANYDEPTH keeps 16 bits.
    image = _decode(encoded, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH, name)
    if image.dtype == np.uint16:
        image = np.floor(image / 257 + 0.5).astype(np.uint8)  # 65535 / 255 = 257
    if image.dtype != np.uint8:
        raise ValueError(f"{name} holds {image.dtype} pixels: only 8- and 16-bit images can be used")
    return np.ascontiguousarray(image[:, :, ::-1])


def write_png(path: Path, image: np.ndarray) -> None:
    """Write an 8-bit RGB image (H, W, 3) as PNG, whole or not at all; equal bytes for equal images.

    Raises:
        ValueError: the array is not uint8 (H, W, 3).
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"{path}: expected uint8 (H, W, 3), got {image.dtype} {image.shape}")
    encoded = cv2.imencode(".png", np.ascontiguousarray(image[:, :, ::-1]))[1]
    with replacing(path) as partial:
        partial.write_bytes(encoded.tobytes())


def list_images(folder: Path) -> list[Path]:
    """Image files in ``folder``, by name.

    Raises:
        ValueError: the folder is missing or holds no image, or two files differ in their suffix only.
    """
    if not folder.is_dir():
        raise ValueError(f"folder {folder} does not exist")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        raise ValueError(f"folder {folder} holds no image ({', '.join(SUFFIXES)})")
    stems: dict[str, Path] = {}
    for path in paths:
        if path.stem in stems:
            raise ValueError(f"{stems[path.stem]} and {path} would have one name: rename one")
        stems[path.stem] = path
    return paths


def crop_to_multiple(image: np.ndarray, scale: int) -> np.ndarray:
    """Cut the right and lower edge so that both sides are multiples of ``scale``."""
    height, width = (side - side % scale for side in image.shape[:2])
    return image[:height, :width]


def _check_header(content: bytes, name: str) -> bool:
    """Refuse what the header alone rules out; True where the image has an alpha channel."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own warning of large images: MAX_PIXELS decides here
            header = Image.open(io.BytesIO(content))
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError) as error:
        raise ValueError(f"{name} is not an image that can be read: {error}") from error
    width, height = header.size
    if width * height > MAX_PIXELS:
        raise ValueError(f"{name} declares {width} x {height} pixels: more than {MAX_PIXELS} are refused")
    if header.mode == "CMYK":
        raise ValueError(f"{name} is a CMYK image: convert it to RGB first")
    return "A" in header.getbands() or "transparency" in header.info


def _decode(encoded: np.ndarray, flags: int, name: str) -> np.ndarray:
    try:
        image = cv2.imdecode(encoded, flags)
    except cv2.error as error:
        raise ValueError(f"{name} cannot be decoded: {error.err}") from error
    if image is None:
        raise ValueError(f"{name} cannot be decoded: the file is corrupt or truncated")
    return image


def _require_opaque(image: np.ndarray, name: str) -> None:
    if image.ndim == 3 and image.shape[2] == 4 and (image[:, :, 3] < np.iinfo(image.dtype).max).any():
        raise ValueError(f"{name} is partly transparent: put it on an opaque background first")
