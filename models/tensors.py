"""Bytes to the tensor that a network takes; the one place where normalisation is applied."""

# N images, H and W pixels

from collections.abc import Iterator

import torch
from torch import Tensor

from images.preprocessing import Pixels, Preprocessing

_BATCH = 64


def normalise(pixels_NHWC: Tensor, preprocessing: Preprocessing) -> Tensor:
    """uint8 (N, H, W, 3) to float32 (N, 3, H, W), channels last in memory, on the same device."""
    device = pixels_NHWC.device
    mean = torch.tensor(preprocessing.mean, device=device).mul_(255)
    scale = torch.tensor(preprocessing.std, device=device).mul_(255).reciprocal_()
    return ((pixels_NHWC.float() - mean) * scale).permute(0, 3, 1, 2)


def in_batches(
    pixels_NHWC: Pixels, preprocessing: Preprocessing, device: torch.device
) -> Iterator[Tensor]:
    """The same for images in memory, 64 at a time, on a device: for evaluation."""
    for start in range(0, len(pixels_NHWC), _BATCH):
        pixels = torch.from_numpy(pixels_NHWC[start : start + _BATCH])
        yield normalise(pixels.to(device), preprocessing)
