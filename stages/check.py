"""Check the whole of params.yaml before any work starts."""

from pathlib import Path

from faig.base.params import PARAMS_FILE, check, read_params
from faig.pipeline import PipelineParams
from stages.shared.cli import path_option, stage


@stage
@path_option("output", "written when all is well; its content never changes, so it makes nothing else run again")
def main(output: Path) -> None:
    """Check params.yaml."""
    check("", read_params(), PipelineParams, source=str(PARAMS_FILE))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text("params.yaml is valid\n", encoding="utf-8")


if __name__ == "__main__":
    main()
