"""Laws of downloads: what is kept is the archive, whole; its files are unpacked into one folder. With a real server."""

import hashlib
import io
import re
import shutil
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from faig.base.params import ParamsError, validate
from faig.data import downloads
from faig.data.downloads import CHUNK, PAUSES, ArchiveParams, fetch, unpack
from faig.data.photographs import Div2kParams, provide_photographs
from stages.photographs import main as photographs
from stages.prepare import main as prepare

NAME = "pictures.zip"


def zip_of(entries: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return content.getvalue()


def png(number: int, size: int = 40) -> bytes:
    pixels = np.random.default_rng(number).integers(256, size=(size, size, 3), dtype=np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()


PICTURES = {f"pictures/{number}.png": png(number) for number in range(3)}
CONTENT = zip_of(PICTURES)


class Server:
    """Serves ``files`` by path; ``faults`` are taken one per request: a status, a number of bytes to cut off after."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {f"/{NAME}": CONTENT}
        self.faults: list[int | str] = []
        self.asked: list[str | None] = []
        self.knows_ranges = True
        served = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                served.answer(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range")
        self.asked.append(wanted)
        fault = self.faults.pop(0) if self.faults else None
        content = self.files.get(request.path)
        if isinstance(fault, str) or content is None:
            request.send_error(int(fault or 404))
            return
        first = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.knows_ranges else 0
        request.send_response(206 if first else 200)
        if first:
            request.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        request.send_header("Content-Length", str(len(content) - first))
        request.end_headers()
        request.wfile.write(content[first:][:fault])
        if fault is not None:
            request.connection.close()

    def url(self, name: str = NAME) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/{name}"


@pytest.fixture
def server() -> Iterator[Server]:
    served = Server()
    yield served
    served.server.shutdown()
    served.server.server_close()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were to be waited."""
    waited: list[float] = []
    monkeypatch.setattr(downloads.time, "sleep", waited.append)
    return waited


def archive_of(server: Server, content: bytes = CONTENT, **changes: Any) -> ArchiveParams:
    known = {"url": server.url(), "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return validate("train", known | changes, ArchiveParams, source="params.yaml")


# Downloads


def test_an_archive_is_fetched_once_and_is_then_there_without_a_network(server: Server, tmp_path: Path):
    for _ in range(2):
        assert fetch(archive_of(server), tmp_path / "a").read_bytes() == CONTENT
    assert server.asked == [None]
    assert [path.name for path in (tmp_path / "a").iterdir()] == [NAME]


@pytest.mark.parametrize("cuts", [[0], [1], [700], [len(CONTENT) - 1], [10, 20, 300]])
def test_a_broken_download_goes_on_where_it_ended(server: Server, tmp_path: Path, pauses: list[float], cuts: list[int]):
    server.faults.extend(cuts)
    assert fetch(archive_of(server), tmp_path, pause=pauses.append).read_bytes() == CONTENT
    places = np.cumsum([0, *cuts])
    assert server.asked == [f"bytes={place}-" if place else None for place in places]
    assert pauses == list(PAUSES[: len(cuts)])


def test_a_download_goes_on_in_the_next_run(server: Server, tmp_path: Path, pauses: list[float]):
    server.faults = [50, *["503"] * len(PAUSES)]
    with pytest.raises(ValueError, match=r"answered 503 .* go on from byte 50, or put the file at .*pictures\.zip"):
        fetch(archive_of(server), tmp_path, pause=pauses.append)
    assert not (tmp_path / NAME).exists()
    server.asked.clear()
    assert fetch(archive_of(server), tmp_path).read_bytes() == CONTENT
    assert server.asked == ["bytes=50-"]


def test_a_server_that_knows_no_ranges_is_asked_for_all_again(server: Server, tmp_path: Path, pauses: list[float]):
    server.knows_ranges = False
    server.faults.append(700)
    assert fetch(archive_of(server), tmp_path, pause=pauses.append).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=700-"]


@pytest.mark.parametrize("status", ["500", "503", "429"])
def test_a_server_that_fails_for_a_while_is_asked_again(
    server: Server, tmp_path: Path, pauses: list[float], status: str
):
    server.faults = [status, status]
    assert fetch(archive_of(server), tmp_path, pause=pauses.append).read_bytes() == CONTENT
    assert pauses == list(PAUSES[:2])


def test_a_missing_file_is_not_asked_for_again(server: Server, tmp_path: Path, pauses: list[float]):
    server.files.clear()
    with pytest.raises(ValueError, match=rf"{re.escape(server.url())}: the server answered 404"):
        fetch(archive_of(server), tmp_path, pause=pauses.append)
    assert (len(server.asked), pauses, list(tmp_path.iterdir())) == (1, [], [])


def test_no_server_is_an_error_that_says_so(server: Server, tmp_path: Path, pauses: list[float]):
    server.server.shutdown()
    server.server.server_close()
    with pytest.raises(ValueError, match=r"refused.*put the file at"):
        fetch(archive_of(server), tmp_path, pause=pauses.append)
    assert pauses == list(PAUSES)


@pytest.mark.parametrize(
    "content", [CONTENT[:-9] + b"123456789", CONTENT[:50] + b"?" + CONTENT[51:]], ids=["end", "middle"]
)
def test_a_damaged_download_is_not_kept(server: Server, tmp_path: Path, content: bytes):
    server.files[f"/{NAME}"] = content
    with pytest.raises(ValueError, match=rf"SHA-256 {hashlib.sha256(content).hexdigest()}, expected"):
        fetch(archive_of(server), tmp_path)
    assert list(tmp_path.iterdir()) == []
    server.files[f"/{NAME}"] = CONTENT
    assert fetch(archive_of(server), tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("content", [CONTENT[:-1], b"short"], ids=["truncated", "another"])
def test_a_shorter_file_is_refused(server: Server, tmp_path: Path, pauses: list[float], content: bytes):
    server.files[f"/{NAME}"] = content
    server.knows_ranges = False
    with pytest.raises(ValueError, match=rf"ended after {len(content)} of {len(CONTENT)} bytes"):
        fetch(archive_of(server), tmp_path, pause=pauses.append)
    assert not (tmp_path / NAME).exists()


def test_a_longer_file_is_read_no_further_than_a_chunk_beyond(server: Server, tmp_path: Path, pauses: list[float]):
    server.files[f"/{NAME}"] = CONTENT + bytes(5 * CHUNK)
    with pytest.raises(ValueError, match=r"put the file at"):
        fetch(archive_of(server), tmp_path, pause=pauses.append)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_checked_and_left(server: Server, tmp_path: Path):
    (tmp_path / NAME).write_bytes(b"mine")
    with pytest.raises(ValueError, match=rf"pictures\.zip is not the file of .*4 bytes, expected {len(CONTENT)}"):
        fetch(archive_of(server), tmp_path)
    assert (tmp_path / NAME).read_bytes() == b"mine"
    assert server.asked == []


def test_a_full_disk_is_noticed_before_the_download(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=10)
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(ValueError, match=r"pictures\.zip needs .* GiB are free"):
        fetch(archive_of(server), tmp_path)
    assert server.asked == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"url": "ftp://example.org/a.zip"}, "train.url = 'ftp://example.org/a.zip'"),
        ({"url": "https://example.org/a.tar"}, "train.url"),
        ({"url": "https://example.org/.../../.zip/.."}, "train.url"),
        ({"size": 0}, "train.size = 0"),
        ({"sha256": "abc"}, "train.sha256 = 'abc'"),
    ],
)
def test_an_archive_s_address_and_digest_are_checked(server: Server, change: dict[str, Any], message: str):
    with pytest.raises(ParamsError, match=re.escape(message)):
        archive_of(server, **change)


