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
        """Return what was kept under ``name``, or else compute and keep it."""
        kept = self.find(name)
        if kept is None:
            kept = dict(compute())
            self.keep(name, kept)
        return kept

    def find(self, name: str) -> Arrays | None:
        """Return what was kept under ``name``, None if nothing was; a damaged file is removed."""
        if self.folder is None:
            return None
        path = self._path(name)
        if not path.is_file():
            return None
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
                return {key: kept[key] for key in kept.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            path.unlink()
            return None

    def keep(self, name: str, result: Mapping[str, np.ndarray]) -> None:
        """Keep arrays under ``name``."""
        if self.folder is not None:
            with replacing(self._path(name)) as partial, partial.open("wb") as file:
                np.savez(file, **result)  # pyright: ignore[reportArgumentType]

    def _path(self, name: str) -> Path:
        return Path(self.folder or ".") / f"{name}.npz"


NOTHING = Store(None)
"""Computes everything anew."""
