"""Laws of image files: pixels survive the round trip, in RGB order and the right way up, or the file is refused."""

import re
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from faig.base.errors import InputError
from faig.data import images
from faig.data.images import crop_to_multiple, decode_image, list_images, read_image, write_png
from faig.data.tensors import to_image, to_tensor

GRAY = np.random.default_rng(0).integers(256, size=(12, 18), dtype=np.uint8)
RGB = np.stack([GRAY, 255 - GRAY, GRAY // 3], axis=2)
LOSSLESS: dict[str, dict[str, Any]] = {".png": {}, ".webp": {"lossless": True}, ".tif": {}, ".bmp": {}}


def save(path: Path, array: np.ndarray, **options: Any) -> Path:
    Image.fromarray(array).save(path, **options)
    return path


def with_alpha(levels: int) -> np.ndarray:
    return np.dstack([RGB, np.full(GRAY.shape, levels, np.uint8)])


def error_of(path: Path) -> str:
    with pytest.raises(InputError, match=re.escape(str(path))) as caught:
        read_image(path)
    return str(caught.value)


# Reading


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_every_format_is_read_as_rgb(tmp_path: Path, suffix: str):
    path = save(tmp_path / f"photo{suffix}", RGB, **LOSSLESS[suffix])
    np.testing.assert_array_equal(read_image(path), RGB)


def test_jpeg_is_read_as_rgb(tmp_path: Path):
    red = np.full((16, 16, 3), (200, 40, 10), np.uint8)
    path = save(tmp_path / "photo.jpg", red, quality=95)
    np.testing.assert_allclose(read_image(path).astype(int), red, atol=3)


@pytest.mark.parametrize(("suffix", "orientation", "turns"), [(".png", 6, -1), (".tif", 3, 2)])
def test_exif_orientation_is_applied(tmp_path: Path, suffix: str, orientation: int, turns: int):
    """Orientation 6: a viewer turns the stored image by a quarter to the right; 3: by a half."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / f"photo{suffix}", RGB, exif=exif)
    np.testing.assert_array_equal(read_image(path), np.rot90(RGB, turns))


def test_gray_becomes_three_equal_channels(tmp_path: Path):
    path = save(tmp_path / "photo.png", GRAY)
    np.testing.assert_array_equal(read_image(path), np.dstack([GRAY] * 3))


def test_one_bit_and_palette_become_rgb(tmp_path: Path):
    bits = save(tmp_path / "bits.png", GRAY > 100)
    np.testing.assert_array_equal(read_image(bits), np.dstack([(GRAY > 100) * 255] * 3))
    palette = Image.fromarray(RGB).quantize(64)
    palette.save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_image(tmp_path / "palette.png"), np.asarray(palette.convert("RGB")))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("array", [GRAY, RGB], ids=["gray", "rgb"])
def test_16_bit_levels_are_scaled_by_257_and_rounded(tmp_path: Path, suffix: str, array: np.ndarray):
    path = tmp_path / f"photo{suffix}"
    off = np.random.default_rng(1).integers(-128, 129, size=array.shape)  # within half an 8-bit level: 257 / 2 = 128.5
    levels = np.clip(array.astype(int) * 257 + off, 0, 65535).astype(np.uint16)
    cv2.imwrite(str(path), levels if array.ndim == 2 else np.ascontiguousarray(levels[:, :, ::-1]))
    np.testing.assert_array_equal(read_image(path), array if array.ndim == 3 else np.dstack([array] * 3))


# Transparency


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_opaque_alpha_is_dropped(tmp_path: Path, suffix: str):
    path = save(tmp_path / f"photo{suffix}", with_alpha(255), **LOSSLESS[suffix])
    np.testing.assert_array_equal(read_image(path), RGB)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_transparency_is_refused(tmp_path: Path, suffix: str):
    array = with_alpha(255)
    array[3, 4, 3] = 254  # one pixel is enough
    assert "partly transparent" in error_of(save(tmp_path / f"photo{suffix}", array, **LOSSLESS[suffix]))


def test_transparency_of_gray_and_of_one_colour_is_refused(tmp_path: Path):
    for alpha, name in ((255, "opaque"), (128, "half")):
        bands = [Image.fromarray(GRAY), Image.fromarray(np.full_like(GRAY, alpha))]
        Image.merge("LA", bands).save(tmp_path / f"{name}.png")
    np.testing.assert_array_equal(read_image(tmp_path / "opaque.png"), np.dstack([GRAY] * 3))
    assert "partly transparent" in error_of(tmp_path / "half.png")
    colour = save(tmp_path / "colour.png", RGB, transparency=tuple(RGB[0, 0].tolist()))
    assert "partly transparent" in error_of(colour)
    palette = Image.fromarray(RGB).quantize(16)
    palette.save(tmp_path / "palette.png", transparency=palette.getpixel((0, 0)))
    assert "partly transparent" in error_of(tmp_path / "palette.png")


def test_16_bit_transparency_is_refused(tmp_path: Path):
    cv2.imwrite(str(tmp_path / "photo.png"), with_alpha(128).astype(np.uint16) * 257)
    assert "partly transparent" in error_of(tmp_path / "photo.png")


# Files that cannot be used


@pytest.mark.parametrize(("mode", "word"), [("CMYK", "CMYK"), ("LAB", "LAB"), ("F", "floating-point")])
def test_colours_that_would_be_misread_are_refused(tmp_path: Path, mode: str, word: str):
    image = Image.fromarray(GRAY if mode == "F" else RGB).convert(mode)
    image.save(tmp_path / "photo.tif")
    assert f"is a {word} image" in error_of(tmp_path / "photo.tif")


def test_16_bit_tiffs_that_would_be_misread_are_refused(tmp_path: Path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 20, 30), np.uint16), photometric="rgb", planarconfig="separate")
    assert "is a 16-bit TIFF with each colour in a plane of its own" in error_of(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((20, 30), np.uint16), photometric="miniswhite")
    assert "is a 16-bit TIFF with white as 0" in error_of(tmp_path / "b.tif")


def test_other_integers_are_refused(tmp_path: Path):
    cv2.imwrite(str(tmp_path / "photo.tif"), GRAY.astype(np.int16))
    assert "int16" in error_of(tmp_path / "photo.tif")


@pytest.mark.parametrize("share", [0.02, 0.6])
@pytest.mark.parametrize("suffix", [*LOSSLESS, ".jpg"])
def test_truncated_files_are_refused(tmp_path: Path, suffix: str, share: float):
    path = save(tmp_path / f"photo{suffix}", RGB, **LOSSLESS.get(suffix, {}))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    message = error_of(path)
    assert "0x" not in message  # no address of a Python object


def test_truncated_transparent_files_are_refused(tmp_path: Path):
    path = save(tmp_path / "photo.png", with_alpha(255))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "alpha channel that cannot be decoded" in error_of(path)


def test_corrupt_pixels_are_refused(tmp_path: Path):
    path = save(tmp_path / "photo.png", RGB)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    assert "corrupt" in error_of(path)


def test_what_is_no_image_or_missing_is_refused(tmp_path: Path):
    assert "does not exist" in error_of(tmp_path / "photo.jpg")
    (tmp_path / "photo.jpg").write_bytes(b"not an image")
    assert "corrupt" in error_of(tmp_path / "photo.jpg")


def test_errors_use_the_name_they_are_given():
    with pytest.raises(ValueError, match=r"^train/moon\.png is not an image"):
        decode_image(b"", "train/moon.png")


def test_absurd_sizes_are_refused_before_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 2**14, 2**13 + 1, 8, 6, 0, 0, 0))
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b""))
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    monkeypatch.setattr(Image.Image, "convert", lambda *_: pytest.fail("decoded"))
    assert "pixels" in error_of(path)


def test_the_limit_is_the_largest_allowed_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = save(tmp_path / "photo.png", RGB)
    monkeypatch.setattr(images, "MAX_PIXELS", GRAY.size)
    read_image(path)
    monkeypatch.setattr(images, "MAX_PIXELS", GRAY.size - 1)
    assert "18 x 12 pixels" in error_of(path)


# Writing


def test_what_is_written_is_read_back_and_its_bytes_repeat(tmp_path: Path):
    for name in ("one", "two"):
        write_png(tmp_path / "new" / f"{name}.png", RGB)
        np.testing.assert_array_equal(read_image(tmp_path / "new" / f"{name}.png"), RGB)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "new/one.png")), RGB)  # another reader
    assert (tmp_path / "new/one.png").read_bytes() == (tmp_path / "new/two.png").read_bytes()
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"one.png", "two.png"}


@pytest.mark.parametrize("array", [GRAY, RGB.astype(float)], ids=["gray", "float"])
def test_only_8_bit_rgb_is_written(tmp_path: Path, array: np.ndarray):
    with pytest.raises(ValueError, match="expected uint8"):
        write_png(tmp_path / "photo.png", array)
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "photo.png"
    write_png(path, RGB)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            write_png(path, 255 - RGB)
    np.testing.assert_array_equal(read_image(path), RGB)
    assert list(tmp_path.iterdir()) == [path]


# Listing and cropping


def test_images_are_listed_by_name_whatever_the_case_of_the_suffix(tmp_path: Path):
    for name in ("c.PNG", "a.jpeg", "b.Tiff", "d.WebP", "notes.txt", ".gitignore"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["a.jpeg", "b.Tiff", "c.PNG", "d.WebP"]


def test_a_missing_or_empty_folder_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"nowhere does not exist"):
        list_images(tmp_path / "nowhere")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ValueError, match=f"{tmp_path.name} holds no image"):
        list_images(tmp_path)


def test_two_files_with_one_name_are_refused(tmp_path: Path):
    for name in ("moon.png", "moon.JPG"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=r"moon\.JPG and .*moon\.png"):
        list_images(tmp_path)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_cropping_keeps_the_upper_left_and_less_than_a_scale_is_lost(scale: int):
    image = np.dstack([np.arange(11 * 13).reshape(11, 13)] * 3)
    cropped = crop_to_multiple(image, scale)
    assert all(side % scale == 0 and side > full - scale for side, full in zip(cropped.shape, (11, 13), strict=False))
    np.testing.assert_array_equal(cropped, image[: cropped.shape[0], : cropped.shape[1]])


# Tensors


def test_tensors_round_trip_and_are_rgb_in_0_to_1():
    tensor = to_tensor(RGB)
    assert tensor.shape == (1, 3, 12, 18)
    assert tensor.dtype == torch.float32
    np.testing.assert_allclose(tensor[0, 1].numpy(), RGB[:, :, 1] / 255, rtol=1e-6)
    np.testing.assert_array_equal(to_image(tensor), RGB)


def test_tensors_are_clipped_and_rounded_to_8_bits():
    levels = torch.tensor([-9.0, 0.4, 0.6, 254.6, 300.0])
    image = to_image((levels / 255).expand(1, 3, 1, 5))
    np.testing.assert_array_equal(image[0, :, 0], [0, 0, 1, 255, 255])
