"""Train a plug-in for each degradation and one for all, and whole networks to compare with, from the baseline."""

from pathlib import Path

from faig.base.files import complete_folder
from faig.base.params import Ratio, Seed, load_params
from faig.base.seeds import derive_seed
from faig.data.pairs import read_entries, split_pairs
from faig.data.targets import CLEAN
from faig.experiments.plugging import PATCHES_ACROSS, PlugInParams, left_alone, trainings
from faig.experiments.retraining import Variant, train_only
from faig.experiments.score_table import Method
from faig.networks.plugins import extract, save_plugin
from faig.networks.training import fit
from faig.networks.weights import NetworkChoice, load_network, save_network
from stages.shared.cli import checkpoint_folder, delete_afterwards, reads, stage, writes
from stages.shared.model import read_found, read_model


@stage
@reads("hr", "lr", "pairs", "baseline", "network", "scores")
@writes(output="folder of plug-ins and, in its folder full, of whole networks, safetensors")
def main(hr: Path, lr: Path, pairs: Path, baseline: Path, network: Path, scores: Path, output: Path) -> None:
    """Train the plug-ins of the main target's degradations."""
    params, seed = load_params("plug_in", PlugInParams), load_params("seed", Seed)
    choice = load_params("network", NetworkChoice)
    about = {"method": load_params("method", Method), "mask_ratio": load_params("mask_ratio", Ratio), "seed": seed}
    about |= {"left_alone": params.left_alone}
    model = read_model(baseline, network)
    train, test = split_pairs(read_entries(pairs), hr, lr)
    found = read_found(scores, model)
    without = [pair for pair in train if params.left_alone and pair.degradation in {CLEAN, *found}]
    spared = left_alone(model, without, PATCHES_ACROSS * params.training.patch_size)
    with complete_folder(output) as folder:
        for each in trainings(found):
            for whole in (False, True):
                training = params.of(each, whole=whole)
                images = each.pairs(train, [] if whole else spared)
                start, spec = load_network(baseline, choice)
                if not whole:
                    train_only(start, model.index, each.filters)
                chosen = "all" if whole else Variant(each.name, 0, each.filters).digest()
                weights, _, checkpoint = fit(
                    start,
                    images,
                    test,
                    each.mixture(images, params.left_alone),
                    training,
                    model.compute,
                    seed=derive_seed(seed, "plug_in", each.name),
                    checkpoints=checkpoint_folder("plug_in", chosen),
                    description=f"plug_in {'all' if whole else 'the discovered'} filters for {each.name}",
                )
                delete_afterwards(checkpoint)
                if whole:
                    save_network(folder / "full" / f"{each.name}.safetensors", spec, weights)
                    continue
                about |= {"degradation": each.name, "iterations": training.iterations, "network": str(spec)}
                plugin = extract(weights, model.baseline, model.index, each.filters, **about)
                save_plugin(folder / f"{each.name}.safetensors", plugin)


if __name__ == "__main__":
    main()
