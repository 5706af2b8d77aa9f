"""Published weights: a folder of safetensors files, each of which SHA256SUMS lists with its digest.

The list has the form of the program ``sha256sum``: ``sha256sum --check SHA256SUMS`` reads it, too.
"""

import hashlib
import re
from pathlib import Path

SUMS = "SHA256SUMS"
SUFFIX = ".safetensors"


def published_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of each weights file of a folder by the file's name, as its list has them.

    Raises:
        ValueError: there is no list, a line of it cannot be read, or it lacks the baseline.
    """
    path = folder / SUMS
    if not path.is_file():
        raise ValueError(f"network.pretrained: {path} does not exist; published weights come with it")
    digests = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        match = re.fullmatch(r"([0-9a-f]{64}) [ *]([A-Za-z0-9][A-Za-z0-9_-]*\.safetensors)", line)
        if match is None:
            raise ValueError(f"{path}, line {number} is not a SHA-256 and the name of a weights file: {line[:100]!r}")
        digests[match[2]] = match[1]
    if f"baseline{SUFFIX}" not in digests:
        raise ValueError(f"{path} lists no baseline{SUFFIX}, which all targets start from")
    return digests


def find_weights(folder: Path | None, name: str) -> Path | None:
    """The verified weights file of the network ``name``; None where there is no folder, or its list lacks that network.

    Raises:
        ValueError: as :func:`published_digests`; or the file is missing or is not the one that was published.
    """
    if folder is None or (digest := published_digests(folder).get(f"{name}{SUFFIX}")) is None:
        return None
    path = folder / f"{name}{SUFFIX}"
    if not path.is_file():
        raise ValueError(f"{path} is missing, but {folder / SUMS} lists it")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != digest:
        raise ValueError(f"{path} is not the file that was published: SHA-256 {found}, expected {digest}")
    return path
