"""Bad input gets one clear sentence and a way out, and loses nothing else."""

import io
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from inference.reference import path_beside
from models.checkpoint import content_hash, read_header, to_metadata
from models.shipped import shipped_checkpoint
from tests.acceptance.conftest import Reid


def person(color: tuple[int, int, int] = (200, 30, 30), size: tuple[int, int] = (64, 128)) -> bytes:
    """A picture that passes as a crop; each colour gives other content."""
    out = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(out, "PNG")
    image = Image.new("RGB", size, color)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=95)
    return out.getvalue()


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    folder = tmp_path / "crops"
    folder.mkdir()
    for i in range(3):
        (folder / f"{i:06}.jpg").write_bytes(person((60 * i, 80, 120)))
    return folder


def one_sentence(error: str) -> None:
    """No traceback, and the program's own prefix."""
    assert "Traceback" not in error
    assert error.strip()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("ingest", "nowhere", "--collection", "c"), 2, "nowhere is not there"),
        (("ingest", "empty", "--collection", "c"), 2, "empty holds no image file"),
        (("ingest", "crops/000000.jpg", "--collection", "c"), 2, "is a file; expected a folder"),
        (("search", "crops/000000.jpg", "--collection", "absent"), 2, "no collection 'absent'"),
        (("search", "crops/000000.jpg", "--collection", "crop"), 2, "did you mean 'crops'?"),
        (("search", "--collection", "crops"), 2, "nothing to look for"),
        (("search", "none.jpg", "--collection", "crops"), 3, "cannot be read: No such file"),
        (
            ("search", "--collection", "crops", "--where", "gender = femal"),
            2,
            "did you mean 'female'?",
        ),
        (
            ("search", "--collection", "crops", "--where", "gender = "),
            2,
            "column 9: expected a value",
        ),
        (("search", "--collection", "crops", "--where", "hatt"), 2, "did you mean 'hat'?"),
        (("search", "crops/000000.jpg", "--collection", "crops", "--limit", "0"), 2, "1 or more"),
        (
            ("search", "crops/000000.jpg", "--collection", "crops", "--max-distance", "near"),
            2,
            "expected auto or a number",
        ),
        (("query", "run", "absent"), 2, "no query set 'absent'"),
        (("export", "reid-test", "--query-set", "absent"), 2, "no query set 'absent'"),
        (("export", "classification", "--collection", "absent"), 2, "no collection 'absent'"),
        (("model", "activate", "defautl"), 2, "did you mean 'default'?"),
        (("model", "add", "crops/000000.jpg"), 1, "is not a safetensors file"),
        (("ingets", "crops"), 2, "did you mean 'ingest'?"),
        (("ingest", "crops", "--collection", "crops", "--identities", "other"), 2, "identities"),
        (("ingest", "crops", "--collection", "new", "--device", "gpu9"), 2, "no device 'gpu9'"),
        (("evaluate", "reid", "--query", "crops", "--gallery", "crops"), 1, "names a person"),
    ],
)
def test_wrong_questions(
    reid: Reid,
    crops: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    code: int,
    says: str,
) -> None:
    (tmp_path / "empty").mkdir()
    assert reid("ingest", crops, "--collection", "crops").code == 0
    result = reid(*arguments)
    one_sentence(result.err)
    assert says in result.err
    assert result.code == code
    # and nothing is lost: the collection still answers
    kept = reid("search", "--collection", "crops", "--where", "pid != 5", "--format", "json")
    assert len(kept.json("search")["queries"][0]["matches"]) == 3