# Unpacking


def unpacked(tmp_path: Path, content: bytes) -> Path:
    """The folder with what a zip holds."""
    (tmp_path / "a.zip").write_bytes(content)
    unpack(tmp_path / "a.zip", tmp_path / "a")
    return tmp_path / "a"


def test_a_zip_s_files_lie_in_one_folder(tmp_path: Path):
    folder = unpacked(tmp_path, CONTENT)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        name.removeprefix("pictures/"): content for name, content in PICTURES.items()
    }


def undeflatable() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("pictures/0.png", png(0))
    data = bytearray(content.getvalue())
    data[30 + len("pictures/0.png")] = 7  # the first block's type: one that there is not
    return bytes(data)


def encrypted() -> bytes:
    """Flagged as such, in both of its headers."""
    data = bytearray(zip_of({"pictures/0.png": png(0)}))
    data[6] |= 1
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no zip", "cannot be unpacked: File is not a zip file"),
        (CONTENT[:-30], "cannot be unpacked"),
        (CONTENT.replace(b"IDAT", b"JUNK", 1), "cannot be unpacked: Bad CRC-32"),
        (undeflatable(), "cannot be unpacked: Error -3 while decompressing"),
        (encrypted(), "is encrypted, password required"),
    ],
)
def test_a_damaged_zip_is_refused(tmp_path: Path, content: bytes, message: str):
    with pytest.raises(ValueError, match=re.escape(message)):
        unpacked(tmp_path, content)


