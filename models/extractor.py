"""Running a network over batches of pixels: the step that ingest and search share."""

# N images, H and W pixels, A=56 scores, D=512 embedding numbers

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from errors import ReidError, UsageError
from models.checkpoint import Header
from models.nets import load
from models.tensors import normalise
from models.transforms import Pixels

FloatRows = npt.NDArray[np.float32]


class UnknownDevice(UsageError):
    """The device is not there or has no such name."""


class OutOfDeviceMemory(ReidError):
    """The device cannot hold the batch."""


def choose_device(name: str | None) -> torch.device:
    """`auto` or None: CUDA where there is one, else the CPU. Raises UnknownDevice."""
    if name in (None, "", "auto"):
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise UnknownDevice(f"no device {name!r} here; use cpu, cuda, cuda:1 ... or auto") from None
    return device


class Extractor:
    """A loaded checkpoint on a device, turning pixels into scores and embeddings."""

    def __init__(self, path: Path, device: str | None = None) -> None:
        self.device = choose_device(device)
        net, self.header = load(path)
        self.net = net.to(memory_format=torch.channels_last).to(self.device)

    header: Header

    def pixels_of(self, image: Image.Image) -> Pixels:
        """An RGB image as this network's bytes, (H, W, 3)."""
        return self.header.preprocessing.resize(image)

    def __call__(self, pixels_NHWC: Pixels) -> tuple[FloatRows, FloatRows]:
        """Scores (N, 56) in [0, 1] and embeddings (N, 512), float32, one row an image.

        Raises OutOfDeviceMemory.
        """
        try:
            with torch.inference_mode():
                batch = torch.from_numpy(pixels_NHWC).to(self.device, non_blocking=True)
                scores, embeddings = self.net(normalise(batch, self.header.preprocessing))
                return scores.float().cpu().numpy(), embeddings.float().cpu().numpy()
        except torch.OutOfMemoryError:
            raise OutOfDeviceMemory(
                f"{self.device} has too little memory for a batch of {len(pixels_NHWC)}; "
                f"try --batch {max(1, len(pixels_NHWC) // 2)}"
            ) from None
