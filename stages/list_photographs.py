"""List the photographs with a digest of each.

They are the user's, outside of DVC. ``prepare`` depends on this list instead, so it runs again when a photograph is
added, removed or changed, and only then.
"""

import csv
import hashlib
from pathlib import Path

from faig.files import replacing
from faig.params import load_params
from faig.photographs import DatasetParams, source_files
from stages.cli import path_option, stage


@stage
@path_option("output", "split, file name and SHA-256 of each photograph, CSV")
def main(output: Path) -> None:
    """List the photographs of both splits."""
    rows = [("split", "file", "sha256")]
    for split, files in zip(("train", "test"), source_files(load_params("dataset", DatasetParams)), strict=True):
        for path in files.values():
            with path.open("rb") as file:
                rows.append((split, path.name, hashlib.file_digest(file, "sha256").hexdigest()))
    with replacing(output) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


if __name__ == "__main__":
    main()
