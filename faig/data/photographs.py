"""HR photographs, split into train and test: scikit-image's bundled ones, DIV2K's, or those in the user's folders."""

import hashlib
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from skimage import data as bundled

from faig.base.errors import InputError
from faig.base.files import complete_folder
from faig.base.params import Count, settings
from faig.data.dead_leaves import PREFIX, DeadLeavesParams, dead_leaves, dead_leaves_names
from faig.data.downloads import ArchiveParams, exclusive, fetch, unpack
from faig.data.images import crop_to_multiple, list_images, read_image

Images = dict[str, np.ndarray]
"""By name, 8-bit RGB (H, W, 3)."""

# Bundled with scikit-image (nothing is downloaded), split by scene: both motorcycle views are of one scene.
TRAIN_FILES = (
    "motorcycle_left.png",
    "motorcycle_right.png",
    "retina.jpg",
    "hubble_deep_field.jpg",
    "ihc.png",
    "brick.png",
    "grass.png",
    "gravel.png",
    "camera.png",
    "coins.png",
    "moon.png",
)
SPLITS = ("train", "test")
TEST_FILES = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")


Provider = Literal["bundled", "div2k"]
"""Where the stage ``photographs`` takes its photographs from: scikit-image's package, or DIV2K's two archives."""


@settings
class Div2kParams:
    """DIV2K's photographs (Agustsson and Timofte 2017). ``folder`` keeps the archives once they are downloaded."""

    folder: Path
    train: ArchiveParams
    test: ArchiveParams


@settings
class TileParams:
    """Test tiles of ``size`` x ``size`` HR pixels, at most ``per_photograph`` of each photograph."""

    size: Annotated[int, Field(ge=32)]
    per_photograph: Count


@settings
class DatasetParams:
    """Where photographs come from, and what is made of them.

    ``source`` and ``div2k``: what the stage ``photographs`` provides. ``train`` and ``test``: folders of the
    photographs to train and to test on, those that it provides or the user's own. ``limit``: only the first so many
    photographs of each split, by name; ``min_size``: HR pixels that each side of a photograph must have.
    ``lr``: folder of the LR images of the degradations that are `given`.
    """

    source: Provider
    div2k: Div2kParams
    train: Path
    test: Path
    limit: Count | None
    min_size: Count
    dead_leaves: DeadLeavesParams
    test_tiles: TileParams | None
    lr: Path

    def __post_init__(self) -> None:
        leaves = self.dead_leaves
        if leaves.num_images and leaves.size < self.min_size:
            raise ValueError(f"dead_leaves.size = {leaves.size} must be at least min_size = {self.min_size}")


@dataclass(frozen=True)
class Source:
    """What an HR image is made of: a photograph's file, or None for dead leaves. ``split``: train or test."""

    split: str
    name: str
    path: Path | None


@dataclass(frozen=True)
class Cut:
    """Where an HR image lies in its photograph, which is cropped to a multiple of the scale; HR pixels.

    ``photograph`` is the photograph's name, empty for dead leaves.
    """

    split: str
    name: str
    photograph: str
    photograph_height: int
    photograph_width: int
    y: int
    x: int
    height: int
    width: int


@dataclass(frozen=True)
class Made:
    """HR images of one source by name, where each was cut, and the digest of the source's pixels."""

    images: Images
    cuts: tuple[Cut, ...]
    digest: str


def provide_photographs(source: Provider, div2k: Div2kParams, output: Path) -> None:
    """Fill the folders train and test of ``output`` with photographs, all of them or none.

    Raises:
        InputError: DIV2K cannot be had, or is damaged.
    """
    if source == "div2k":
        with exclusive(div2k.folder):
            archives = {"train": fetch(div2k.train, div2k.folder), "test": fetch(div2k.test, div2k.folder)}
        with complete_folder(output) as folder:
            for split, archive in archives.items():
                unpack(archive, folder / split)
        return
    with complete_folder(output) as folder:
        for split, names in zip(SPLITS, (TRAIN_FILES, TEST_FILES), strict=True):
            (folder / split).mkdir()
            for name in names:
                shutil.copyfile(Path(bundled.__file__).with_name(name), folder / split / name)


