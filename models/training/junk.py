"""Crops that show nobody whole, made from training images, to learn what a good crop is.

A detector's real failures are the pattern: cut too close, beside the person, across two people.
Every kind keeps the size of its source, so that only what is seen tells it from a good crop.
"""

# N images, H and W pixels

from collections.abc import Callable

import numpy as np
from PIL import Image

from images.preprocessing import Pixels

Maker = Callable[[Pixels, Pixels, np.random.Generator], Pixels]


def _enlarged(part: Pixels, height: int, width: int) -> Pixels:
    image = Image.fromarray(np.ascontiguousarray(part))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


def close_up(image: Pixels, _: Pixels, rng: np.random.Generator) -> Pixels:
    """A quarter to a half of the height, anywhere: a head, a bag, a leg."""
    height, width, _channels = image.shape
    share = rng.uniform(0.25, 0.5)
    h, w = round(height * share), round(width * share)
    top, left = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
    return _enlarged(image[top : top + h, left : left + w], height, width)


def background(image: Pixels, _: Pixels, rng: np.random.Generator) -> Pixels:
    """A strip along one side, where the person seldom is, enlarged or mirrored until it fills."""
    height, width, _channels = image.shape
    w = round(width * rng.uniform(0.16, 0.28))
    strip = image[:, :w] if rng.random() < 0.5 else image[:, width - w :]
    if rng.random() < 0.5:
        tiles = -(-width // w)
        mirrored = [strip if tile % 2 == 0 else strip[:, ::-1] for tile in range(tiles)]
        return np.concatenate(mirrored, axis=1)[:, :width]
    h = round(w * height / width)
    top = rng.integers(0, height - h + 1)
    return _enlarged(strip[top : top + h], height, width)


def two_halves(image: Pixels, other: Pixels, rng: np.random.Generator) -> Pixels:
    """The right side of one person beside the left side of another."""
    width = image.shape[1]
    seam = round(width * rng.uniform(0.38, 0.62))
    return np.concatenate([image[:, width - seam :], other[:, : width - seam]], axis=1)


def stacked(image: Pixels, other: Pixels, rng: np.random.Generator) -> Pixels:
    """The legs of one person above the head of another."""
    height = image.shape[0]
    seam = round(height * rng.uniform(0.32, 0.68))
    return np.concatenate([image[height - seam :], other[: height - seam]], axis=0)


def off_centre(image: Pixels, other: Pixels, rng: np.random.Generator) -> Pixels:
    """The person is half out of the picture; another image's border fills the rest."""
    height, width, _channels = image.shape
    shift = round(width * rng.uniform(0.42, 0.7))
    border = round(width * 0.2)
    if rng.random() < 0.5:
        fill = _enlarged(other[:, width - border :], height, shift)
        return np.concatenate([image[:, shift:], fill], axis=1)
    fill = _enlarged(other[:, :border], height, shift)
    return np.concatenate([fill, image[:, : width - shift]], axis=1)


KINDS: tuple[Maker, ...] = (close_up, background, two_halves, stacked, off_centre)


def make_junk(pixels_NHWC: Pixels, count: int, rng: np.random.Generator) -> Pixels:
    """`count` junk crops, (count, H, W, 3), each of a kind drawn by `rng` from two of the images.

    Raises ValueError without any image.
    """
    if not len(pixels_NHWC):
        raise ValueError("expected at least one image to make junk from")
    out = np.empty((count, *pixels_NHWC.shape[1:]), np.uint8)
    for position in range(count):
        one, other = rng.integers(0, len(pixels_NHWC), 2)
        kind = KINDS[rng.integers(len(KINDS))]
        out[position] = kind(pixels_NHWC[one], pixels_NHWC[other], rng)
    return out
