"""Mask the filters of a range of ratios, and all filters but those, and measure what the networks restore."""

from pathlib import Path

from faig.base.params import load_params
from faig.base.progress import Progress
from faig.data.targets import TargetParams
from faig.experiments.masking import SweepParams, measure_curves, num_passes
from faig.experiments.score_table import read_discovered
from stages.shared.cli import TARGET, reads, stage, writes
from stages.shared.model import read_model, read_test_inputs
from stages.shared.outputs import write_parquet


@stage
@TARGET
@reads("hr", "lr", "pairs", "baseline", "network", "scores")
@writes(output="PSNR of each masked network on each test image, Parquet")
def main(
    target: str, hr: Path, lr: Path, pairs: Path, baseline: Path, network: Path, scores: Path, output: Path
) -> None:
    """Mask one target's filters over a range of ratios."""
    params = load_params("sweep", SweepParams)
    settings = load_params(f"targets.{target}", TargetParams)
    model = read_model(baseline, network)
    chosen = {}
    for ratio in params.ratios:
        chosen |= read_discovered(scores, ratio, model.index.num_filters, params.methods)
    inputs = read_test_inputs(pairs, hr, lr, settings.degradations)
    with Progress(num_passes(inputs, settings.attribute, chosen), f"sweep {target}") as progress:
        table = measure_curves(model, inputs, settings.attribute, chosen, progress.advance)
    write_parquet(output, table)


if __name__ == "__main__":
    main()
