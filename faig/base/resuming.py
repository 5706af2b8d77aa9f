"""Parts of a long computation, kept on disk so that a run that was killed goes on where it was."""

import hashlib
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from faig.base.files import replacing

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Store:
    """Results by name in ``folder``, which must be unique to all that they depend on; None keeps nothing."""

    folder: Path | None

    @classmethod
    def unique(cls, folder: Path, *sources: bytes | object) -> Self:
        """A store in a subfolder whose name is the digest of ``sources``: their bytes, or else how they print."""
        digest = hashlib.sha256()
        for source in sources:
            content = source if isinstance(source, bytes) else repr(source).encode()
            # The length comes first, so that ("ab", "c") and ("a", "bc") differ.
            digest.update(f"{len(content)} ".encode() + content)
        return cls(folder / digest.hexdigest()[:16])

    def get(self, name: str, compute: Callable[[], Mapping[str, np.ndarray]]) -> Arrays:
        """Return what was kept under ``name``, or else compute and keep it; a damaged file is computed anew."""
        if self.folder is None:
            return dict(compute())
        path = self.folder / f"{name}.npz"
        if path.is_file():
            try:
                with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
                    return {key: kept[key] for key in kept.files}
            except (OSError, ValueError, EOFError, zipfile.BadZipFile):
                path.unlink()
        result = dict(compute())
        with replacing(path) as partial, partial.open("wb") as file:
            np.savez(file, **result)  # pyright: ignore[reportArgumentType]
        return result


NOTHING = Store(None)
"""Computes everything anew."""
