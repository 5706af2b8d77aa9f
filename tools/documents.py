"""Write the tables of README.md and docs/reference.md anew from the result files: ``python -m tools.documents``."""

from pathlib import Path

import click

from faig.base.files import replacing
from tools import readme, reference
from tools.tables import render

DOCUMENTS = {"README.md": readme.TABLES, "docs/reference.md": reference.TABLES}


@click.command()
def main() -> None:
    """Write the documents' tables anew."""
    for name, tables in DOCUMENTS.items():
        path = Path(name)
        try:
            text = render(path.read_text(encoding="utf-8"), tables, Path())
        except (OSError, ValueError, KeyError) as error:
            raise click.ClickException(f"{name}: a table cannot be made, is a run incomplete? {error}") from error
        with replacing(path) as partial:
            partial.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
