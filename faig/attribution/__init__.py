"""Which filters changed a network's error, for any network: ``from faig.attribution import attribute, learn``.

:func:`attribute` scores the filters by what they changed, :func:`learn` by how well they serve to remove one ability
and nothing else. :func:`kinship` tells whether the two networks are related at all.
:func:`mask` puts the baseline's weights back at some of them, and :class:`Tiles` with
:func:`find_halo` cuts large images. Stands on :mod:`faig.base` alone: it needs PyTorch, NumPy and the settings'
packages, no image library.
"""

from faig.attribution.engine import Attribution, ImageAttribution, attribute, attribute_image, attribute_images
from faig.attribution.filters import FilterIndex
from faig.attribution.kinship import Kinship, kinship
from faig.attribution.learning import Learned, learn
from faig.attribution.path import PathModel, mask
from faig.attribution.tiling import Tiles, find_halo

__all__ = [
    "Attribution",
    "FilterIndex",
    "ImageAttribution",
    "Kinship",
    "Learned",
    "PathModel",
    "Tiles",
    "attribute",
    "attribute_image",
    "attribute_images",
    "find_halo",
    "kinship",
    "learn",
    "mask",
]
