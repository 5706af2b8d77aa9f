"""Synthesis of LR images in threads against a plain loop: ``python benchmarks/synthesis.py``.

Megapixels (HR) a second of reading, degrading and writing 2K images, for each of the default degradations. The rival
is a loop over the images, one after the other, in the same process and in turns. Bytes must be equal.
"""

import tempfile
from pathlib import Path
from typing import Any

import click
from common import photograph, seconds, spread, write
from ruamel.yaml import YAML

from faig.degradation import degrade, image_generator, parse_operations
from faig.images import read_image, write_png
from faig.tensors import to_image
from faig.workers import for_each

ROOT = Path(__file__).resolve().parents[1]
HEIGHT, WIDTH = 1356, 2040


@click.command()
@click.option("--images", default=4)
@click.option("--repeats", default=3)
def main(images: int, repeats: int) -> None:
    """Measure and write results/synthesis.json."""
    degradations = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")["degradations"]
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = [folder / f"{number}.png" for number in range(images)]
        for number, path in enumerate(paths):
            write_png(path, to_image(photograph(HEIGHT, WIDTH, number)))
        pixels = images * HEIGHT * WIDTH / 1e6
        for degradation, listed in degradations.items():
            operations = parse_operations(degradation, listed)

            def synthesize(path: Path, kind: str, degradation: str = degradation, operations: Any = operations) -> None:
                generator = image_generator(0, degradation, path.stem)
                hr = read_image(path)
                lr = degrade(hr, operations, scale=2, downsampling="bicubic", generator=generator)
                write_png(folder / kind / degradation / path.name, lr)

            def loop(synthesize: Any = synthesize) -> None:
                for path in paths:
                    synthesize(path, "loop")

            times: dict[str, list[float]] = {"loop": [], "1": [], "2": []}
            for _ in range(repeats):
                times["loop"].append(seconds(loop))
                for workers in (1, 2):
                    kind = str(workers)

                    def work(workers: int = workers, kind: str = kind, synthesize: Any = synthesize) -> None:
                        for_each(lambda path: synthesize(path, kind), paths, workers=workers, description=kind)

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
    write("synthesis", {"images": images, "size": [HEIGHT, WIDTH], "degradations": results})


if __name__ == "__main__":
    main()
