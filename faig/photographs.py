"""The sources of HR photographs, split into train and test: scikit-image's bundled ones, or the user's folders."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from skimage import data as bundled

from faig.dead_leaves import PREFIX, DeadLeavesParams, dead_leaves, dead_leaves_names
from faig.images import crop_to_multiple, list_images, read_image
from faig.params import Count, settings

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
TEST_FILES = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")


@settings
class FolderParams:
    """The user's own photographs; ``limit``: only the first so many of each folder, by name."""

    train: Path
    test: Path
    limit: Count | None


@settings
class TileParams:
    """Test tiles of ``size`` x ``size`` HR pixels, at most ``per_photograph`` of each photograph."""

    size: Annotated[int, Field(ge=32)]
    per_photograph: Count


@settings
class DatasetParams:
    """Settings of the prepare stage; ``min_size``: HR pixels that each side of a photograph must have."""

    source: Literal["embedded", "folder"]
    folder: FolderParams
    min_size: Count
    dead_leaves: DeadLeavesParams
    test_tiles: TileParams | None

    def __post_init__(self) -> None:
        leaves = self.dead_leaves
        if self.source == "embedded" and leaves.num_images and leaves.size < self.min_size:
            raise ValueError(f"dead_leaves.size = {leaves.size} must be at least min_size = {self.min_size}")


def source_files(params: DatasetParams) -> tuple[dict[str, Path], dict[str, Path]]:
    """The photographs' files, train and test, by name.

    Raises:
        ValueError: a folder is missing or holds no image, or a file's name cannot be used.
    """
    if params.source == "embedded":
        folder = Path(bundled.__file__).parent
        return {Path(name).stem: folder / name for name in TRAIN_FILES}, {
            Path(name).stem: folder / name for name in TEST_FILES
        }
    folders = params.folder
    return _listed(folders.train, folders.limit), _listed(folders.test, folders.limit)


def load_photographs(params: DatasetParams, *, scale: int, seed: int) -> tuple[Images, Images]:
    """Train and test images by name, cropped to multiples of the scale; test photographs cut into tiles.

    Raises:
        ValueError: a folder is missing or empty, a file is unusable or too small, or a test image is also in train.
    """
    train, test = source_files(params)
    tile = params.test_tiles
    train_images = _read(train, scale, params.min_size)
    test_images = _read(test, scale, max(params.min_size, tile.size) if tile else params.min_size)
    require_disjoint(train_images, test_images, train, test)
    if params.source == "embedded":
        leaves = params.dead_leaves
        made = {name: dead_leaves(leaves, seed, name) for name in dead_leaves_names(leaves)}
        train_images |= {name: crop_to_multiple(image, scale) for name, image in made.items()}
    if tile:
        test_images = {name: cut for image in test_images.items() for name, cut in tiles(*image, tile).items()}
    return train_images, test_images


def tiles(name: str, image: np.ndarray, params: TileParams) -> Images:
    """Tiles of a grid, evenly spread over it, so that they are as rich and as flat as the photograph: <name>_0, ..."""
    size = params.size
    corners = [(y, x) for y in range(0, len(image) - size + 1, size) for x in range(0, image.shape[1] - size + 1, size)]
    num = min(params.per_photograph, len(corners))
    chosen = [corners[(2 * number + 1) * len(corners) // (2 * num)] for number in range(num)]  # middles of equal parts
    return {f"{name}_{number}": image[y : y + size, x : x + size] for number, (y, x) in enumerate(chosen)}


def require_disjoint(
    train_images: Images, test_images: Images, train: Mapping[str, Path], test: Mapping[str, Path]
) -> None:
    """Check that no test photograph has the pixels of a training photograph.

    Raises:
        ValueError: names both files.
    """
    seen = {_pixels(image): train[name] for name, image in train_images.items()}
    for name, image in test_images.items():
        if (twin := seen.get(_pixels(image))) is not None:
            raise ValueError(f"test photograph {test[name]} is also a training photograph: {twin}. Remove one of them")


def _listed(folder: Path, limit: int | None) -> dict[str, Path]:
    paths = list_images(folder)[:limit]
    for path in paths:
        if path.stem.startswith(PREFIX):
            raise ValueError(f"{path}: names that start with {PREFIX} are kept for made images, rename it")
    return {path.stem: path for path in paths}


def _read(paths: Mapping[str, Path], scale: int, min_size: int) -> Images:
    images = {}
    for name, path in paths.items():
        image = crop_to_multiple(read_image(path), scale)
        if min(image.shape[:2]) < min_size:
            height, width = image.shape[:2]
            raise ValueError(
                f"{path} is {width} x {height} pixels when cropped to a multiple of scale = {scale}: "
                f"each side must have at least {min_size}"
            )
        images[name] = image
    return images


def _pixels(image: np.ndarray) -> str:
    return hashlib.sha256(f"{image.shape}".encode() + image.tobytes()).hexdigest()
