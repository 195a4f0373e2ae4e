"""A checkpoint as one ONNX file that takes raw pixels: nothing has to be normalised outside."""

from pathlib import Path

from files import write_whole
from inference.engines import need_torch
from inference.ready import has_ready_form, metadata, ready_form
from models.checkpoint import read_header


def export_onnx(checkpoint: Path, path: Path) -> tuple[str, ...]:
    """Writes `path` and gives the names of its outputs.

    What it holds is said at `inference.ready.ready_form`: the very model that OpenVINO runs here.
    The report's networks are written by torch. Raises BadCheckpoint, OnnxMissing,
    TorchMissing, CannotWrite.
    """
    header = read_header(checkpoint)
    if not has_ready_form(header.architecture):
        need_torch(f"writing {header.architecture} as ONNX")
        from models.onnx_export import export_with_torch

        return export_with_torch(checkpoint, path, metadata(header))
    ready = ready_form(checkpoint, header)
    write_whole(path, ready.content)
    return ready.outputs
