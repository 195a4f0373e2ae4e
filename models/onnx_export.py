"""A checkpoint as one ONNX file by torch: for the networks that have no ready form of their own."""

# N images, H and W pixels

import importlib.util
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from errors import ReidError
from files import whole_file
from images.preprocessing import Preprocessing
from models.nets.load import load_for_inference
from models.tensors import normalise

OPSET = 18
REQUIRED = ("onnx", "onnxscript")
_NAMES = ("scores", "embedding", "quality")


class OnnxMissing(ReidError):
    """The packages that write ONNX are not installed."""

    http_status = 501


class _FromPixels(nn.Module):
    def __init__(self, net: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.net, self.preprocessing = net, preprocessing

    def forward(self, pixels_NHWC: Tensor) -> tuple[Tensor, ...]:
        found: tuple[Tensor, ...] = self.net(normalise(pixels_NHWC, self.preprocessing))
        return found


def export_with_torch(checkpoint: Path, path: Path, metadata: Mapping[str, str]) -> tuple[str, ...]:
    """Writes `path` and gives the names of its outputs.

    The input `pixels` is uint8 (N, H, W, 3), RGB, of the header's height and width, any N. Outputs:
    `scores` (N, 56), `embedding` (N, 512) and, where the network has learned it, `quality` (N,).
    Raises BadCheckpoint, OnnxMissing.
    """
    for package in REQUIRED:
        if importlib.util.find_spec(package) is None:
            raise OnnxMissing(
                f"the package {package} is not installed; `pip install onnx onnxscript`, or this "
                "program with its extra `onnx`"
            )
    net, header = load_for_inference(checkpoint)
    whole = _FromPixels(net, header.preprocessing).eval()
    size = (header.preprocessing.height, header.preprocessing.width, 3)
    pixels_NHWC = torch.zeros((2, *size), dtype=torch.uint8)
    with torch.inference_mode():
        names = _NAMES[: len(whole(pixels_NHWC))]
    with whole_file(path) as partial:
        _write(whole, pixels_NHWC, names, partial, metadata)
    return names


def _write(
    whole: nn.Module,
    pixels_NHWC: Tensor,
    names: tuple[str, ...],
    path: Path,
    metadata: Mapping[str, str],
) -> None:
    import onnx

    options: dict[str, Any] = {
        "input_names": ["pixels"],
        "output_names": list(names),
        "dynamic_shapes": ({0: torch.export.Dim("batch", min=1)},),
        "opset_version": OPSET,
        "dynamo": True,
        "external_data": False,
        "verbose": False,
    }
    with warnings.catch_warnings():
        # the exporter warns of its own parts; what it writes is checked below
        warnings.simplefilter("ignore")
        program = torch.onnx.export(whole, (pixels_NHWC,), **options)
    assert program is not None
    model = program.model_proto
    onnx.helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model)
    onnx.save_model(model, path)
