"""Training augmentation on a batch of bytes: flip, shifted crop, random erasing, light changes."""

# N images, H and W pixels

from dataclasses import dataclass

import numpy as np

from images.preprocessing import Pixels


@dataclass(frozen=True)
class Augmentation:
    """`flip`, `erase` and `light` are probabilities in [0, 1], `pad` is in pixels."""

    flip: float = 0.5
    pad: int = 6
    erase: float = 0.5
    light: float = 0.5

    def __call__(self, pixels_NHWC: Pixels, rng: np.random.Generator) -> Pixels:
        """A changed copy, (N, H, W, 3); erased areas hold the mean colour of ImageNet."""
        out = np.empty_like(pixels_NHWC)
        for i, image in enumerate(pixels_NHWC):
            out[i] = self._one(image, rng)
        return out

    def _one(self, image: Pixels, rng: np.random.Generator) -> Pixels:
        height, width, _ = image.shape
        if rng.random() < self.flip:
            image = image[:, ::-1]
        if self.pad:
            top, left = rng.integers(0, 2 * self.pad + 1, 2)
            padded = np.pad(image, ((self.pad,) * 2, (self.pad,) * 2, (0, 0)))
            image = padded[top : top + height, left : left + width]
        if rng.random() < self.light:
            gain, offset = rng.uniform(0.8, 1.25), rng.uniform(-20, 20)
            image = np.clip(image * gain + offset, 0, 255).astype(np.uint8)
        if rng.random() < self.erase:
            image = _erased(image.copy(), rng)
        return image


def _erased(image: Pixels, rng: np.random.Generator) -> Pixels:
    # area 2-40 % of the image, aspect 0.3-3.3: Zhong et al., 2017
    height, width, _ = image.shape
    for _ in range(20):
        area = rng.uniform(0.02, 0.4) * height * width
        aspect = np.exp(rng.uniform(np.log(0.3), np.log(1 / 0.3)))
        h, w = round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))
        if 0 < h < height and 0 < w < width:
            top, left = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
            image[top : top + h, left : left + w] = (124, 116, 104)
            return image
    return image
