"""Which filters changed a network's error, for any network: ``from faig.attribution import attribute``.

Stands on :mod:`faig.base` alone: it needs PyTorch, NumPy and the settings' packages, no image library.
"""

from faig.attribution.engine import Attribution, attribute
from faig.attribution.filters import FilterIndex

__all__ = ["Attribution", "FilterIndex", "attribute"]
