"""`reid model export`: the same numbers by onnxruntime as by torch."""

# N images, H and W pixels

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from safetensors.numpy import save_file

import models.onnx_export
from inference.export import export_onnx
from models.checkpoint import read_header, to_metadata
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


def test_what_is_missing_is_said(reid: Reid, tmp_path: Path) -> None:
    nowhere = tmp_path / "no" / "m.onnx"
    result = reid("model", "export", "default", nowhere)
    assert result.code == 2
    assert f"the folder of {nowhere} is not there" in result.err
    result = reid("model", "export", "nobody", tmp_path / "m.onnx")
    assert result.code == 2
    assert not list(tmp_path.glob("*.onnx*"))


def test_the_reports_networks_are_written_by_torch_and_need_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = replace(read_header(shipped_checkpoint()), architecture="seed-alexnet")
    path = tmp_path / "seed.safetensors"
    save_file({}, path, to_metadata(header))
    monkeypatch.setattr(models.onnx_export, "REQUIRED", ("onnx", "no_such_package"))
    with pytest.raises(models.onnx_export.OnnxMissing) as caught:
        export_onnx(path, tmp_path / "m.onnx")
    assert str(caught.value) == (
        "the package no_such_package is not installed; `pip install onnx onnxscript`, or this "
        "program with its extra `onnx`"
    )


def test_a_strangers_program_finds_what_it_needs_in_the_metadata(tmp_path: Path) -> None:
    path = tmp_path / "default.onnx"
    export_onnx(shipped_checkpoint(), path)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = {k: json.loads(v) for k, v in session.get_modelmeta().custom_metadata_map.items()}
    header = read_header(shipped_checkpoint())
    assert found["attribute_names"] == list(header.attribute_names)
    assert found["preprocessing"] == {
        "colours": "RGB",
        "height": header.preprocessing.height,
        "width": header.preprocessing.width,
        "resize": "stretched, bilinear",
        "normalised": "inside, from bytes",
        "mirror_image": "inside",
    }
    assert set(found["outputs"]) == {output.name for output in session.get_outputs()}
    assert found["max_distance"] == header.max_distance
    assert found["metrics"] == header.metrics
