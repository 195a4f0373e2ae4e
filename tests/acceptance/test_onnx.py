"""`reid model export`: the same numbers by onnxruntime as by torch."""

# N images, H and W pixels

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import models.onnx_export
from models.extractor import Extractor
from models.shipped import shipped_checkpoint
from tests.acceptance.conftest import Reid


def test_onnx_gives_what_torch_gives_for_batches_of_1_and_32(reid: Reid, tmp_path: Path) -> None:
    path = tmp_path / "default.onnx"
    result = reid("model", "export", "default", path)
    assert (result.code, result.err) == (0, "")
    extractor = Extractor(shipped_checkpoint(), "cpu")
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    assert f"{path}: {', '.join(names)} of pixels" in result.out
    size = extractor.header.preprocessing.height, extractor.header.preprocessing.width
    rng = np.random.default_rng(11)
    for count in (1, 32):
        pixels_NHWC = rng.integers(0, 256, (count, *size, 3), dtype=np.uint8)
        wanted = [part for part in extractor(pixels_NHWC) if part is not None]
        found = session.run(None, {"pixels": pixels_NHWC})
        for mine, theirs in zip(found, wanted, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-4)
    header = json.loads(session.get_modelmeta().custom_metadata_map["reid"])
    assert header["preprocessing"]["height"] == size[0]
    assert header["attribute_names"] == list(extractor.header.attribute_names)


def test_what_is_missing_is_said(
    reid: Reid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = tmp_path / "no" / "m.onnx"
    result = reid("model", "export", "default", nowhere)
    assert result.code == 2
    assert f"the folder of {nowhere} is not there" in result.err
    result = reid("model", "export", "nobody", tmp_path / "m.onnx")
    assert result.code == 2
    monkeypatch.setattr(models.onnx_export, "REQUIRED", ("onnx", "no_such_package"))
    result = reid("model", "export", "default", tmp_path / "m.onnx")
    assert result.code == 1
    assert (
        "the package no_such_package is not installed; `pip install onnx onnxscript`" in result.err
    )
    assert not list(tmp_path.glob("*.onnx*"))
