"""Set the response predictor against the filters of other methods, a trivial estimator and a trained classifier."""

from pathlib import Path

from faig.base.compute import ComputeParams, resolve
from faig.base.params import Seed, load_params
from faig.base.progress import track
from faig.base.seeds import derive_seed
from faig.data.pairs import list_pairs, split_pairs
from faig.data.patches import PatchSampler
from faig.experiments.loading import load_model
from faig.experiments.masking import mask
from faig.experiments.prediction import PredictParams, evaluate, response
from faig.experiments.rivals import RivalsParams, classify, train_classifier, trivial_features
from faig.experiments.score_table import read_discovered
from stages.shared.cli import path_option, stage
from stages.shared.outputs import write_json, write_parquet
from stages.shared.prediction_crops import read_prediction_crops

TRIVIAL, CLASSIFIER = "trivial", "classifier"


@stage
@path_option("hr", "HR images, by split")
@path_option("lr", "LR images, by degradation and split")
@path_option("baseline", "the baseline's weights")
@path_option("network", "the target's weights")
@path_option("scores", "score table")
@path_option("output", "features and predictions of each crop, Parquet")
@path_option("metrics", "accuracy and AUROC of each, JSON")
def main(hr: Path, lr: Path, baseline: Path, network: Path, scores: Path, output: Path, metrics: Path) -> None:
    """Predict the class of each test crop in other ways."""
    params, settings = load_params("compare_predictors", RivalsParams), load_params("predict", PredictParams)
    seed, compute = load_params("seed", Seed), resolve(load_params("compute", ComputeParams))
    model = load_model(baseline, network, compute)
    rankings = read_discovered(scores, params.ratio, model.index.num_filters)
    found = {key: value for key, value in rankings.items() if key.replicate == 0}
    attributed = list(dict.fromkeys(key.degradation for key in found))
    if missing := sorted(set(params.methods) - {key.method for key in found}):
        raise ValueError(f"compare_predictors.methods names {missing[0]}, which {scores} does not rank")
    crops = read_prediction_crops(hr, lr, settings)
    images = [crop.lr for crop in crops]
    features = {}
    for method in track(params.methods, "compare_predictors"):
        chosen = {key.degradation: filters for key, filters in found.items() if key.method == method}
        masked = {name: mask(model.target, model.baseline, model.index, filters) for name, filters in chosen.items()}
        features[method] = response(model, masked, images)
    features[TRIVIAL] = trivial_features(images)
    train, _ = split_pairs(list_pairs(hr, lr, settings.classes), hr, lr)
    sampler = PatchSampler(
        train,
        dict.fromkeys(settings.classes, 1.0),
        patch_size=params.classifier.patch_size,
        batch_size=params.classifier.batch_size,
        seed=derive_seed(seed, CLASSIFIER),
    )
    trained = train_classifier(sampler, params.classifier, compute, derive_seed(seed, CLASSIFIER, "weights") % 2**32)
    features[CLASSIFIER] = classify(trained, images, sampler.names, compute)
    table, results = evaluate(crops, features, attributed, settings, direct=[CLASSIFIER])
    write_parquet(output, table)
    write_json(metrics, {"compare_predictors": results})


if __name__ == "__main__":
    main()
