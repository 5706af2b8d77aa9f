"""List which modules each stage imports.

DVC does not follow Python imports: each stage depends on its own list, so it runs again when a module of the list
changes, and only then.
"""

from pathlib import Path

from stages.shared.cli import path_option, stage
from stages.shared.imports import list_imports


@stage
@path_option("output", "folder of lists, one per stage: the SHA-256 and the path of each module that it imports")
def main(output: Path) -> None:
    """Write a list of imported modules for each stage."""
    list_imports(output)


if __name__ == "__main__":
    main()
