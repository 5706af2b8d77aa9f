"""Provide photographs: data/photographs/{train,test}, from scikit-image's bundled ones or from DIV2K.

Your own photographs do not pass through here: name their folders in ``dataset.train`` and ``dataset.test``.
"""

from pathlib import Path

from faig.base.params import load_params
from faig.data.photographs import Div2kParams, Provider, provide_photographs
from stages.shared.cli import path_option, stage


@stage
@path_option("output", "folder to write, with train and test in it")
def main(output: Path) -> None:
    """Copy the bundled photographs, or download DIV2K."""
    provide_photographs(load_params("dataset.source", Provider), load_params("dataset.div2k", Div2kParams), output)


if __name__ == "__main__":
    main()
