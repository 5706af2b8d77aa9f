"""Let ``dvc plots`` write pages that need no network: ``python -m tools.plots_page``, or ``make plots``.

DVC's own pages fetch Vega, which draws the figures, from a CDN. This writes a template that holds it, and names the
template in .dvc/config.local; both are of this clone alone. Without them, ``dvc plots`` does as it always does.
"""

from pathlib import Path

import click
import vl_convert
from dvc.repo import Repo

from faig.base.files import replacing

TEMPLATE = "plots_page.html"
VEGA_LITE = "5.20"
"""The version that DVC's own templates, and those in .dvc/plots, are written for: 5."""
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{refresh_tag}
<title>DVC plots</title>
<style>
body { background: white; color: black; font-family: sans-serif; margin: 1.5rem; }
body > div { margin-bottom: 2rem; overflow-x: auto; }
img { height: auto; max-width: 75rem; }
</style>
<script>SCRIPT</script>
</head>
<body>
{plot_divs}
</body>
</html>
"""


def page() -> str:
    """The template: what DVC fills in stands in braces."""
    bundle = vl_convert.javascript_bundle(vl_version=VEGA_LITE)  # pyright: ignore[reportCallIssue] # has a default
    return PAGE.replace("SCRIPT", bundle)


@click.command()
def main() -> None:
    """Write the template of pages without a network and have DVC use it, unless another one is configured."""
    repo = Repo()
    assert repo.dvc_dir
    with replacing(Path(repo.dvc_dir, TEMPLATE)) as partial:
        partial.write_text(page(), encoding="utf-8")
    if "html_template" not in repo.config["plots"]:
        with repo.config.edit("local") as local:
            plots: dict[str, str] = local["plots"]  # pyright: ignore[reportIndexIssue]
            plots["html_template"] = TEMPLATE  # relative to .dvc


if __name__ == "__main__":
    main()
