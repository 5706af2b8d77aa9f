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
from faig.networks.plugins import Plugin, extract, plug_in, save_plugin
from faig.networks.training import fit
from faig.networks.weights import NetworkChoice, all_names, load_network, save_network
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
    about |= {"left_alone": params.left_alone, "network": str(load_network(baseline, choice)[1])}
    model = read_model(baseline, network)
    train, test = split_pairs(read_entries(pairs), hr, lr)
    found = read_found(scores, model)
    without = [pair for pair in train if params.left_alone and pair.degradation in {CLEAN, *found}]
    size = PATCHES_ACROSS * params.training.patch_size
    spared = left_alone(model, model.baseline, without, size)
    made: dict[str, Plugin] = {}
    with complete_folder(output) as folder:
        for each in trainings(found):
            begin = plug_in(model.baseline, model.index, [(made[name], 1.0) for name in each.upon])
            kept = left_alone(model, begin, without, size) if each.upon else spared
            for whole in (False,) if each.upon else (False, True):
                training = params.of(each, whole=whole)
                start, spec = load_network(baseline, choice)
                start.load_state_dict({**start.state_dict(), **all_names(start, begin)})
                if not whole:
                    train_only(start, model.index, each.filters)
                chosen = "all" if whole else Variant(each.name, 0, each.filters).digest()
                images = each.pairs(train, [] if whole else kept)
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
                about |= {"degradation": Path(each.name).name, "upon": each.upon, "iterations": training.iterations}
                made[each.name] = extract(weights, model.baseline, model.index, each.filters, **about)
                save_plugin(folder / f"{each.name}.safetensors", made[each.name])


if __name__ == "__main__":
    main()
