"""Synthesis of LR images in threads against a plain loop: ``python -m benchmarks.speed.synthesis``.

Megapixels (HR) a second of reading, degrading and writing 2K images, for each of the default degradations. The rival
is a loop over the images, one after the other, in the same process and in turns. Bytes must be equal.
"""

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
from ruamel.yaml import YAML

from benchmarks.common import photograph, seconds, spread, write
from faig.base.workers import for_each
from faig.data.degradation import degrade, image_generator, parse_operations
from faig.data.images import read_image, write_png
from faig.data.tensors import to_image

ROOT = Path(__file__).resolve().parents[2]
HEIGHT, WIDTH = 1356, 2040


def loop(function: Callable[[Path], None], paths: Sequence[Path]) -> None:
    """The rival."""
    for path in paths:
        function(path)


@click.command()
@click.option("--images", default=4)
@click.option("--repeats", default=3)
def main(images: int, repeats: int) -> None:
    """Measure and write benchmarks/speed/results/synthesis.json."""
    degradations = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")["degradations"]
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = [folder / f"{number}.png" for number in range(images)]
        for number, path in enumerate(paths):
            write_png(path, to_image(photograph(HEIGHT, WIDTH, number)))
        pixels = images * HEIGHT * WIDTH / 1e6
        for degradation, listed in degradations.items():
            operations = parse_operations(degradation, listed, scale=2)

            def synthesize(kind: str, path: Path, degradation: str = degradation, operations: Any = operations) -> None:
                generator = image_generator(0, degradation, path.stem)
                hr = read_image(path)
                lr = degrade(hr, operations, scale=2, downsampling="bicubic", generator=generator)
                write_png(folder / kind / degradation / path.name, lr)

            works: dict[str, Callable[[], object]] = {"loop": partial(loop, partial(synthesize, "loop"), paths)}
            for workers in (1, 2):
                function = partial(synthesize, str(workers))
                work = partial(for_each, function, paths, workers=workers, description=f"{degradation}, {workers}")
                works[str(workers)] = work
            times: dict[str, list[float]] = {kind: [] for kind in works}
            for _ in range(repeats):
                for kind, work in works.items():
                    times[kind].append(seconds(work))
            written = {
                kind: [(folder / kind / degradation / path.name).read_bytes() for path in paths] for kind in times
            }
            if written["loop"] != written["1"] or written["loop"] != written["2"]:
                raise click.ClickException(f"{degradation}: bytes depend on the number of workers")
            results[degradation] = {
                "megapixels_per_second": {
                    kind: spread([pixels / value for value in own]) for kind, own in times.items()
                },
                "speedup_of_two": spread([one / two for one, two in zip(times["loop"], times["2"], strict=True)]),
            }
    write("speed/synthesis", {"images": images, "size": [HEIGHT, WIDTH], "degradations": results})


if __name__ == "__main__":
    main()
