"""The augmentation of `Augmentation` for a whole batch on a device: no image goes back to the CPU.

The same changes with the same probabilities and ranges, drawn from the same generator; two differ
in form. Shift, cut, part and flip are one sampling, so that what lies outside repeats the border.
Low resolution and JPEG draw one strength a batch, since a batch has one size.
"""

# N images, H and W pixels, C=3 channels

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.training.augment import ERASED, Augmentation

_LUMA = (0.299, 0.587, 0.114)
# ITU-T T.81, table K.1: how coarsely JPEG keeps each frequency of 8x8 brightness values
_QUANTISERS = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56), (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip


def augment_batch(pixels_NHWC: Tensor, changes: Augmentation, rng: np.random.Generator) -> Tensor:
    """Return a changed copy of bytes (N, H, W, 3) on their device, as bytes."""
    draw = _Draws(len(pixels_NHWC), pixels_NHWC.device, rng)
    images_NCHW = pixels_NHWC.permute(0, 3, 1, 2).float() / 255
    images_NCHW = _moved(images_NCHW, changes, draw)
    images_NCHW = _optics(images_NCHW, changes, draw)
    images_NCHW = _tones(images_NCHW, changes, draw)
    images_NCHW = _erased(images_NCHW, draw.happens(changes.erase), draw)
    return (images_NCHW.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1)


class _Draws:
    """Random numbers of a batch, drawn on the CPU and sent in one piece each."""

    def __init__(self, number: int, device: torch.device, rng: np.random.Generator) -> None:
        self.number, self.device, self.rng = number, device, rng

    def happens(self, probability: float) -> Tensor:
        """Which images are changed, (N,)."""
        return torch.from_numpy(self.rng.random(self.number) < probability).to(self.device)

    def uniform(self, low: float, high: float, *more: int) -> Tensor:
        """Numbers of [low, high), (N, *more)."""
        drawn = self.rng.uniform(low, high, (self.number, *more)).astype(np.float32)
        return torch.from_numpy(drawn).to(self.device)


def _moved(images_NCHW: Tensor, changes: Augmentation, draw: _Draws) -> Tensor:
    """Flip, part of the height, borders moved and shifted crop, as one sampling of each image."""
    _, _, height, width = images_NCHW.shape
    top = torch.zeros(draw.number, device=draw.device)  # the part that is kept, in shares
    bottom, left, right = torch.ones_like(top), torch.zeros_like(top), torch.ones_like(top)
    partial, kept = draw.happens(changes.partial), draw.uniform(0.55, 0.9)
    upper = draw.happens(0.7)
    bottom = torch.where(partial & upper, kept, bottom)
    top = torch.where(partial & ~upper, 1 - kept, top)
    cut, moves = draw.happens(changes.cut).float(), draw.uniform(-0.15, 0.15, 4)
    top, bottom = top - cut * moves[:, 0], bottom + cut * moves[:, 1] * 0.8
    left, right = left - cut * moves[:, 2], right + cut * moves[:, 3]
    shift = draw.uniform(-1, 1, 2) * changes.pad
    top, bottom = top + shift[:, 0] / height, bottom + shift[:, 0] / height
    left, right = left + shift[:, 1] / width, right + shift[:, 1] / width
    flipped = draw.happens(changes.flip)
    left, right = torch.where(flipped, right, left), torch.where(flipped, left, right)
    zero = torch.zeros_like(top)
    theta = torch.stack(
        [
            torch.stack([right - left, zero, right + left - 1], dim=1),
            torch.stack([zero, bottom - top, bottom + top - 1], dim=1),
        ],
        dim=1,
    )
    size = list(images_NCHW.shape)
    grid = functional.affine_grid(theta, size, align_corners=False)
    return functional.grid_sample(images_NCHW, grid, padding_mode="border", align_corners=False)


def _optics(images_NCHW: Tensor, changes: Augmentation, draw: _Draws) -> Tensor:
    low, scale = draw.happens(changes.low_resolution), float(draw.rng.uniform(0.24, 0.6))
    if low.any():
        size = [max(4, round(side * scale)) for side in images_NCHW.shape[2:]]
        small = functional.interpolate(
            images_NCHW[low], size, mode="bilinear", antialias=True, align_corners=False
        )
        images_NCHW = images_NCHW.clone()
        images_NCHW[low] = functional.interpolate(
            small, images_NCHW.shape[2:], mode="bilinear", align_corners=False
        )
    blurred, deviation = draw.happens(changes.blur), draw.uniform(0.6, 2.2)
    if blurred.any():
        images_NCHW = images_NCHW.clone()
        images_NCHW[blurred] = _blur(images_NCHW[blurred], deviation[blurred])
    hard, quality = draw.happens(changes.jpeg), int(draw.rng.integers(15, 60))
    if hard.any():
        images_NCHW = images_NCHW.clone()
        images_NCHW[hard] = _compressed(images_NCHW[hard], quality)
    return images_NCHW


def _blur(images_NCHW: Tensor, deviation_N: Tensor) -> Tensor:
    """Gaussian blur, each image by its own deviation in pixels."""
    number, channels, height, width = images_NCHW.shape
    steps = torch.arange(-6, 7, device=images_NCHW.device)
    kernels = torch.exp(-0.5 * (steps / deviation_N[:, None]) ** 2)
    kernels = (kernels / kernels.sum(1, keepdim=True)).repeat_interleave(channels, dim=0)
    planes = functional.pad(
        images_NCHW.reshape(1, number * channels, height, width), (6, 6, 6, 6), mode="replicate"
    )
    for shape in ((-1, 1, 13, 1), (-1, 1, 1, 13)):
        planes = functional.conv2d(planes, kernels.reshape(shape), groups=number * channels)
    return planes.reshape(images_NCHW.shape)


def _compressed(images_NCHW: Tensor, quality: int) -> Tensor:
    """What JPEG's rounding of 8x8 frequencies leaves, alike in each channel."""
    _, _, height, width = images_NCHW.shape
    device = images_NCHW.device
    rows, columns = -height % 8, -width % 8
    padded = functional.pad(images_NCHW, (0, columns, 0, rows), mode="replicate") * 255 - 128
    steps = torch.arange(8, device=device, dtype=torch.float32)
    basis = torch.cos((2 * steps[None] + 1) * steps[:, None] * math.pi / 16) / 2
    basis[0] /= math.sqrt(2)
    scale = 50 / quality if quality < 50 else 2 - quality / 50
    table = (torch.tensor(_QUANTISERS, device=device, dtype=torch.float32) * scale).clamp(1, 255)
    blocks = padded.unfold(2, 8, 8).unfold(3, 8, 8)
    kept = ((basis @ blocks @ basis.T) / table).round() * table
    blocks = basis.T @ kept @ basis
    whole = blocks.permute(0, 1, 2, 4, 3, 5).reshape(padded.shape)
    return ((whole + 128) / 255)[:, :, :height, :width]


def _tones(images_NCHW: Tensor, changes: Augmentation, draw: _Draws) -> Tensor:
    """Tone curve and contrast, colour cast, grey, then light."""
    each = (-1, 1, 1, 1)
    bent = draw.happens(changes.gamma).reshape(each)
    power, contrast = draw.uniform(-0.5, 0.5).exp(), draw.uniform(-0.4, 0.3).exp()
    curved = images_NCHW.clamp(0, 1) ** power.reshape(each)
    images_NCHW = torch.where(bent, 0.5 + (curved - 0.5) * contrast.reshape(each), images_NCHW)
    cast = draw.happens(changes.cast).reshape(each)
    factors = draw.uniform(-0.22, 0.22, 3).exp()[:, :, None, None]
    images_NCHW = torch.where(cast, images_NCHW * factors, images_NCHW).clamp(0, 1)
    luma = torch.tensor(_LUMA, device=images_NCHW.device).reshape(1, 3, 1, 1)
    grey = (images_NCHW * luma).sum(1, keepdim=True)
    images_NCHW = torch.where(draw.happens(changes.grey).reshape(each), grey, images_NCHW)
    lit = draw.happens(changes.light).reshape(each)
    gain, offset = draw.uniform(0.8, 1.25).reshape(each), draw.uniform(-20, 20).reshape(each) / 255
    return torch.where(lit, images_NCHW * gain + offset, images_NCHW)


def _erased(images_NCHW: Tensor, chosen: Tensor, draw: _Draws) -> Tensor:
    """A rectangle of 2 to 40 % of the area, aspect 0.3 to 3.3, kept within the image."""
    _, _, height, width = images_NCHW.shape
    area = draw.uniform(0.02, 0.4) * height * width
    aspect = draw.uniform(math.log(0.3), math.log(1 / 0.3)).exp()
    tall, wide = (area * aspect).sqrt().clamp(1, height), (area / aspect).sqrt().clamp(1, width)
    top, left = draw.uniform(0, 1) * (height - tall), draw.uniform(0, 1) * (width - wide)
    y = torch.arange(height, device=draw.device)[None, :, None]
    x = torch.arange(width, device=draw.device)[None, None, :]
    top, left, tall, wide = (t[:, None, None] for t in (top, left, tall, wide))
    inside = (y >= top) & (y < top + tall) & (x >= left) & (x < left + wide)
    colour = torch.tensor(ERASED, device=draw.device).reshape(1, 3, 1, 1) / 255
    return torch.where((inside & chosen[:, None, None])[:, None], colour, images_NCHW)
