"""The predictor's crops, read alike by the stages that attribute and classify them."""

from pathlib import Path

from faig.base.params import Seed, load_params
from faig.base.seeds import derive_seed
from faig.data.crops import batches, choose_crops, cut
from faig.data.pairs import list_pairs, split_pairs
from faig.experiments.prediction import LabelledCrop, PredictParams


def read_prediction_crops(hr: Path, lr: Path, params: PredictParams) -> list[LabelledCrop]:
    """Calibration crops, of training photographs, and all test images, of every class."""
    train, test = split_pairs(list_pairs(hr, lr, params.classes), hr, lr)
    seed = derive_seed(load_params("seed", Seed), "calibration")
    places = choose_crops(train, params.calibration, seed)
    crops = []
    for label in params.classes:
        images = cut(train, label, places, params.calibration.size)
        crops += [
            LabelledCrop("calibration", label, place.name, lr) for place, (lr, _) in zip(places, images, strict=True)
        ]
        for batch in batches(test, label):
            crops += [LabelledCrop("test", label, name, batch.lr[n : n + 1]) for n, name in enumerate(batch.names)]
    return crops