def bad_files(folder: Path) -> Iterator[tuple[str, str]]:
    """Writes files that cannot be used; gives (name, part of the reason)."""
    whole = person()
    big = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(big, "PNG")
    tiny = io.BytesIO()
    Image.new("RGB", (1, 1)).save(tiny, "PNG")
    contents = {
        "text.jpg": (b"this is no picture", "no image that can be read"),
        "empty.jpg": (b"", "an empty file"),
        "truncated.jpg": (whole[: len(whole) // 2], "a damaged image"),
        "huge.png": (big.getvalue(), "400000000 pixels"),
        "tiny.png": (tiny.getvalue(), "too small for a person crop"),
        "frame.jpg": (person(size=(1920, 1080)), "no upright person crop"),
    }
    for name, (data, reason) in contents.items():
        (folder / name).write_bytes(data)
        yield name, reason.replace("400000000 pixels", "20000x20000 pixels")


def test_files_that_cannot_be_used_stop_nothing_else(reid: Reid, crops: Path) -> None:
    expected = dict(bad_files(crops))
    (crops / "out.jpg").symlink_to("/etc/hostname")
    expected["out.jpg"] = "a symbolic link that leads out of the folder"
    result = reid("ingest", crops, "--collection", "c", "--format", "json")
    one_sentence(result.err)
    assert result.code == 3
    counts = result.json("ingest")
    assert (counts["stored"], counts["failed"]) == (3, len(expected))
    failed = {
        f["path"]: f["reason"]
        for f in reid("status", "--failed", "--format", "json").json("failed")
    }
    for name, reason in expected.items():
        assert f"{name}: " in result.err
        if name != "out.jpg":  # it never became work
            assert reason in failed[name]


def test_failed_files_can_be_mended_and_retried(reid: Reid, crops: Path) -> None:
    (crops / "bad.jpg").write_bytes(b"not yet")
    assert reid("ingest", crops, "--collection", "c").code == 3
    (crops / "bad.jpg").write_bytes(person((1, 200, 3)))
    assert reid("retry", "--reason", "something else").out == "0 pending again\n"
    assert reid("retry", "--reason", "NO IMAGE").out == "1 pending again\n"
    assert reid("worker", "--until-empty", "--format", "json").json()["stored"] == 1


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "CMYK", "I;16", "1"])
def test_every_colour_form_is_taken_in(reid: Reid, tmp_path: Path, mode: str) -> None:
    folder = tmp_path / "modes"
    folder.mkdir()
    gradient = Image.linear_gradient("L").resize((64, 128))
    if mode == "I;16":
        import numpy as np

        image = Image.fromarray((np.asarray(gradient).astype(np.uint16)) * 257)
    else:
        image = gradient.convert("RGB").convert(mode)
    image.save(folder / f"person.{'tif' if mode == 'CMYK' else 'png'}")
    result = reid("ingest", folder, "--collection", "c", "--format", "json")
    assert result.code == 0, result.err
    assert result.json()["stored"] == 1


def test_hostile_names_stay_parseable(reid: Reid, tmp_path: Path) -> None:
    from urllib.parse import unquote_to_bytes

    folder = tmp_path / "names"
    (folder / "a").mkdir(parents=True)
    (folder / "b").mkdir()
    names = [b"a/same.jpg", b"b/same.jpg", b"new\nline.jpg", b"com,ma: %41.jpg", b"caf\xe9.jpg"]
    for i, name in enumerate(names):
        (Path(os.fsdecode(os.fsencode(folder) + b"/" + name))).write_bytes(person((i * 40, 9, 99)))
    assert reid("ingest", folder, "--collection", "c").code == 0
    assert reid("query", "add", "s", folder, "--collection", "c", "--limit", "5").code == 0
    reid("query", "run", "s")
    out = tmp_path / "out.txt"
    reid("export", "reid-test", "--query-set", "s", "--out", out, "--min-quality", 0)
    lines = out.read_text().splitlines()
    assert len(lines) == len(names)
    for line in lines:
        query, matches = line.split(": ")
        assert unquote_to_bytes(query) in names
        assert sorted(unquote_to_bytes(m) for m in matches.split(", ")) == sorted(names)