def list_sources(folders: Mapping[str, Path], params: DatasetParams) -> list[Source]:
    """All that HR images are made of: photographs, and dead leaves to train on where they are asked for.

    Args:
        folders: photographs of ``train`` and of ``test``; of each, they are listed by name.

    Raises:
        InputError: a folder is missing or holds no image, or a file's name cannot be used.
    """
    sources = []
    for split in SPLITS:
        for path in list_images(folders[split])[: params.limit]:
            if path.stem.startswith(PREFIX):
                raise InputError(f"{path}: names that start with {PREFIX} are kept for made images, rename it")
            sources.append(Source(split, path.stem, path))
    return [*sources, *(Source("train", name, None) for name in dead_leaves_names(params.dead_leaves))]


def make_images(source: Source, params: DatasetParams, *, scale: int, seed: int) -> Made:
    """HR images of one source, cropped to a multiple of the scale, a test photograph in tiles.

    Raises:
        InputError: the file is unusable or too small.
    """
    if source.path is None:
        image = crop_to_multiple(dead_leaves(params.dead_leaves, seed, source.name), scale)
        return _made(source, image, None)
    image = crop_to_multiple(read_image(source.path), scale)
    tile = params.test_tiles if source.split == "test" else None
    least = max(params.min_size, tile.size) if tile else params.min_size
    if min(image.shape[:2]) < least:
        height, width = image.shape[:2]
        raise InputError(
            f"{source.path} is {width} x {height} pixels when cropped to a multiple of scale = {scale}: "
            f"each side must have at least {least}"
        )
    return _made(source, image, tile)


def tiles(name: str, image: np.ndarray, params: TileParams) -> Images:
    """Tiles of a grid, evenly spread over it, so that they are as rich and as flat as the photograph: <name>_0, ..."""
    size, chosen = params.size, _corners(image, params)
    return {f"{name}_{number}": image[y : y + size, x : x + size] for number, (y, x) in enumerate(chosen)}


def _corners(image: np.ndarray, params: TileParams) -> list[tuple[int, int]]:
    """Upper left corners (y, x) of the tiles."""
    size = params.size
    corners = [(y, x) for y in range(0, len(image) - size + 1, size) for x in range(0, image.shape[1] - size + 1, size)]
    num = min(params.per_photograph, len(corners))
    return [corners[(2 * number + 1) * len(corners) // (2 * num)] for number in range(num)]  # middles of equal parts


def _made(source: Source, image: np.ndarray, tile: TileParams | None) -> Made:
    images = tiles(source.name, image, tile) if tile else {source.name: image}
    corners = _corners(image, tile) if tile else [(0, 0)]
    photograph = "" if source.path is None else source.name
    cuts = tuple(
        Cut(source.split, name, photograph, image.shape[0], image.shape[1], y, x, part.shape[0], part.shape[1])
        for (name, part), (y, x) in zip(images.items(), corners, strict=True)
    )
    return Made(images, cuts, _digest(image))


def require_disjoint(digests: Iterable[tuple[Source, str]]) -> None:
    """Check that no test photograph has the pixels of a training photograph, by the digests of :func:`make_images`.

    Raises:
        InputError: names both files.
    """
    by_split: dict[str, dict[str, Source]] = {split: {} for split in SPLITS}
    for source, digest in digests:
        by_split[source.split].setdefault(digest, source)
    train, test = (by_split[split] for split in SPLITS)
    for digest, source in test.items():
        if digest in train:
            twin = train[digest]
            raise InputError(
                f"test photograph {source.path} is also a training photograph: {twin.path}. Remove one of them"
            )


def _digest(image: np.ndarray) -> str:
    return hashlib.sha256(f"{image.shape}".encode() + image.tobytes()).hexdigest()
