"""The documentation site: README.md, docs/ and the other pages as they stand in the repository, and the public API.

``make docs`` builds it. The source is the project's whole folder, so that links between pages, and from pages to files,
are the same in the site and on the forge.
"""

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parents[1]))  # the code beside these pages

project = "faig"
root_doc = "docs/index"
include_patterns = ["README.md", "CONTRIBUTING.md", "data/README.md", "results/README.md", "docs/*.md", "docs/api/*.md"]
exclude_patterns = [".*", "*/.*", "data/*/*", "docs/_build", "published"]
highlight_language = "text"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
maximum_signature_line_length = 100

html_theme = "furo"
html_title = "Which few filters remove blur, which remove noise?"
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
html_show_search_summary = False  # a browser does not let a page read other files, if the site is opened as a folder
templates_path = ["_templates"]
html_additional_pages = {"index": "start.html"}


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-signature", without_checks)


def without_checks(*event: object) -> tuple[str | None, str | None]:
    """A signature with types alone: ``Annotated[int, FieldInfo(metadata=[Ge(ge=1)])]`` -> ``int``."""
    *_, signature, returned = (part if isinstance(part, str) else None for part in event)
    if signature is not None:
        signature = re.sub(r", [~\w.]*(?:FieldInfo|AfterValidator)\((?:[^()]|\([^()]*\))*\)", "", signature)
        inner = r"(?:[^\[\]]|\[[^\[\]]*\])*"
        found = 1
        while found:  # from the innermost outwards
            signature, found = re.subn(rf"[~\w.]*Annotated\[((?:[^\[\]]|\[{inner}\])*)\]", r"\1", signature)
    return signature, returned
