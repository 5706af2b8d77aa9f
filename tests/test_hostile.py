"""Files from strangers: refused by name within seconds, and no code in them is run."""

import io
import json
import pickle
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest

from faig.base.params import read_params
from faig.base.resuming import Store
from faig.data.images import read_image
from faig.data.pairs import read_entries
from faig.experiments.score_table import read_discovered
from faig.networks.weights import load_network

SECONDS = 2.0


class Bomb:
    """Leaves a file behind where it is unpickled."""

    def __reduce__(self):
        return Path.touch, (Path("exploded"),)


def safetensors(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def png(width: int, height: int) -> bytes:
    """Complete chunks, declaring a size that the pixels do not have."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(bytes(999))) + chunk(b"IEND", b"")


def spec(**changes: object) -> dict[str, str]:
    params = {"name": "srresnet", "width": 4, "depth": 1} | changes
    return {"network": json.dumps({"params": params, "scale": 2})}


PICKLED = pickle.dumps(Bomb())
HUGE = {"dtype": "F32", "shape": [2**31, 2**31], "data_offsets": [0, 2**64 - 4]}
NUMPY = io.BytesIO()
np.save(NUMPY, np.array([Bomb()], dtype=object))
FILES = {
    "weights": (
        load_network,
        [
            PICKLED,
            struct.pack("<Q", 2**62),
            safetensors(b"{" * 100_000),
            safetensors({"first.weight": HUGE}),
            safetensors({"first.weight": HUGE, "__metadata__": spec()}),
            safetensors({"__metadata__": spec(width=4096, depth=1000)}),
            safetensors({"__metadata__": spec(width=10**12)}),
            safetensors({"__metadata__": spec(name="__import__('os')")}),
            safetensors({"__metadata__": {"network": "[" * 100_000}}),
        ],
    ),
    "scores": (
        lambda path: read_discovered(path, 0.1, 24),
        [PICKLED, b"PAR1" + bytes(100) + b"PAR1", b"PAR1" + struct.pack("<I", 2**31 - 1) + b"PAR1"],
    ),
    "image": (read_image, [PICKLED, png(2**31 - 1, 2**31 - 1), png(60_000, 60_000), png(0, 1), b"GIF89a" + bytes(9)]),
    "pairs": (read_entries, [PICKLED, b"split,degradation\n", b"\xff\xfe" * 9]),
    "params": (
        read_params,
        [
            PICKLED,
            b"!!python/object/apply:pathlib.Path.touch [exploded]\n",
            b"a: !!python/name:os.system\n",
            b"a: &a [1]\nb: *missing\n",
            b"{" * 500,
        ],
    ),
}
CASES = [(kind, number) for kind, (_, contents) in FILES.items() for number in range(len(contents))]


@pytest.mark.parametrize(("kind", "number"), CASES)
def test_a_hostile_file_is_refused_by_name(kind: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    read, contents = FILES[kind]
    path = Path(f"{kind}.png" if kind == "image" else kind)
    path.write_bytes(contents[number])
    began = time.monotonic()
    with pytest.raises(ValueError, match=path.name):
        read(path)
    assert time.monotonic() - began < SECONDS
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_a_hostile_part_of_an_earlier_run_is_computed_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for content in (PICKLED, NUMPY.getvalue()):
        Path("a.npz").write_bytes(content)
        assert Store(Path()).get("a", lambda: {"scores": np.ones(1)})["scores"].tolist() == [1]
    assert not Path("exploded").exists()
