"""OpenVINO as the engine of a CPU: a network's ready form, compiled for the processor at hand."""

# N images, H and W pixels

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from PIL import Image

from errors import ReidError
from images.preprocessing import Pixels, Preprocessing
from inference.ready import ready_form, ready_halves
from inference.reference import Difference
from models.checkpoint import Header
from models.outputs import Outputs

_CONVERTER = "openvino.tools.ovc"
_AT_ONCE = 16  # images: their maps stay in the processor's caches, and few shapes are compiled


class RuntimeRefused(ReidError):
    """The runtime cannot be loaded, or refuses the network; the message says why."""

    http_status = 503


# what a number format may change, on the patterns of `inference.reference`
TOLERANCE = {
    "f32": Difference(score=1e-4, distance=1e-4, quality=1e-4),
    "bf16": Difference(score=0.05, distance=0.05, quality=0.05),
}


class OpenVinoNetwork:
    """A network that OpenVINO runs. May be called from several threads; they take turns."""

    def __init__(self, checkpoint: Path, header: Header) -> None:
        """Compiles a checkpoint. Raises RuntimeRefused, BadCheckpoint, NoReadyForm."""
        self.header = header
        with _saying_why():
            core = _openvino().Core()
            self.precision = quickest_format(core)
            self._requests = [
                core.compile_model(
                    core.read_model(ready), "CPU", _options(precision)
                ).create_infer_request()
                for ready, precision in _parts(checkpoint, header, self.precision)
            ]
        self.name = f"openvino {self.precision}"
        self._turn = Lock()

    @property
    def preprocessing(self) -> Preprocessing:
        """What its pixels are made by."""
        return self.header.preprocessing

    def pixels_of(self, image: Image.Image) -> Pixels:
        """An RGB image as this network's bytes, (H, W, 3)."""
        return self.header.preprocessing.resize(image)

    def __call__(self, pixels_NHWC: Pixels) -> Outputs:
        """What the network gives, one row an image. Raises RuntimeRefused."""
        starts = range(0, max(1, len(pixels_NHWC)), _AT_ONCE)
        with self._turn, _saying_why():
            parts = [self._run(pixels_NHWC[start : start + _AT_ONCE]) for start in starts]
        return Outputs(*(np.concatenate(rows) for rows in zip(*parts, strict=True)))

    def _run(self, pixels_NHWC: Pixels) -> tuple[Any, ...]:
        found: list[Any] = [np.ascontiguousarray(pixels_NHWC)]
        for request in self._requests:
            found = list(request.infer({0: found[0]}).values())
        return tuple(np.array(part, np.float32) for part in found)


def _openvino() -> Any:
    """The package without its converter of other formats, which it does without where that cannot
    be imported: two thirds of its import, and a module that counts uses for its makers."""
    absent = _CONVERTER not in sys.modules
    if absent:
        sys.modules[_CONVERTER] = None  # type: ignore[assignment]
    try:
        import openvino
    finally:
        if absent:
            del sys.modules[_CONVERTER]
    return openvino


def quickest_format(core: Any) -> str:
    """What this processor computes fastest: `bf16` where it has such numbers, else `f32`."""
    return "bf16" if "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"


def _parts(checkpoint: Path, header: Header, precision: str) -> list[tuple[bytes, str]]:
    """What is run one after the other, and in which number format."""
    if precision == "f32":
        return [(ready_form(checkpoint, header).content, precision)]
    first, second = ready_halves(checkpoint, header)
    return [(first, "f32"), (second, precision)]


def _options(precision: str) -> dict[str, Any]:
    options: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": "LATENCY",
        # a worker shares the machine with its decoders and a database
        "ENABLE_CPU_PINNING": False,
    }
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdecimal() and int(threads):
        options["INFERENCE_NUM_THREADS"] = int(threads)
    return options


@contextmanager
def _saying_why() -> Iterator[None]:
    try:
        yield
    except (ImportError, OSError) as error:
        raise RuntimeRefused(f"OpenVINO cannot be loaded: {error}") from error
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise RuntimeRefused(f"OpenVINO refuses the network: {lines[-1][:300]}") from error
