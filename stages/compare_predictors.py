"""Features for other predictors: other methods' filters, a trivial estimator and a trained classifier."""

from pathlib import Path

from faig.base.params import Seed, load_params
from faig.base.progress import track
from faig.base.seeds import derive_seed
from faig.data.pairs import list_pairs, split_pairs
from faig.data.patches import PatchSampler
from faig.experiments.prediction import PredictParams, response, table_of
from faig.experiments.rivals import RivalsParams, classify, train_classifier, trivial_features
from stages.shared.cli import reads, stage, writes
from stages.shared.model import read_chosen, read_model
from stages.shared.outputs import write_parquet
from stages.shared.prediction_crops import read_prediction_crops


@stage
@reads("hr", "lr", "baseline", "network", "scores")
@writes(output="features of each crop, Parquet")
def main(hr: Path, lr: Path, baseline: Path, network: Path, scores: Path, output: Path) -> None:
    """Find what other predictors go by."""
    params, settings = load_params("compare_predictors", RivalsParams), load_params("predict", PredictParams)
    model, seed = read_model(baseline, network), derive_seed(load_params("seed", Seed), "classifier")
    chosen = {key: value for key, value in read_chosen(scores, model, params.methods).items() if key.replicate == 0}
    crops = read_prediction_crops(hr, lr, settings)
    images = [crop.lr for crop in crops]
    features = {}
    for method in track(params.methods, "compare_predictors"):
        own = {key.degradation: model.masked(filters) for key, filters in chosen.items() if key.method == method}
        features[method] = response(model, own, images)
    features["trivial"] = trivial_features(images)
    sampler = PatchSampler(
        split_pairs(list_pairs(hr, lr, settings.classes), hr, lr)[0],
        dict.fromkeys(settings.classes, 1.0),
        patch_size=params.classifier.patch_size,
        batch_size=params.classifier.batch_size,
        seed=seed,
    )
    trained = train_classifier(sampler, params.classifier, model.compute, derive_seed(seed, "weights") % 2**32)
    features["classifier"] = classify(trained, images, sampler.names, model.compute)
    write_parquet(output, table_of(crops, features))


if __name__ == "__main__":
    main()
