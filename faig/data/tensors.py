"""Conversions between 8-bit RGB images (H, W, 3) and float32 batches (N, 3, H, W) in [0, 1]."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def to_tensor(image: np.ndarray) -> Tensor:
    """Turn an image, uint8 (H, W, 3), into a batch of one, float32 (1, 3, H, W) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).unsqueeze(0).float().div_(255)


def to_image(batch: Tensor) -> np.ndarray:
    """Turn a batch of one, float (1, 3, H, W), into an image, uint8 (H, W, 3), clipped to [0, 1] and rounded."""
    levels = batch.detach().squeeze(0).float().clamp(0, 1).mul(255).round()
    return levels.to(torch.uint8).permute(1, 2, 0).cpu().numpy()


def detail(images: Tensor) -> Tensor:
    """Subtract from images (N, C, H, W), H and W at least 3, their means over 5 x 5 pixels (borders mirrored)."""
    padded = functional.pad(images, (2, 2, 2, 2), mode="reflect")
    return images - functional.avg_pool2d(padded, kernel_size=5, stride=1)
