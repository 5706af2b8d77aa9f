"""Prepare the HR photographs: data/hr/{train,test}/<name>.png."""

from pathlib import Path

from faig.images import write_png
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


if __name__ == "__main__":
    main()
