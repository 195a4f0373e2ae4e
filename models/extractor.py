"""Running a network over batches of pixels: the step that ingest and search share."""

# N images, H and W pixels

from pathlib import Path

import torch
from PIL import Image

from errors import ReidError, UsageError
from images.preprocessing import Pixels, Preprocessing
from models.checkpoint import Header
from models.nets.load import load_for_inference
from models.outputs import Outputs
from models.tensors import normalise


class UnknownDevice(UsageError):
    """The device is not there or has no such name."""

    http_status = 503


class OutOfDeviceMemory(ReidError):
    """The device cannot hold the batch."""

    http_status = 503


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
        self.name = f"torch f32 on {self.device}"
        net, self.header = load_for_inference(path)
        self.net = net.to(memory_format=torch.channels_last).to(self.device)

    header: Header

    @property
    def preprocessing(self) -> Preprocessing:
        """What its pixels are made by."""
        return self.header.preprocessing

    def pixels_of(self, image: Image.Image) -> Pixels:
        """An RGB image as this network's bytes, (H, W, 3)."""
        return self.header.preprocessing.resize(image)

    def __call__(self, pixels_NHWC: Pixels) -> Outputs:
        """What the network gives, one row an image. Raises OutOfDeviceMemory."""
        try:
            with torch.inference_mode():
                batch = torch.from_numpy(pixels_NHWC).to(self.device, non_blocking=True)
                found = self.net(normalise(batch, self.header.preprocessing))
                return Outputs(*(part.float().cpu().numpy() for part in found))
        except torch.OutOfMemoryError:
            raise OutOfDeviceMemory(
                f"{self.device} has too little memory for a batch of {len(pixels_NHWC)}; "
                f"try --batch {max(1, len(pixels_NHWC) // 2)}"
            ) from None
