"""Put plug-ins that were trained apart into the baseline together, and measure what of each is kept."""

from pathlib import Path

from faig.base.params import Name, load_params
from faig.data.targets import TargetParams
from faig.experiments.plugging import IN_TURN, JOINT, CombineParams, Trained, measure, variants
from faig.networks.plugins import load_plugin
from stages.shared.cli import path_option, reads, stage, writes
from stages.shared.model import read_model, read_test_inputs
from stages.shared.outputs import write_parquet


@stage
@reads("hr", "lr", "pairs", "baseline")
@path_option("plugins", "folder of plug-ins and whole networks, as plug_in writes it")
@writes(output="PSNR per variant, degradation, strength, input and test image, Parquet")
def main(hr: Path, lr: Path, pairs: Path, baseline: Path, plugins: Path, output: Path) -> None:
    """Measure the plug-ins of the main target's degradations, alone and together."""
    params = load_params("combine", CombineParams)
    settings = load_params(f"targets.{load_params('main_target', Name)}", TargetParams)
    model = read_model(baseline, baseline)
    inputs = read_test_inputs(pairs, hr, lr, settings.degradations)
    apart: list[str] = list(settings.attribute)
    names = [*apart, JOINT] if len(apart) > 1 else apart
    trained = {}
    for name in names:
        full = plugins / "full" / f"{name}.safetensors"
        weights = read_model(baseline, full).target
        trained[name] = Trained(load_plugin(plugins / f"{name}.safetensors"), weights, full.stat().st_size)
    upon = [load_plugin(plugins / IN_TURN / f"{name}.safetensors") for name in apart[1:]]
    in_turn = [trained[apart[0]].plugin, *upon] if upon else []
    networks = variants(model.baseline, model.index, trained, in_turn, params.strengths)
    write_parquet(output, measure(model, networks, inputs))


if __name__ == "__main__":
    main()
