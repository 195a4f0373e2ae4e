"""A checkpoint with another header keeps its numbers."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from safetensors import safe_open
from safetensors.numpy import save

from images.preprocessing import Preprocessing
from models.checkpoint import BadCheckpoint, Header, content_hash, read_header, to_metadata
from models.rewrite import with_header


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    header = Header(architecture="fake", preprocessing=Preprocessing(8, 4))
    tensors: dict[str, npt.NDArray[Any]] = {
        "a": np.arange(6, dtype=np.float16).reshape(2, 3),
        "b": np.ones(1, np.float32),
    }
    path = tmp_path / "model.safetensors"
    path.write_bytes(save(tensors, {"other": "kept", **to_metadata(header)}))
    return path


def test_another_header_and_the_same_numbers(checkpoint: Path, tmp_path: Path) -> None:
    header = read_header(checkpoint)
    wanted = replace(
        header, max_distance=0.9, cutoffs={"hat": 0.25}, calibration={"collection": "Köln"}
    )
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(with_header(checkpoint, wanted))
    assert read_header(copy) == wanted
    assert content_hash(copy) != content_hash(checkpoint)
    with safe_open(checkpoint, "np") as before, safe_open(copy, "np") as after:
        assert after.metadata()["other"] == "kept"
        assert sorted(after.keys()) == sorted(before.keys()) == ["a", "b"]
        for name in after.keys():  # noqa: SIM118 - a safetensors file is no mapping
            assert np.array_equal(after.get_tensor(name), before.get_tensor(name))
    length = int.from_bytes(copy.read_bytes()[:8], "little")
    assert length % 8 == 0


def test_the_same_header_gives_a_file_that_says_the_same(checkpoint: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(with_header(checkpoint, read_header(checkpoint)))
    assert read_header(copy) == read_header(checkpoint)


def test_what_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"PK something else")
    with pytest.raises(BadCheckpoint):
        with_header(path, Header(architecture="fake", preprocessing=Preprocessing(8, 4)))
