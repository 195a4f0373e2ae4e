"""Bytes to the tensor that a network takes; the one place where normalisation is applied."""

# N images, H and W pixels

import torch
from torch import Tensor

from models.transforms import Preprocessing


def normalise(pixels_NHWC: Tensor, preprocessing: Preprocessing) -> Tensor:
    """uint8 (N, H, W, 3) to float32 (N, 3, H, W), channels last in memory, on the same device."""
    device = pixels_NHWC.device
    mean = torch.tensor(preprocessing.mean, device=device).mul_(255)
    scale = torch.tensor(preprocessing.std, device=device).mul_(255).reciprocal_()
    return ((pixels_NHWC.float() - mean) * scale).permute(0, 3, 1, 2)
