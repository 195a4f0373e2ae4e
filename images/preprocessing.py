"""One set of pixel transforms for training and for ingest, so that the two cannot drift apart."""

# N images, H and W pixels

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Preprocessing:
    """How an RGB image becomes numbers: stretched to height x width pixels, scaled to [0, 1],
    then (x - mean) / std for each channel."""

    height: int
    width: int
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 1 or min(self.std) <= 0:
            raise ValueError("expected a positive size and deviations above zero")

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Preprocessing":
        """Raises KeyError, TypeError or ValueError when `value` is not what `to_json` wrote."""
        r, g, b = (float(x) for x in value["mean"])
        sr, sg, sb = (float(x) for x in value["std"])
        return cls(int(value["height"]), int(value["width"]), (r, g, b), (sr, sg, sb))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def resize(self, image: Image.Image) -> Pixels:
        """An RGB image of any size to (H, W, 3) bytes, bilinear, stretched."""
        if image.size != (self.width, self.height):
            image = image.resize((self.width, self.height), Image.Resampling.BILINEAR)
        return np.asarray(image, dtype=np.uint8)


IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def joint_preprocessing(height: int, width: int) -> Preprocessing:
    """What a trunk that started from ImageNet expects, at this size in pixels."""
    return Preprocessing(height, width, IMAGENET_MEAN, IMAGENET_STD)


JOINT = joint_preprocessing(128, 64)
SEED = Preprocessing(128, 128)
