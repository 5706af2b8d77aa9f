"""Prepare the HR photographs: data/hr/{train,test}/<name>.png, and data/hr/cuts.csv, where each was cut."""

from pathlib import Path

import click

from faig.base.files import complete_folder
from faig.base.params import Count, Scale, Seed, load_params
from faig.base.workers import for_each
from faig.data.given import CUTS, write_cuts
from faig.data.images import is_image, write_png
from faig.data.photographs import Cut, DatasetParams, Source, list_sources, make_images, require_disjoint
from stages.shared.cli import path_option, stage


@stage
@path_option("train", "folder of photographs to train on")
@path_option("test", "folder of photographs to test on")
@path_option("output", "folder to write, with train, test and the list of cuts in it")
def main(train: Path, test: Path, output: Path) -> None:
    """Read and check the photographs, and make dead-leaves images."""
    params = load_params("dataset", DatasetParams)
    scale, seed = load_params("scale", Scale), load_params("seed", Seed)
    workers = load_params("compute.workers", Count | None)
    places = {"train": train, "test": test}

    def prepare(source: Source) -> tuple[Source, str, tuple[Cut, ...]]:
        made = make_images(source, params, scale=scale, seed=seed)
        for name, image in made.images.items():
            write_png(folder / source.split / f"{name}.png", image)
        return source, made.digest, made.cuts

    with complete_folder(output) as folder:
        done = for_each(prepare, list_sources(places, params), workers=workers, description="prepare")
        require_disjoint((source, digest) for source, digest, _ in done)
        write_cuts(folder / CUTS, (cut for _, _, cuts in done for cut in cuts))
    for split, place in places.items():
        made, taken = (
            sum(len(cuts) for source, _, cuts in done if source.split == split and (source.path is None) == is_made)
            for is_made in (True, False)
        )
        click.echo(f"{split}: {taken} images of photographs, {made} of dead leaves")
        if others := sorted(other.name for other in place.iterdir() if not is_image(other)):
            click.echo(f"{place}: {len(others)} entries are no image files and were left out: {', '.join(others[:5])}")


if __name__ == "__main__":
    main()
