"""The engines behind one interface: the same numbers by OpenVINO as by torch, and who is chosen."""

# N images, H and W pixels

import json
import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import inference.engines
import inference.openvino_engine
from files import CannotWrite
from images.preprocessing import Pixels, joint_preprocessing
from inference import reference
from inference.admission import admit, verify
from inference.engines import (
    NotCompared,
    OtherNumbers,
    TorchMissing,
    UnknownEngine,
    chosen_engine,
    load_network,
    load_with_torch,
)
from inference.openvino_engine import OpenVinoNetwork, RuntimeRefused
from inference.ready import NoReadyForm, ready_form
from models.checkpoint import BadCheckpoint, content_hash, read_header, to_metadata
from models.nets.load import build, save
from models.outputs import Outputs

WEIGHTS = Path(inference.engines.__file__).parents[1] / "models" / "weights"
DEFAULT = WEIGHTS / "default.safetensors"
SHIPPED = sorted(WEIGHTS.glob("*.safetensors"))


def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a light installation."""
    for module in ("engines", "admission"):
        monkeypatch.setattr(f"inference.{module}.torch_is_here", lambda: False)


def in_32_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a processor without 16-bit numbers."""
    monkeypatch.setattr("inference.openvino_engine.quickest_format", lambda _core: "f32")


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The shipped default somewhere else, without its reference."""
    path = tmp_path / "mine.safetensors"
    path.write_bytes(DEFAULT.read_bytes())
    return path


def noise(header_of: Path, count: int) -> Pixels:
    size = read_header(header_of).preprocessing
    rng = np.random.default_rng(5)
    return rng.integers(0, 256, (count, size.height, size.width, 3), dtype=np.uint8)


def near(found: Outputs, wanted: Outputs) -> None:
    assert (found.quality_N is None) == (wanted.quality_N is None)
    for mine, theirs in zip(found, wanted, strict=True):
        if mine is not None and theirs is not None:
            np.testing.assert_allclose(mine, theirs, rtol=0, atol=2e-5)


@pytest.mark.parametrize("checkpoint", SHIPPED, ids=lambda path: path.stem)
def test_in_32_bits_the_ready_form_gives_what_torch_gives(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_32_bits(monkeypatch)
    pixels_NHWC = noise(checkpoint, 17)  # more than are run at once
    wanted = load_with_torch(checkpoint, "cpu")(pixels_NHWC)
    network = load_network(checkpoint, "cpu")
    assert network.name == "openvino f32"
    near(network(pixels_NHWC), wanted)


@pytest.mark.parametrize("size", [(128, 64), (100, 50)])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(
    "architecture",
    ["joint-mobilenet_v2", "joint-mobilenet_v2-parts", "joint-mobilenet_v2-parts-fused"],
)
def test_each_architecture_and_odd_heights_too(
    architecture: str,
    flip: bool,
    size: tuple[int, int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    in_32_bits(monkeypatch)
    header = replace(
        read_header(DEFAULT),
        architecture=architecture,
        preprocessing=joint_preprocessing(*size),
        flip_average=flip,
    )
    path = tmp_path / "new.safetensors"
    save(path, build(architecture), header)
    pixels_NHWC = noise(path, 2)
    found = load_network(path, "cpu")(pixels_NHWC)
    wanted = load_with_torch(path, "cpu")(pixels_NHWC)
    near(found, wanted)


@pytest.mark.parametrize("checkpoint", SHIPPED, ids=lambda path: path.stem)
def test_each_shipped_checkpoint_brings_what_torch_says_of_it(checkpoint: Path) -> None:
    kept = reference.read(reference.path_beside(checkpoint), content_hash(checkpoint))
    assert kept is not None, f"run `reid model verify {checkpoint}`"
    network = load_with_torch(checkpoint, "cpu")
    found = network(reference.patterns(network.preprocessing))
    assert reference.difference(kept, found).within(reference.Difference(1e-4, 1e-4, 1e-4))


def test_the_default_is_ready_without_torch() -> None:
    code = (
        "import sys; from pathlib import Path; from inference.engines import load_network; "
        f"network = load_network(Path({str(DEFAULT)!r})); "
        "from inference.reference import patterns; "
        "print(network(patterns(network.preprocessing)).scores_NA.shape); "
        "print([name for name in ('torch', 'openvino_telemetry') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=WEIGHTS.parents[1],
    )
    assert done.stdout == "(3, 56)\n[]\n"


def test_a_reference_is_made_once_and_kept_beside_the_checkpoint(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_network(copied, "cpu")
    kept = reference.path_beside(copied)
    assert kept.name == "mine.reference.json"
    without_torch(monkeypatch)
    load_network(copied, "cpu")
    kept.write_text("{}")
    with pytest.raises(NotCompared) as caught:
        load_network(copied, "cpu")
    assert str(caught.value) == (
        "mine.safetensors was never compared with torch, which is not installed here; run "
        "`reid model verify` on it where torch is, and bring mine.reference.json along"
    )


@pytest.mark.parametrize(
    "damage",
    [
        lambda value: value | {"patterns": 0},
        lambda value: value | {"checkpoint": "0" * 64},
        lambda value: value | {"scores_NA": "none"},
        lambda value: value | {"embeddings_ND": 1.0},
        lambda _: [],
        lambda _: None,
    ],
)
def test_a_damaged_or_foreign_reference_is_made_again(damage: object, copied: Path) -> None:
    load_network(copied, "cpu")
    kept = reference.path_beside(copied)
    whole = kept.read_bytes()
    assert callable(damage)
    kept.write_text(json.dumps(damage(json.loads(whole))))
    load_network(copied, "cpu")
    assert kept.read_bytes() == whole


def test_a_folder_that_may_not_be_written_is_said_and_stops_nobody(
    copied: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(path: Path, _: object) -> None:
        raise CannotWrite(f"cannot write {path}: Permission denied; choose another place")

    monkeypatch.setattr(reference, "write", refuse)
    assert load_network(copied, "cpu").name.startswith("openvino")
    assert caplog.messages == [
        f"cannot write {reference.path_beside(copied)}: Permission denied; choose another place; "
        "until then torch is loaded each time, to compare with"
    ]


def test_other_numbers_than_torchs_are_refused_and_torch_takes_over(
    copied: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    load_network(copied, "cpu")
    path = reference.path_beside(copied)
    value = json.loads(path.read_bytes())
    value["embeddings_ND"][0][0] += 0.5
    path.write_text(json.dumps(value))
    with caplog.at_level(logging.WARNING):
        assert load_network(copied, "cpu").name == "torch f32 on cpu"
    (message,) = caplog.messages
    assert "gives other numbers than torch for mine.safetensors: embeddings lie 0.5" in message
    assert message.endswith("; torch runs it instead")
    with pytest.raises(OtherNumbers):
        load_network(copied, "cpu", "openvino")
    without_torch(monkeypatch)
    with pytest.raises(OtherNumbers):
        load_network(copied, "cpu")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ImportError("libopenvino.so: cannot open"), "OpenVINO cannot be loaded: libopenvino.so"),
        (RuntimeError("Exception from x.cpp\nno AVX2 here\n"), "refuses the network: no AVX2 here"),
    ],
)
def test_a_runtime_that_refuses_gives_way_to_torch(
    error: Exception,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(_core: object) -> str:
        raise error

    monkeypatch.setattr("inference.openvino_engine.quickest_format", refuse)
    assert load_network(DEFAULT, "cpu").name == "torch f32 on cpu"
    assert sentence in caplog.text
    with pytest.raises(RuntimeRefused, match=sentence):
        load_network(DEFAULT, "cpu", "openvino")


def test_a_network_that_turns_out_not_a_number_is_refused() -> None:
    expected = reference.made_by(
        load_with_torch(DEFAULT, "cpu"), DEFAULT, read_header(DEFAULT).preprocessing
    )
    broken = expected.outputs._replace(embeddings_ND=expected.outputs.embeddings_ND * np.nan)
    assert reference.difference(expected, Outputs(*broken)).distance == np.inf
    assert reference.difference(expected, broken._replace(quality_N=None)).score == np.inf


def test_who_runs_what(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REID_ENGINE", raising=False)
    monkeypatch.setattr(inference.engines, "_DRIVER", Path("/no/driver"))
    default = read_header(DEFAULT).architecture
    assert chosen_engine(default, None) == "openvino"
    assert chosen_engine(default, "cpu") == "openvino"
    assert chosen_engine(default, "cuda") == "torch"
    assert chosen_engine("seed-resnet50", "cpu") == "torch"
    assert chosen_engine(default, "cpu", "torch") == "torch"
    monkeypatch.setenv("REID_ENGINE", "torch")
    assert chosen_engine(default, "cpu") == "torch"
    monkeypatch.setenv("REID_ENGINE", "openvino")
    with pytest.raises(UnknownEngine) as caught:
        chosen_engine(default, "cuda")
    assert str(caught.value) == (
        "openvino is not for the device cuda; leave out --inference, or choose torch"
    )
    with pytest.raises(UnknownEngine, match="openvino is not for seed-resnet50"):
        chosen_engine("seed-resnet50", "cpu")
    monkeypatch.setenv("REID_ENGINE", "tvm")
    with pytest.raises(UnknownEngine) as caught:
        chosen_engine(default, "cpu")
    assert str(caught.value) == ("no engine 'tvm' for REID_ENGINE; known are auto, torch, openvino")


def test_what_needs_torch_says_so_and_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REID_ENGINE", raising=False)
    without_torch(monkeypatch)
    default = read_header(DEFAULT).architecture
    way_out = "`make install`, or this program with its extra `torch`, brings it"
    for arguments, what in (
        ((default, "cuda"), f"{default} on cuda"),
        (("seed-resnet50", None), "seed-resnet50 on auto"),
        ((default, "cpu", "torch"), "--inference torch"),
    ):
        with pytest.raises(TorchMissing) as caught:
            chosen_engine(*arguments)
        assert str(caught.value) == f"{what} needs torch, which is not installed; {way_out}"


def test_a_checkpoint_with_tensors_that_nobody_knows_is_left_to_torch(copied: Path) -> None:
    tensors, header = load_file(copied), read_header(copied)
    save_file({**tensors, "trunk.extra": tensors["neck.bias"]}, copied, to_metadata(header))
    with pytest.raises(NoReadyForm, match=r"this version knows no use for its trunk\.extra"):
        ready_form(copied, header)
    with pytest.raises(NoReadyForm):
        load_network(copied, "cpu", "openvino")
    del tensors["neck.bias"]
    save_file(tensors, copied, to_metadata(header))
    with pytest.raises(BadCheckpoint, match="does not hold the weights of joint-mobilenet_v2"):
        ready_form(copied, header)


def test_weights_that_are_no_numbers_are_refused(copied: Path) -> None:
    tensors = {name: tensor.copy() for name, tensor in load_file(copied).items()}
    tensors["neck.bias"][0] = np.nan
    save_file(tensors, copied, to_metadata(read_header(copied)))
    with pytest.raises(
        BadCheckpoint, match=r"are not all finite numbers, the first are neck\.bias"
    ):
        ready_form(copied, read_header(copied))


def test_verify_writes_what_torch_says(copied: Path) -> None:
    result = verify(copied)
    assert result.agrees and result.engine.startswith("openvino")
    assert result.file == reference.path_beside(copied)
    kept = reference.read(result.file, content_hash(copied))
    assert kept is not None
    assert admit(copied) is not None


def test_without_torch_a_checkpoint_is_admitted_by_its_reference(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify(copied)
    without_torch(monkeypatch)
    assert admit(copied) is not None
    reference.path_beside(copied).unlink()
    with pytest.raises(NotCompared):
        admit(copied)


def test_in_16_bits_the_answers_stay_near() -> None:
    header = read_header(DEFAULT)
    network = OpenVinoNetwork(DEFAULT, header)
    if network.precision == "f32":
        pytest.skip("this processor has no 16-bit numbers")
    wanted = load_with_torch(DEFAULT, "cpu")(reference.patterns(header.preprocessing))
    found = network(reference.patterns(header.preprocessing))
    expected = reference.Reference("", wanted)
    moved = reference.difference(expected, found)
    assert 0 < moved.distance < 0.05


def test_an_empty_batch_gives_no_rows() -> None:
    pixels_NHWC = noise(DEFAULT, 0)
    found = load_network(DEFAULT, "cpu")(pixels_NHWC)
    assert [part is None or part.shape[0] for part in found] == [0, 0, 0]
