"""What a network gives for a batch of images, as NumPy arrays: known without torch."""

# N images, A=56 scores, D=512 embedding numbers

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from images.preprocessing import Pixels, Preprocessing

FloatRows = npt.NDArray[np.float32]


class Outputs(NamedTuple):
    """Scores (N, 56) in [0, 1], embeddings (N, 512), and crop quality (N,) in [0, 1], higher is
    better; None where the network has not learned it. One row an image, float32."""

    scores_NA: FloatRows
    embeddings_ND: FloatRows
    quality_N: FloatRows | None = None


class Network(Protocol):
    """A network that is ready to look at images, whatever runs it. `name` says what does, like
    `"openvino bf16"`."""

    @property
    def name(self) -> str: ...

    @property
    def preprocessing(self) -> Preprocessing: ...

    def pixels_of(self, image: Image.Image) -> Pixels:
        """An RGB image as this network's bytes, (H, W, 3)."""
        ...

    def __call__(self, pixels_NHWC: Pixels) -> Outputs:
        """What the network gives, one row an image."""
        ...
