"""Archives of photographs from the network: downloaded once, in pieces if need be, checked, and unpacked."""

import fcntl
import hashlib
import http.client
import shutil
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import Field

from faig.base.errors import InputError
from faig.base.params import settings
from faig.base.progress import Progress

GIB = 2**30
CHUNK = 2**20  # bytes
TIMEOUT = 60.0  # seconds without a byte
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds to wait before each further attempt."""
UNPACKING_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)
"""What zipfile raises: damaged, truncated; RuntimeError where it is encrypted or compressed in a way that it lacks."""


@settings
class ArchiveParams:
    """A zip of images: its address, ``size`` in bytes and ``sha256`` in hexadecimal."""

    url: Annotated[str, Field(pattern=r"^https?://[^\s]+/[^\s/]+\.zip$")]
    size: Annotated[int, Field(ge=1, le=2**44)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    @property
    def name(self) -> str:
        """Name of the file: the last part of the address."""
        return self.url.rsplit("/", 1)[1]


def fetch(archive: ArchiveParams, folder: Path, *, pause: Callable[[float], None] = time.sleep) -> Path:
    """The verified archive in ``folder``, downloaded if it is not there; a broken download goes on where it ended.

    Args:
        pause: called with the seconds to wait before another attempt.

    Raises:
        InputError: it cannot be had, has another size or digest, or the disk is too full; what to do is said.
    """
    path = folder / archive.name
    if path.is_file():
        if found := _mismatch(path, archive):
            raise InputError(f"{path} is not the file of {archive.url}: {found}. Delete it")
        return path
    folder.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.part")
    _discard_if_longer(partial, archive.size)
    _require_space(folder, archive.size - _length(partial), archive.name)
    with Progress(
        archive.size // CHUNK, f"download {archive.name}", initial=_length(partial) // CHUNK, unit="MiB"
    ) as bar:
        for seconds in (*PAUSES, None):
            try:
                _go_on(archive, partial, bar)
            except (OSError, http.client.HTTPException) as error:  # URLError and timeouts are OSErrors
                problem = _describe(error)
                if isinstance(error, urllib.error.HTTPError) and error.code < 500 and error.code not in (408, 429):
                    seconds = None
            else:
                problem = f"the connection ended after {_length(partial)} of {archive.size} bytes"
            if _length(partial) == archive.size:
                break
            if seconds is None:
                raise InputError(
                    f"{archive.url}: {problem}. Run again to go on from byte {_length(partial)}, or put the file at "
                    f"{path} yourself"
                )
            pause(seconds)
    if found := _mismatch(partial, archive):
        partial.unlink()
        raise InputError(f"{archive.url} was damaged on the way or has changed: {found}. Nothing was kept")
    partial.replace(path)
    return path


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Wait until no other process is at work in ``folder``, and keep others waiting."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _go_on(archive: ArchiveParams, partial: Path, bar: Progress) -> None:
    """Append what is missing to ``partial``, from the start where the server knows no ranges."""
    done = _length(partial)
    if done == archive.size:
        return
    request = urllib.request.Request(archive.url, headers={"Range": f"bytes={done}-"} if done else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        resumes = response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {done}-")
        with partial.open("ab" if resumes else "wb") as file:
            length = done if resumes else 0
            while chunk := response.read(CHUNK):
                file.write(chunk)
                bar.advance((length + len(chunk)) // CHUNK - length // CHUNK)
                length += len(chunk)
                if length > archive.size:
                    break
    _discard_if_longer(partial, archive.size)


def unpack(path: Path, folder: Path) -> None:
    """Write the files of a zip into a new folder, without the folders that they lie in there.

    Raises:
        InputError: the file is no zip that can be read, or the disk is too full.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            folder.mkdir(parents=True)
            _require_space(folder, sum(entry.file_size for entry in entries), path.name)
            with Progress(len(entries), f"unpack {path.name}", unit="files") as bar:
                for entry in entries:
                    entry.filename = PurePosixPath(entry.filename).name
                    archive.extract(entry, folder)
                    bar.advance()
    except UNPACKING_ERRORS as error:
        raise InputError(f"{path} cannot be unpacked: {error}") from error


def _mismatch(path: Path, archive: ArchiveParams) -> str:
    """How a file differs from the archive; empty if it does not."""
    if (length := _length(path)) != archive.size:
        return f"{length} bytes, expected {archive.size}"
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return "" if digest == archive.sha256 else f"SHA-256 {digest}, expected {archive.sha256}"


def _length(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _discard_if_longer(path: Path, size: int) -> None:
    if _length(path) > size:
        path.unlink()


def _require_space(folder: Path, needed: int, name: str) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(f"{name} needs {needed / GIB:.2f} GiB in {folder}, but {free / GIB:.2f} GiB are free")


def _describe(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code} {error.reason}"
    return str(getattr(error, "reason", error)) or type(error).__name__
