"""Mask the discovered filters at ``mask_ratio``, and measure what the networks restore."""

from pathlib import Path

from faig.base.params import Name, load_params
from faig.base.progress import Progress
from faig.data.crops import single
from faig.data.targets import TargetParams
from faig.experiments.masking import MaskParams, measure, num_networks
from faig.experiments.score_table import Method
from faig.experiments.showing import show_masking
from stages.shared.cli import reads, stage, writes
from stages.shared.model import read_chosen, read_model, read_test_inputs
from stages.shared.outputs import write_parquet


@stage
@reads("hr", "lr", "pairs", "baseline", "network", "scores")
@writes(output="quality of each masked network on each test image, Parquet", pictures="images to be shown, Parquet")
def main(hr: Path, lr: Path, pairs: Path, baseline: Path, network: Path, scores: Path, **outputs: Path) -> None:
    """Mask the discovered filters of the main target."""
    params, target = load_params("mask", MaskParams), load_params("main_target", Name)
    settings = load_params(f"targets.{target}", TargetParams)
    model = read_model(baseline, network)
    chosen = read_chosen(scores, model)
    inputs = read_test_inputs(pairs, hr, lr, settings.degradations)
    with Progress(num_networks(chosen) * len(inputs), f"mask {target}") as progress:
        table = measure(model, inputs, chosen, progress.advance, measures=params.measures)
    shown = {name: single(inputs[name], params.picture) for name in settings.attribute}
    write_parquet(outputs["output"], table)
    write_parquet(outputs["pictures"], show_masking(model, shown, chosen, load_params("method", Method)))


if __name__ == "__main__":
    main()
