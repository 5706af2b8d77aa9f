"""What the predictors from discovered filters are to be compared with: a trivial estimator and a trained classifier.

Shapes: N images, K classes, C channels.
"""

from collections.abc import Sequence
from typing import Annotated

import cv2
import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from faig.base.compute import Compute
from faig.base.params import Count, Positive, Unique, settings
from faig.data.patches import PatchSampler
from faig.data.tensors import to_image
from faig.networks.models import LEAK

FLOOR = 1e-6
"""Logarithms are taken of nothing smaller."""


@settings
class ClassifierParams:
    """The small supervised classifier and its training: ``width`` in channels, ``patch_size`` in HR pixels."""

    width: Count
    iterations: Count
    batch_size: Count
    patch_size: Count
    learning_rate: Positive


@settings
class RivalsParams:
    """Settings of the compare_predictors stage: ``methods`` name whose filters the response predictor uses."""

    methods: Annotated[tuple[str, ...], Field(min_length=1), Unique]
    classifier: ClassifierParams


def trivial_features(images: Sequence[Tensor]) -> pd.DataFrame:
    """Log noise sigma (from wavelets, Donoho and Johnstone 1994) and log variance of the grey image's Laplacian.

    ``images``: (1, 3, H, W) in [0, 1]; a row each.
    """
    from skimage.restoration import estimate_sigma  # slow to import; the check of params.yaml does not come here

    rows = []
    for image in images:
        pixels = to_image(image)
        sigma = float(np.mean(estimate_sigma(pixels / 255, channel_axis=-1)))
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        variance = float(cv2.Laplacian(grey, cv2.CV_64F).var()) / 255**2
        rows.append({"sigma": np.log(max(sigma, FLOOR)), "laplacian": np.log(max(variance, FLOOR))})
    return pd.DataFrame(rows)


class Classifier(nn.Module):
    """Three convolutions of stride 2, 1 and 1, mean over the image, and a linear layer."""

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        channels = [3, width, 2 * width, 2 * width]
        layers: list[nn.Module] = []
        for place in range(3):
            layers += [nn.Conv2d(channels[place], channels[place + 1], 3, stride=2 if place == 1 else 1, padding=1)]
            layers += [nn.LeakyReLU(LEAK)]
        self.features = nn.Sequential(*layers)
        self.classify = nn.Linear(2 * width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """LR (N, 3, H, W) in [0, 1] -> logits (N, K)."""
        return self.classify(self.features(x).mean(dim=(2, 3)))


def train_classifier(sampler: PatchSampler, params: ClassifierParams, compute: Compute, seed: int) -> Classifier:
    """A classifier of the sampler's degradations, trained with cross-entropy, Adam and a cosine schedule."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Classifier(params.width, len(sampler.names))
    compute.network_to_device(network)
    optimizer = torch.optim.Adam(network.parameters(), lr=params.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, params.iterations)
    for number in range(params.iterations):
        lr, _ = sampler.batch(number)
        with compute.autocast():
            logits = network(compute.to_device(lr))
        loss = functional.cross_entropy(logits.float(), sampler.labels(number).to(compute.device))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def classify(network: nn.Module, images: Sequence[Tensor], names: Sequence[str], compute: Compute) -> pd.DataFrame:
    """Log-probabilities of the classes ``names`` (K,), a row per image (1, 3, H, W)."""
    with torch.no_grad(), compute.autocast():
        rows = [network(compute.to_device(image)).float().log_softmax(dim=1)[0].tolist() for image in images]
    return pd.DataFrame(rows, columns=list(names))
