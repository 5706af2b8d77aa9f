"""Write anew what is made from other files: the documents' tables, results/README.md, docs/dag.svg and
docs/plugins.svg.

``python -m tools.documents``, in the project's folder.
"""

from collections.abc import Iterator
from pathlib import Path

import click

from faig.base.files import replacing
from tools import costs, dag, plugin_tables, runs, studies
from tools.tables import render

TABLES = {**runs.TABLES, **studies.TABLES, **costs.TABLES, **plugin_tables.TABLES}
OUTLINES = {"README.md": "README.md"}
WITH_TABLES = ("plugins", "reference", "presets", "speed")
OUTLINES |= {f"docs/{name}.md": f"docs/{name}.md" for name in WITH_TABLES}
OUTLINES["results/README.md"] = "tools/results.md"
"""Documents with tables, and where their text stands: in themselves, or in a file whose tables are left empty."""


def made(root: Path) -> Iterator[tuple[str, str]]:
    """Each file that is made, and its text, from the files under ``root``."""
    for name, outline in OUTLINES.items():
        yield name, render((root / outline).read_text(encoding="utf-8"), TABLES, root)
    yield dag.PICTURE, dag.draw(root)
    yield plugin_tables.PICTURE, plugin_tables.picture(root)


@click.command()
def main() -> None:
    """Write the documents' tables and pictures anew."""
    try:
        for name, text in made(Path()):
            Path(name).parent.mkdir(exist_ok=True)
            with replacing(Path(name)) as partial:
                partial.write_text(text, encoding="utf-8")
    except (OSError, ValueError, KeyError) as error:
        raise click.ClickException(f"a document cannot be made, is a run incomplete? {error}") from error


if __name__ == "__main__":
    main()
