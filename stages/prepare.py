"""Prepare the HR photographs: data/hr/{train,test}/<name>.png."""

from pathlib import Path

import click

from faig.dead_leaves import PREFIX
from faig.images import is_image, write_png
from faig.params import Scale, Seed, load_params
from faig.photographs import DatasetParams, load_photographs
from stages.cli import complete_folder, path_option, stage


@stage
@path_option("output", "folder to write, with train and test in it")
def main(output: Path) -> None:
    """Read, check and split the photographs."""
    params = load_params("dataset", DatasetParams)
    scale, seed = load_params("scale", Scale), load_params("seed", Seed)
    splits = load_photographs(params, scale=scale, seed=seed)
    with complete_folder(output) as folder:
        for split, images in zip(("train", "test"), splits, strict=True):
            for name, image in images.items():
                write_png(folder / split / f"{name}.png", image)
    for split, images in zip(("train", "test"), splits, strict=True):
        num_made = sum(name.startswith(PREFIX) for name in images)
        click.echo(f"{split}: {len(images) - num_made} images of photographs, {num_made} of dead leaves")
    if params.source == "folder":
        for path in (params.folder.train, params.folder.test):
            others = sorted(other.name for other in path.iterdir() if not is_image(other))
            if others:
                click.echo(
                    f"{path}: {len(others)} entries are no image files and were left out: {', '.join(others[:5])}"
                )


if __name__ == "__main__":
    main()
