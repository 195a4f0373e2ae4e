"""Training augmentation on a batch of bytes: what changes from camera to camera, and from box to
box.

Flip, shifted crop, random erasing and light imitate one camera's own variety; colour cast, gamma,
blur, low resolution, JPEG and badly cut boxes imitate cameras that were never seen.
"""

# N images, H and W pixels

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from images.preprocessing import Pixels

ERASED = (124, 116, 104)  # the mean colour of ImageNet


@dataclass(frozen=True)
class Augmentation:
    """Probabilities in [0, 1] of each change; `pad` alone is in pixels.

    `cast` scales the three channels apart (colour cast, white balance), `gamma` bends the tone
    curve and the contrast, `grey` drops the colour, `blur` is Gaussian, `low_resolution` scales
    down and up again, `jpeg` compresses hard, `cut` moves the box's borders, inwards or outwards,
    and `partial` keeps a part of the height only.
    """

    flip: float = 0.5
    pad: int = 6
    erase: float = 0.5
    light: float = 0.5
    cast: float = 0.0
    gamma: float = 0.0
    grey: float = 0.0
    blur: float = 0.0
    low_resolution: float = 0.0
    jpeg: float = 0.0
    cut: float = 0.0
    partial: float = 0.0

    def __call__(self, pixels_NHWC: Pixels, rng: np.random.Generator) -> Pixels:
        """Return a changed copy, (N, H, W, 3); erased areas hold the mean colour of ImageNet."""
        out = np.empty_like(pixels_NHWC)
        for i, image in enumerate(pixels_NHWC):
            out[i] = self._one(image, rng)
        return out

    def _one(self, image: Pixels, rng: np.random.Generator) -> Pixels:
        height, width, _ = image.shape
        if rng.random() < self.flip:
            image = image[:, ::-1]
        if self._happens(self.partial, rng):
            image = _partial(image, rng)
        if self._happens(self.cut, rng):
            image = _cut(image, rng)
        if self.pad:
            top, left = rng.integers(0, 2 * self.pad + 1, 2)
            padded = np.pad(image, ((self.pad,) * 2, (self.pad,) * 2, (0, 0)))
            image = padded[top : top + height, left : left + width]
        image = self._optics(image, rng)
        image = self._tones(image, rng)
        if rng.random() < self.light:
            gain, offset = rng.uniform(0.8, 1.25), rng.uniform(-20, 20)
            image = np.clip(image * gain + offset, 0, 255).astype(np.uint8)
        if rng.random() < self.erase:
            image = _erased(image.copy(), rng)
        return image

    @staticmethod
    def _happens(probability: float, rng: np.random.Generator) -> bool:
        # without the change nothing is drawn, so that older recipes draw what they always drew
        return probability > 0 and rng.random() < probability

    def _optics(self, image: Pixels, rng: np.random.Generator) -> Pixels:
        """Lens, sensor size and compression."""
        if self._happens(self.low_resolution, rng):
            image = _low_resolution(image, rng)
        if self._happens(self.blur, rng):
            image = _blurred(image, rng)
        if self._happens(self.jpeg, rng):
            image = _compressed(image, rng)
        return image

    def _tones(self, image: Pixels, rng: np.random.Generator) -> Pixels:
        """Colour cast, tone curve, contrast and grey, as one look-up table a channel."""
        levels_LC = np.repeat(np.linspace(0, 1, 256)[:, None], 3, axis=1)
        changed = False
        if self._happens(self.gamma, rng):
            levels_LC = levels_LC ** np.exp(rng.uniform(-0.5, 0.5))
            levels_LC = 0.5 + (levels_LC - 0.5) * np.exp(rng.uniform(-0.4, 0.3))
            changed = True
        if self._happens(self.cast, rng):
            levels_LC = levels_LC * np.exp(rng.uniform(-0.22, 0.22, 3))
            changed = True
        if changed:
            table_LC = np.clip(levels_LC * 255, 0, 255).astype(np.uint8)
            image = np.stack([table_LC[:, c][image[..., c]] for c in range(3)], axis=-1)
        if self._happens(self.grey, rng):
            grey_HW = (image @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
            image = np.repeat(grey_HW[..., None], 3, axis=2)
        return image


def _resized(image: Pixels, height: int, width: int) -> Pixels:
    picture = Image.fromarray(np.ascontiguousarray(image))
    return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))


def _partial(image: Pixels, rng: np.random.Generator) -> Pixels:
    """The upper or lower 55 to 90 % of the height: legs behind a car, a head above the frame."""
    height, width, _ = image.shape
    kept = round(height * rng.uniform(0.55, 0.9))
    part = image[:kept] if rng.random() < 0.7 else image[height - kept :]
    return _resized(part, height, width)


def _cut(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Each border moved by up to 15 % of the size; what is outside repeats the border."""
    height, width, _ = image.shape
    up, down = (round(height * share) for share in rng.uniform(-0.15, 0.12, 2))
    left, right = (round(width * share) for share in rng.uniform(-0.15, 0.15, 2))
    out = [max(0, move) for move in (up, down, left, right)]
    padded = np.pad(image, ((out[0], out[1]), (out[2], out[3]), (0, 0)), mode="edge")
    inner = [max(0, -move) for move in (up, down, left, right)]
    h, w, _ = padded.shape
    return _resized(padded[inner[0] : h - inner[1], inner[2] : w - inner[3]], height, width)


def _low_resolution(image: Pixels, rng: np.random.Generator) -> Pixels:
    """As if the person had been 24 to 60 % as large, scaled up again."""
    height, width, _ = image.shape
    scale = rng.uniform(0.24, 0.6)
    small = _resized(image, max(8, round(height * scale)), max(4, round(width * scale)))
    return _resized(small, height, width)


def _blurred(image: Pixels, rng: np.random.Generator) -> Pixels:
    picture = Image.fromarray(np.ascontiguousarray(image))
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.6, 2.2))))


def _compressed(image: Pixels, rng: np.random.Generator) -> Pixels:
    file = io.BytesIO()
    picture = Image.fromarray(np.ascontiguousarray(image))
    picture.save(file, "JPEG", quality=int(rng.integers(15, 60)))
    return np.asarray(Image.open(file))


def _erased(image: Pixels, rng: np.random.Generator) -> Pixels:
    # area 2-40 % of the image, aspect 0.3-3.3: Zhong et al., 2017
    height, width, _ = image.shape
    for _ in range(20):
        area = rng.uniform(0.02, 0.4) * height * width
        aspect = np.exp(rng.uniform(np.log(0.3), np.log(1 / 0.3)))
        h, w = round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))
        if 0 < h < height and 0 < w < width:
            top, left = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
            image[top : top + h, left : left + w] = ERASED
            return image
    return image
