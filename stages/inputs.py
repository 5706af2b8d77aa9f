"""What several stages read: test images of every degradation, and the predictor's crops."""

from pathlib import Path

from faig.crops import Batch, batches, choose_crops, cut
from faig.pairs import list_pairs, read_pairs, split_pairs
from faig.params import Name, Seed, load_params
from faig.prediction import LabelledCrop, PredictParams
from faig.seeds import derive_seed


def read_test_inputs(hr: Path, lr: Path) -> dict[str, list[Batch]]:
    """Test images in batches, by degradation."""
    degradations = load_params("degradations", dict[Name, list])
    entries = [entry for entry in list_pairs(hr, lr, degradations) if entry.split == "test"]
    pairs = read_pairs(entries, hr, lr)
    return {name: batches(pairs, name) for name in degradations}


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
