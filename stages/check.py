"""Check the whole of params.yaml, and the weights and libraries that it names, before any work starts."""

from pathlib import Path

from faig.base.params import PARAMS_FILE, read_params, validate
from faig.experiments.evaluation import measures_of
from faig.networks.pretrained import verify_given
from faig.pipeline import PipelineParams
from stages.shared.cli import path_option, stage


@stage
@path_option("output", "written when all is well; its content never changes, so it makes nothing else run again")
def main(output: Path) -> None:
    """Check params.yaml, networks that are not trained here, and whether what is to be measured can be."""
    params = validate("", read_params(), PipelineParams, source=str(PARAMS_FILE))
    measures_of(params.mask.measures)
    verify_given(params.network, list(params.targets), params.scale)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text("params.yaml is valid\n", encoding="utf-8")


if __name__ == "__main__":
    main()
