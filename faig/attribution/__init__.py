"""Which filters changed a network's error, for any network: ``from faig.attribution import attribute``.

:func:`attribute` scores the filters, :func:`mask` puts the baseline's weights back at some of them, and
:class:`Tiles` with :func:`find_halo` cuts large images. Stands on :mod:`faig.base` alone: it needs PyTorch, NumPy and
the settings' packages, no image library.
"""

from faig.attribution.engine import Attribution, ImageAttribution, attribute, attribute_image, attribute_images
from faig.attribution.filters import FilterIndex
from faig.attribution.path import PathModel, mask
from faig.attribution.tiling import Tiles, find_halo

__all__ = [
    "Attribution",
    "FilterIndex",
    "ImageAttribution",
    "PathModel",
    "Tiles",
    "attribute",
    "attribute_image",
    "attribute_images",
    "find_halo",
    "mask",
]