def test_a_full_disk_is_noticed_before_anything_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=10)
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(ValueError, match=r"a\.zip needs .* GiB are free"):
        unpacked(tmp_path, CONTENT)
    assert list(tmp_path.rglob("*.png")) == []


# The stages


def test_div2k_is_downloaded_and_unpacked_and_needs_no_network_afterwards(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    contents = {
        name: zip_of({f"{name}/{n}.png": png(n + shift) for n in range(2)}) for name, shift in (("a", 0), ("b", 9))
    }
    server.files = {f"/{name}.zip": content for name, content in contents.items()}
    archives = {
        split: {"url": server.url(f"{name}.zip"), "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for split, (name, content) in zip(("train", "test"), contents.items(), strict=True)
    }
    params = YAML().load(Path(__file__).parents[1].joinpath("params.yaml").read_text())
    params["dataset"] |= {"source": "div2k", "min_size": 16, "test_tiles": None}
    params["dataset"]["dead_leaves"]["num_images"] = 0
    params["dataset"]["div2k"] = {"folder": "downloads", **archives}
    with Path("params.yaml").open("w") as file:
        YAML().dump(params, file)
    folders = {split: f"data/photographs/{split}" for split in ("train", "test")}
    for _ in range(2):
        result = CliRunner().invoke(photographs, ["--output", "data/photographs"])
        assert result.exit_code == 0, result.output
        found = {split: {path.name: path.read_bytes() for path in Path(folders[split]).iterdir()} for split in folders}
        assert found == {
            split: {f"{n}.png": png(n + shift) for n in range(2)} for split, shift in (("train", 0), ("test", 9))
        }
    assert len(server.asked) == 2
    assert {path.name for path in Path("downloads").iterdir()} == {"a.zip", "b.zip", ".lock"}
    options = [word for split in folders for word in (f"--{split}", folders[split])]
    result = CliRunner().invoke(prepare, [*options, "--output", "data/hr"])
    assert result.exit_code == 0, result.output
    hr = sorted(path.relative_to("data/hr").as_posix() for path in Path("data/hr").rglob("*.png"))
    assert hr == ["test/0.png", "test/1.png", "train/0.png", "train/1.png"]


def test_photographs_that_cannot_be_had_leave_the_earlier_ones(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    div2k = Div2kParams(folder=tmp_path / "downloads", train=archive_of(server), test=archive_of(server))
    provide_photographs("div2k", div2k, tmp_path / "photographs")
    before = sorted(tmp_path.rglob("photographs/*/*"))
    assert len(before) == 2 * len(PICTURES)

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(downloads.zipfile.ZipFile, "extract", fail)
    with pytest.raises(OSError, match="disk full"):
        provide_photographs("div2k", div2k, tmp_path / "photographs")
    assert sorted(tmp_path.rglob("photographs/*/*")) == before