def test_a_server_that_is_down(reid: Reid, crops: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"postgresql://reid@127.0.0.1:{port}/reid"
    result = reid("--database-url", url, "ingest", crops, "--collection", "c")
    one_sentence(result.err)
    assert result.code == 1
    assert f"no database server answers at 127.0.0.1:{port}" in result.err


def test_an_empty_server_is_set_up_explicitly(
    reid: Reid, crops: Path, empty_database_url: str
) -> None:
    refused = reid("--database-url", empty_database_url, "ingest", crops, "--collection", "c")
    assert refused.code == 1
    assert "reid db upgrade" in refused.err
    assert reid("--database-url", empty_database_url, "db", "upgrade").code == 0
    assert reid("--database-url", empty_database_url, "status").code == 0


def test_a_url_that_is_none(reid: Reid) -> None:
    assert reid("--database-url", "mysql://x/y", "status").code == 2
    assert "expected postgresql://" in reid("--database-url", "mysql://x/y", "status").err


def test_doctor_tells_of_a_better_default(reid: Reid) -> None:
    """A database that an earlier default has filled goes on with that one."""
    shipped = shipped_checkpoint()
    first = shipped.with_name("first.safetensors")
    assert reid("model", "add", first, "--name", "old").code == 0
    assert reid("model", "activate", "old").code == 0
    found = reid("doctor")
    assert found.code == 0
    assert f"a better default has come since: `reid model add {shipped} --name NAME`" in found.out
    assert reid("model", "activate", "default").code == 0
    assert "a better default" not in reid("doctor").out


def test_doctor_says_what_to_do(reid: Reid) -> None:
    assert reid("doctor").code == 0
    broken = reid("--database-url", "postgresql://reid@127.0.0.1:1/reid", "doctor")
    assert broken.code == 1
    assert "no database server answers" in broken.out


def test_ctrl_c_gives_the_work_back(
    reid: Reid, crops: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from inference.openvino_engine import OpenVinoNetwork

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("inference.engines.check", lambda *_: None)
        patched.setattr(OpenVinoNetwork, "__call__", interrupted)
        stopped = reid("ingest", crops, "--collection", "c")
    assert stopped.code == 130
    assert "run the same command again" in stopped.err
    assert reid("status", "--format", "json").json()[0]["pending"] == 3
    assert reid("ingest", crops, "--collection", "c", "--format", "json").json()["stored"] == 3


def test_a_damaged_copy_of_a_checkpoint_is_mended(reid: Reid, tmp_path: Path) -> None:
    shipped = shipped_checkpoint()
    assert reid("model", "add", shipped).out.startswith("default: ")
    (kept,) = (tmp_path / "home" / "models").glob("*.safetensors")
    assert path_beside(kept).is_file()
    assert kept.parent.stat().st_mode & 0o777 == 0o700
    kept.write_bytes(b"damaged")
    assert reid("model", "add", shipped).code == 0
    assert content_hash(kept) == kept.stem
    again = reid("model", "add", shipped, "--name", "other")
    assert again.code == 2
    assert "the checkpoint is registered as 'default'" in again.err


def test_a_checkpoint_that_cannot_be_loaded_is_not_registered(reid: Reid, tmp_path: Path) -> None:
    header = to_metadata(replace(read_header(shipped_checkpoint()), architecture="other"))
    text = json.dumps({"__metadata__": header}).encode()
    (tmp_path / "other.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)
    refused = reid("model", "add", "other.safetensors")
    assert refused.code == 1
    assert "unknown architecture 'other'" in refused.err
    assert [m["name"] for m in reid("model", "list", "--format", "json").json()] == ["default"]


def test_saying_no_removes_nothing(
    reid: Reid, crops: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reid("ingest", crops, "--collection", "c").code == 0
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    refused = reid("collection", "remove", "c")
    assert refused.code == 1
    assert refused.err.endswith("nothing was removed\n")
    assert reid("collection", "list", "--format", "json").json()[0]["images"] == 3


def test_csv_without_rows_has_its_header(reid: Reid) -> None:
    assert reid("collection", "list", "--format", "csv").out == "name,identities,images\n"
    empty = reid("audit", "list", "--format", "csv").out
    assert reid("model", "add", shipped_checkpoint()).code == 0
    newest = reid("audit", "list", "--format", "json").json()[0]
    assert empty == ",".join(newest) + "\n"
    assert reid("audit", "list", "--limit", "1000001").code == 2
