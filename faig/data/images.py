"""Files <-> 8-bit RGB images, arrays uint8 (H, W, 3). The only place that knows BGR, alpha, bit depths and EXIF."""

import io
import warnings
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, PLANAR_CONFIGURATION, TiffImageFile

from faig.base.errors import InputError
from faig.base.files import replacing

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
MAX_PIXELS = 2**27
"""An image file whose header declares more pixels is refused before it is decoded (2**27: 11,585 x 11,585)."""
UNUSABLE_MODES = {"CMYK": "CMYK", "LAB": "LAB", "F": "floating-point"}
"""Pillow's modes whose colours OpenCV would misread, and what errors call them."""


def read_image(path: Path) -> np.ndarray:
    """Read a photograph as 8-bit RGB, uint8 (H, W, 3).

    Gray becomes RGB, an opaque alpha channel is dropped, 16 bits are scaled to 8, EXIF orientation is applied.

    Raises:
        InputError: the file is missing, corrupt, truncated, too large, transparent, CMYK or LAB, or neither 8- nor
            16-bit. A damaged JPEG that still decodes to its full size cannot be told from a sound one.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist")
    return decode_image(path.read_bytes(), str(path))


def decode_image(content: bytes, name: str) -> np.ndarray:
    """Decode a file's content as :func:`read_image` does; ``name`` is what errors call the file."""
    _require_usable(content, name)
    # COLOR turns gray into BGR, drops alpha and applies the EXIF orientation; ANYDEPTH keeps 16 bits.
    image = _decode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH, name)
    if image.dtype == np.uint16:
        image = np.floor(image / 257 + 0.5).astype(np.uint8)  # 65535 / 255 = 257
    if image.dtype != np.uint8:
        raise InputError(f"{name} holds {image.dtype} pixels: only 8- and 16-bit images can be used")
    return np.ascontiguousarray(image[:, :, ::-1])


def write_png(path: Path, image: np.ndarray) -> None:
    """Write an 8-bit RGB image (H, W, 3) as PNG, atomically; equal images give equal bytes.

    Raises:
        ValueError: the array is not uint8 (H, W, 3).
    """
    content = encode_png(image, str(path))
    with replacing(path) as partial:
        partial.write_bytes(content)


def encode_png(image: np.ndarray, name: str) -> bytes:
    """An 8-bit RGB image (H, W, 3) as the content of a PNG file; the inverse of :func:`decode_image`.

    Raises:
        ValueError: the array is not uint8 (H, W, 3); the message begins with ``name``.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"{name}: expected uint8 (H, W, 3), got {image.dtype} {image.shape}")
    return cv2.imencode(".png", np.ascontiguousarray(image[:, :, ::-1]))[1].tobytes()


def is_image(path: Path) -> bool:
    """Whether ``path`` is a file whose suffix is one of :data:`SUFFIXES`, in upper or lower case."""
    return path.suffix.lower() in SUFFIXES and path.is_file()


def list_images(folder: Path) -> list[Path]:
    """List the image files in ``folder``, sorted by name.

    Raises:
        InputError: the folder is missing or holds no image, or two files differ in their suffix only.
    """
    if not folder.is_dir():
        raise InputError(f"folder {folder} does not exist")
    paths = sorted(path for path in folder.iterdir() if is_image(path))
    if not paths:
        raise InputError(f"folder {folder} holds no image ({', '.join(SUFFIXES)})")
    stems: dict[str, Path] = {}
    for path in paths:
        if path.stem in stems:
            raise InputError(f"{stems[path.stem]} and {path} would have one name: rename one")
        stems[path.stem] = path
    return paths


def crop_to_multiple(image: np.ndarray, scale: int) -> np.ndarray:
    """Cut the right and lower edge so that both sides are multiples of ``scale``."""
    height, width = (side - side % scale for side in image.shape[:2])
    return image[:height, :width]


def _require_usable(content: bytes, name: str) -> None:
    """Refuse by the header what OpenCV would misread or what is too large, before decoding; then transparency."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's own warning of large images: MAX_PIXELS decides here
            header = Image.open(io.BytesIO(content))
    except UnidentifiedImageError as error:
        raise InputError(f"{name} is not an image that can be read: corrupt, truncated or of a rare kind") from error
    except (Image.DecompressionBombError, OSError, ValueError, SyntaxError) as error:
        raise InputError(f"{name} is not an image that can be read: {error}") from error
    width, height = header.size
    if width * height > MAX_PIXELS:
        raise InputError(f"{name} declares {width} x {height} pixels: more than {MAX_PIXELS} are refused")
    if header.mode in UNUSABLE_MODES:
        raise InputError(f"{name} is a {UNUSABLE_MODES[header.mode]} image: convert it to 8- or 16-bit RGB first")
    if isinstance(header, TiffImageFile) and 16 in header.tag_v2.get(BITSPERSAMPLE, ()):
        white_is_zero, planar = (
            header.tag_v2.get(PHOTOMETRIC_INTERPRETATION) == 0,
            header.tag_v2.get(PLANAR_CONFIGURATION) == 2,
        )
        if white_is_zero or planar:  # OpenCV inverts the one and scrambles the other
            kind = "with white as 0" if white_is_zero else "with each colour in a plane of its own"
            raise InputError(f"{name} is a 16-bit TIFF {kind}: convert it to a plain 8- or 16-bit image first")
    if "A" in header.getbands() or "transparency" in header.info:
        _require_opaque(header, name)


def _decode(encoded: np.ndarray, flags: int, name: str) -> np.ndarray:
    try:
        image = cv2.imdecode(encoded, flags)
    except cv2.error as error:
        raise InputError(f"{name} cannot be decoded: {error.err}") from error
    if image is None:
        raise InputError(f"{name} cannot be decoded: the file is corrupt, truncated or of a rare kind")
    return image


def _require_opaque(image: Image.Image, name: str) -> None:
    try:
        alpha = np.asarray(image.convert("RGBA"))[:, :, 3]
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(f"{name} has an alpha channel that cannot be decoded: {error}") from error
    if alpha.min() < 255:
        raise InputError(f"{name} is partly transparent: put it on an opaque background first")
