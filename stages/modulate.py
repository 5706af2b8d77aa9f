"""Turn the discovered filters into dials: restoration strength over lambda, one dial alone and two at once."""

from pathlib import Path

from faig.base.params import Name, load_params
from faig.base.progress import Progress
from faig.data.crops import single
from faig.data.targets import TargetParams
from faig.experiments.modulation import ModulationParams, curve_points, grid_points, measure
from faig.experiments.showing import show_modulation
from stages.shared.cli import reads, stage, writes
from stages.shared.model import read_found, read_model, read_test_inputs
from stages.shared.outputs import write_parquet


@stage
@reads("hr", "lr", "pairs", "baseline", "network", "scores")
@writes(
    output="PSNR per dial, lambda, input and test image, Parquet",
    grid="the same of two dials at once, Parquet",
    pictures="images to be shown, Parquet",
)
def main(hr: Path, lr: Path, pairs: Path, baseline: Path, network: Path, scores: Path, **outputs: Path) -> None:
    """Modulate the discovered filters of the main target."""
    params = load_params("modulate", ModulationParams)
    settings = load_params(f"targets.{load_params('main_target', Name)}", TargetParams)
    model = read_model(baseline, network)
    found = read_found(scores, model)
    inputs = read_test_inputs(pairs, hr, lr, settings.degradations)
    mixed = {params.mixed: inputs[params.mixed]}
    alone_at, both_at = curve_points(found, params), grid_points(found, params)
    with Progress(len(alone_at) * len(inputs) + len(both_at), "modulate") as progress:
        alone = measure(model, inputs, alone_at, progress.advance)
        both = measure(model, mixed, both_at, progress.advance)
    shown = {name: single(inputs[name], params.picture) for name in found}
    write_parquet(outputs["output"], alone)
    write_parquet(outputs["grid"], both)
    write_parquet(outputs["pictures"], show_modulation(model, shown, found, params.strip))


if __name__ == "__main__":
    main()
