"""Synthesize the LR images of one degradation, or cut those given: data/lr/<degradation>/{train,test}/<name>.png."""

from pathlib import Path
from typing import Any

import click

from faig.base.files import complete_folder
from faig.base.params import Count, Scale, Seed, load_params
from faig.base.workers import for_each
from faig.data.degradation import GIVEN, degrade, image_generator, parse_operations
from faig.data.given import CUTS, cut_given, pair_given, read_cuts
from faig.data.images import list_images, read_image, write_png
from faig.data.photographs import Cut
from stages.shared.cli import path_option, stage


@stage
@click.option("--degradation", required=True, help="name under `degradations` in params.yaml")
@path_option("hr", "HR images, by split")
@path_option("given", "folder of given LR images, by degradation and split")
@path_option("output", "folder to write, with train and test in it")
def main(degradation: str, hr: Path, given: Path, output: Path) -> None:
    """Degrade every HR image; the result of each depends on its own name alone. Or cut the LR images that are given."""
    scale, seed = load_params("scale", Scale), load_params("seed", Seed)
    listed = load_params(f"degradations.{degradation}", Any)
    kernel = load_params("downsampling", str)
    workers = load_params("compute.workers", Count | None)
    if listed == GIVEN:
        pairs = pair_given(given / degradation, read_cuts(hr / CUTS))

        def cut(pair: tuple[Path, list[Cut]]) -> None:
            path, cuts = pair
            for name, lr in cut_given(path, cuts, scale=scale).items():
                write_png(folder / cuts[0].split / f"{name}.png", lr)

        with complete_folder(output) as folder:
            for_each(cut, pairs, workers=workers, description=f"cut {degradation}")
        return
    operations = parse_operations(f"degradations.{degradation}", listed, scale=scale)

    def synthesize(path: Path) -> None:
        generator = image_generator(seed, degradation, path.stem)
        lr = degrade(read_image(path), operations, scale=scale, downsampling=kernel, generator=generator)
        write_png(folder / path.parent.name / path.name, lr)

    with complete_folder(output) as folder:
        images = [path for split in ("train", "test") for path in list_images(hr / split)]
        for_each(synthesize, images, workers=workers, description=f"synthesize {degradation}")


if __name__ == "__main__":
    main()
