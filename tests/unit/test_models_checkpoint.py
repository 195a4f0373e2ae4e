"""Checkpoints: what goes in comes out, and one sentence for each file that is something else."""

import json
import pickle
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from images.preprocessing import JOINT, SEED
from models.checkpoint import BadCheckpoint, Header, content_hash, read_header, to_metadata
from models.nets.joint_net import WITH_PARTS, JointNet
from models.nets.load import load, save
from vocabulary import NAMES

ROOT = Path(__file__).parents[2]
WAY_OUT = "expected a checkpoint that `reid train` wrote"
AGAIN = "copy it again from its source"
HEADER = Header(
    WITH_PARTS,
    JOINT,
    max_distance=0.75,
    calibration={"precision": 0.5, "num_pairs": 12},
    cutoffs={"hat": 0.25},
    trained_pids=(1, 2, 474),
    identity_space="cameras of the station",
    metrics={"mAP": 0.5},
    recipe={"epochs": 30, "augmentation": {"flip": 0.5}},
    notes="drawn by hand: é",
)


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(1)
    return JointNet().eval()


@pytest.fixture(scope="module")
def checkpoint(net: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "model.safetensors"
    save(path, net, HEADER)
    return path


def counted(net: nn.Module) -> dict[str, torch.Tensor]:
    return {n: t for n, t in net.state_dict().items() if not n.endswith("num_batches_tracked")}


def complaint(read: Callable[[Path], object], path: Path) -> str:
    with pytest.raises(BadCheckpoint) as caught:
        read(path)
    assert caught.value.exit_code == 1
    return str(caught.value)


def write(path: Path, header: dict[str, Any] | bytes, body: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    return path


def with_document(path: Path, **changes: Any) -> Path:
    """A checkpoint without tensors whose own header has these values; None takes one away."""
    document = {**HEADER.to_json(), **changes}
    kept = {name: value for name, value in document.items() if name not in changes or value}
    return write(path, {"__metadata__": {"reid": json.dumps(kept)}})


# What goes in comes out


def test_round_trip(net: nn.Module, checkpoint: Path) -> None:
    loaded, header = load(checkpoint)
    assert header == HEADER
    assert not loaded.training
    for name, tensor in counted(net).items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    images = torch.rand(2, 3, 128, 64)
    with torch.inference_mode():
        for found, wanted in zip(loaded(images), net(images), strict=True):
            assert torch.equal(found, wanted)


def test_round_trip_in_16_bit(net: nn.Module, checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    save(path, net, HEADER, half=True)
    assert path.stat().st_size < 0.51 * checkpoint.stat().st_size
    loaded, header = load(path)
    assert header == HEADER
    for name, tensor in counted(net).items():
        found = loaded.state_dict()[name]
        assert found.dtype == torch.float32
        assert torch.equal(found, tensor.half().float()), name


def test_equal_weights_have_an_equal_hash(net: nn.Module, checkpoint: Path, tmp_path: Path) -> None:
    again, half, noted = (tmp_path / name for name in ("again", "half", "noted"))
    loaded, header = load(checkpoint)
    save(again, loaded, header)
    assert content_hash(again) == content_hash(checkpoint)
    assert len(content_hash(again)) == 64
    save(half, net, HEADER, half=True)
    save(noted, net, replace(HEADER, notes="other"))
    assert len({content_hash(path) for path in (checkpoint, half, noted)}) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "half", "noted"]


def test_the_header_alone_needs_no_torch(checkpoint: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from models.checkpoint import read_header; "
        "print(read_header(Path(sys.argv[1])).max_distance); "
        "print([m for m in ('torch', 'torchvision', 'safetensors') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(checkpoint)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["0.75", "[]"]


@pytest.mark.parametrize("length", [0x80, 0x180, 0x4B50, 0x14B50])
def test_a_good_file_may_begin_like_a_pickle(tmp_path: Path, length: int) -> None:
    """The first bytes are the header's length: 0x80 and PK are as likely as any other."""
    notes = replace(HEADER, preprocessing=SEED, trained_pids=(), notes="")
    path = tmp_path / "model.safetensors"
    document = {"__metadata__": to_metadata(notes)}
    shortest = len(json.dumps(document).encode())
    while length < shortest:
        length += 0x10000
    text = json.dumps(document).encode() + b" " * (length - shortest)
    write(path, text)
    assert path.read_bytes()[:1] in (b"\x80", b"P")
    assert read_header(path) == notes


# Other files


@pytest.mark.parametrize("read", [read_header, load])
def test_a_file_that_is_not_there(tmp_path: Path, read: Callable[[Path], object]) -> None:
    path = tmp_path / "none.safetensors"
    assert complaint(read, path) == f"no checkpoint file {path}; see `reid model list`"


def test_a_folder(tmp_path: Path) -> None:
    assert complaint(read_header, tmp_path) == f"cannot read {tmp_path}: Is a directory"


@pytest.mark.parametrize("content", [b"", b"\x10", b"{}", b"hello, this is no checkpoint\n"])
def test_a_file_without_a_length(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    assert complaint(read_header, path) == f"{path} is not a safetensors file; {WAY_OUT}"


@pytest.mark.parametrize(
    "text",
    [
        b"not json",
        b"[]",
        b'"text"',
        b"\xff\xfe{}",
        b"[" * 100_000,
        b'{"__metadata__": null}',
        b'{"": 1}',
        b'{"weight": {}}',
        b'{"weight": {"data_offsets": []}}',
        b'{"weight": {"data_offsets": ["a", "b"]}}',
        b'{"weight": {"data_offsets": [0, Infinity]}}',
        b'{"_weight": {"data_offsets": "a"}}',
    ],
)
def test_a_length_and_then_no_safetensors_header(tmp_path: Path, text: bytes) -> None:
    path = write(tmp_path / "model.safetensors", text)
    assert complaint(read_header, path) == f"{path} is not a safetensors file; {WAY_OUT}"


def test_truncated_in_the_header(checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    for length in (8, 9, 1000):
        path.write_bytes(checkpoint.read_bytes()[:length])
        assert complaint(load, path) == f"{path} is truncated in its header; {AGAIN}"


def test_truncated_in_the_body(checkpoint: Path, tmp_path: Path) -> None:
    content = checkpoint.read_bytes()
    path = tmp_path / "model.safetensors"
    for length in (len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        wanted = f"{path} is truncated: {length} bytes of {len(content)}; {AGAIN}"
        assert complaint(read_header, path) == complaint(load, path) == wanted


def test_bytes_after_the_end(checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(checkpoint.read_bytes() + b"\0")
    assert complaint(load, path).startswith(f"{path} cannot be read: ")


@pytest.mark.parametrize("form", ["zip", "legacy", "plain", "short"])
def test_a_pickle_is_refused_unopened(tmp_path: Path, form: str) -> None:
    path = tmp_path / "model.safetensors"
    tensors = {"weight": torch.zeros(3)}
    if form == "zip":
        torch.save(tensors, path)
    elif form == "legacy":
        torch.save(tensors, path, _use_new_zipfile_serialization=False)
    else:
        path.write_bytes(pickle.dumps({"weight": [0.0] * 50} if form == "plain" else None, 2))
    for read in (read_header, load):
        assert complaint(read, path) == (
            f"{path} is a pickled PyTorch file, which can run code when opened; {WAY_OUT}"
        )


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_a_strangers_safetensors_file(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"weight": torch.zeros(3)}, path, metadata=metadata)
    assert complaint(load, path) == f"{path} has no Reid search header; {WAY_OUT}"


@pytest.mark.parametrize(
    ("stored", "why"),
    [
        ("{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("[]", "list indices must be integers or slices, not str"),
        ("null", "'NoneType' object is not subscriptable"),
        ("{}", "no 'format'"),
        ('{"format": 1}', "no 'preprocessing'"),
    ],
)
def test_a_damaged_header(tmp_path: Path, stored: str, why: str) -> None:
    path = write(tmp_path / "model.safetensors", {"__metadata__": {"reid": stored}})
    assert complaint(read_header, path) == f"{path} has a damaged Reid search header: {why}"


@pytest.mark.parametrize(
    "changes",
    [
        {"architecture": None},
        {"attribute_names": None},
        {"attribute_names": 56},
        {"preprocessing": {"height": 0, "width": 64, "mean": [0, 0, 0], "std": [1, 1, 1]}},
        {"preprocessing": {"height": 1e999, "width": 64, "mean": [0, 0, 0], "std": [1, 1, 1]}},
        {"preprocessing": {"height": 128, "width": 64, "mean": [0, 0], "std": [1, 1, 1]}},
        {"trained_pids": ["someone"]},
        {"dimension": 256},
        {"distance": "cosine"},
        {"max_distance": "auto"},
        {"max_distance": float("nan")},
        {"max_distance": -1.0},
        {"cutoffs": {"shoes": 0.5}},
        {"cutoffs": {"hat": 1.5}},
        {"cutoffs": {"hat": "high"}},
        {"cutoffs": [0.5]},
    ],
)
def test_a_header_with_a_value_that_cannot_be(tmp_path: Path, changes: dict[str, Any]) -> None:
    path = with_document(tmp_path / "model.safetensors", **changes)
    assert complaint(read_header, path).startswith(f"{path} has a damaged Reid search header: ")


def test_a_header_of_another_format(tmp_path: Path) -> None:
    path = with_document(tmp_path / "model.safetensors", format=2)
    assert complaint(read_header, path) == (
        f"{path} has header format 2, this program reads 1; "
        "use the version of Reid search that wrote it"
    )


@pytest.mark.parametrize("names", [NAMES[:-1], (*NAMES[1:], NAMES[0])])
def test_another_attribute_list(tmp_path: Path, net: nn.Module, names: tuple[str, ...]) -> None:
    path = tmp_path / "model.safetensors"
    save(path, net, replace(HEADER, attribute_names=names))
    wanted = (
        f"{path} was trained on another attribute list ({len(names)} names, "
        "expected the 56 from age-1 to downbrown-2)"
    )
    assert complaint(read_header, path) == complaint(load, path) == wanted


def test_an_unknown_architecture(tmp_path: Path, net: nn.Module) -> None:
    path = tmp_path / "model.safetensors"
    save(path, net, replace(HEADER, architecture="transformer"))
    assert complaint(load, path).startswith(
        "unknown architecture 'transformer'; known are joint-mobilenet_v2-parts-fused, "
    )


def test_the_weights_of_another_architecture(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save(path, nn.Linear(2, 2), HEADER)
    assert complaint(load, path) == (
        f"{path} does not hold the weights of joint-mobilenet_v2-parts: 273 tensors differ, "
        "the first is attributes.1.bias"
    )


def test_one_tensor_of_another_shape(tmp_path: Path, net: nn.Module) -> None:
    path = tmp_path / "model.safetensors"
    save_file({**counted(net), "neck.bias": torch.zeros(7)}, path, metadata=to_metadata(HEADER))
    assert complaint(load, path) == (
        f"{path} does not hold the weights of joint-mobilenet_v2-parts: 1 tensors differ, "
        "the first is neck.bias"
    )


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(tmp_path: Path, net: nn.Module, broken: float) -> None:
    path = tmp_path / "model.safetensors"
    state = {**counted(net), "neck.bias": torch.full((512,), broken)}
    save_file(state, path, metadata=to_metadata(HEADER))
    assert complaint(load, path) == (
        f"the weights for {path} are not all finite numbers, the first are neck.bias; "
        "go back to an earlier checkpoint"
    )


def test_weights_too_large_for_16_bit_are_not_written(tmp_path: Path) -> None:
    net = nn.Linear(2, 2)
    nn.init.constant_(net.weight, 70_000)
    path = tmp_path / "model.safetensors"
    assert "not all finite" in complaint(lambda path: save(path, net, HEADER, half=True), path)
    assert list(tmp_path.iterdir()) == []
    save(path, net, HEADER)
