"""Published weights: a folder of safetensors files, each of which SHA256SUMS lists with its digest.

The list has the form of the program ``sha256sum``: ``sha256sum --check SHA256SUMS`` reads it, too. A folder that holds
nothing but a README.md, as published/none does, publishes nothing: every network is then trained.
"""

import hashlib
import re
from pathlib import Path

from faig.base.errors import InputError

SUMS = "SHA256SUMS"
SUFFIX = ".safetensors"


def published_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each weights file of a folder by the file's name, as its list has them; empty for an empty folder.

    Raises:
        InputError: the folder does not exist, holds files but no list, or a line of the list cannot be read, or it
            lacks the baseline.
    """
    if not folder.is_dir():
        raise InputError(f"network.pretrained: the folder {folder} does not exist")
    if {path.name for path in folder.iterdir()} <= {"README.md"}:
        return {}
    path = folder / SUMS
    if not path.is_file():
        raise InputError(f"network.pretrained: {path} does not exist; published weights come with it")
    digests = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        match = re.fullmatch(r"([0-9a-f]{64}) [ *]([A-Za-z0-9][A-Za-z0-9_-]*\.safetensors)", line)
        if match is None:
            raise InputError(f"{path}, line {number} is not a SHA-256 and the name of a weights file: {line[:100]!r}")
        digests[match[2]] = match[1]
    if f"baseline{SUFFIX}" not in digests:
        raise InputError(f"{path} lists no baseline{SUFFIX}, which all targets start from")
    return digests


def find_weights(folder: Path, name: str) -> Path | None:
    """The verified weights file of the network ``name``; None where the folder does not publish that network.

    Raises:
        InputError: as :func:`published_digests`; or the file is missing or is not the one that was published.
    """
    if (digest := published_digests(folder).get(f"{name}{SUFFIX}")) is None:
        return None
    path = folder / f"{name}{SUFFIX}"
    if not path.is_file():
        raise InputError(f"{path} is missing, but {folder / SUMS} lists it")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != digest:
        raise InputError(f"{path} is not the file that was published: SHA-256 {found}, expected {digest}")
    return path


def verify_weights(folder: Path) -> None:
    """Verify all weights files of a folder.

    Raises:
        InputError: as :func:`find_weights`.
    """
    for name in published_digests(folder):
        find_weights(folder, name.removesuffix(SUFFIX))
