"""The file of a picture that was sent is there as long as its row, and no longer."""

import io
import os
import shutil
import time
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from gallery import erase, retention, scrub, status
from gallery.erase import ErasureRequest
from gallery.sent_images import BadImageName, FilesLeft, Upload, check_name
from images.decode import content_hash
from ingest import uploads
from ingest.uploads import ingest_image
from tests.fakes import FakeNetwork, picture, register_fake_model
from tests.rows import column


def sent(seed: int = 1, name: str = "0007_c1_1.png") -> Upload:
    out = io.BytesIO()
    picture(seed).save(out, "PNG")
    return Upload(name, out.getvalue())


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: Engine) -> Path:
    register_fake_model(engine)
    monkeypatch.setenv("REID_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def take(engine: Engine, upload: Upload | None = None) -> None:
    ingest_image(engine, upload or sent(), "g", load=lambda *_: FakeNetwork())


def kept(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "uploads").rglob("*.png"))


# --- no file without a row


def test_a_model_that_does_not_load_leaves_no_file(engine: Engine, home: Path) -> None:
    def broken(*_: object) -> FakeNetwork:
        raise RuntimeError("no such checkpoint")

    with pytest.raises(RuntimeError, match="no such checkpoint"):
        ingest_image(engine, sent(), "g", load=broken)
    assert kept(home) == []
    take(engine)
    assert kept(home) == ["0007_c1_1.png"]


@pytest.mark.parametrize("error", [OSError("lost"), KeyboardInterrupt(), MemoryError()])
def test_what_ends_before_the_row_leaves_no_file(
    engine: Engine, home: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def ended(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(uploads, "ingest_one", ended)
    with pytest.raises(type(error)):
        take(engine)
    assert kept(home) == []


def test_what_ends_behind_the_row_keeps_both(
    engine: Engine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row is pending work, by which an erasure finds the file."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ingest.one_image._stored", killed, raising=False)
    network = FakeNetwork(on_call=killed)
    with pytest.raises(KeyboardInterrupt):
        ingest_image(engine, sent(), "g", load=lambda *_: network)
    assert kept(home) == ["0007_c1_1.png"]
    assert column(engine, "SELECT count(*) FROM image") == [1]


def orphan(home: Path, age_s: float) -> Path:
    upload = sent(9)
    made = home / "uploads" / "1" / content_hash(upload.data).hex()[:32] / upload.name
    made.parent.mkdir(parents=True)
    made.write_bytes(upload.data)
    os.utime(made, (time.time() - age_s,) * 2)
    return made


def test_what_a_killed_process_has_left_is_swept(engine: Engine, home: Path) -> None:
    take(engine)
    old = orphan(home, 3600)
    retention.remove_old(engine)  # as each worker does when its round is over
    assert not old.exists()
    assert kept(home) == ["0007_c1_1.png"]
    new, mine = orphan(home, 1), home / "uploads" / "notes.png"
    mine.write_bytes(b"mine")
    erase.erase(engine, ErasureRequest(), quick=True)
    assert new.exists()
    assert mine.exists()


# --- what an erasure says, and does


def test_a_removed_file_is_not_said_to_be_there(engine: Engine, home: Path) -> None:
    take(engine)
    _, remains = erase.plan(engine, ErasureRequest(collections=("g",)))
    assert remains.folders == {}
    erase.erase(engine, ErasureRequest(collections=("g",)), quick=True)
    assert kept(home) == []


def moved(monkeypatch: pytest.MonkeyPatch, home: Path) -> Path:
    """Another process, with another home, on the same database."""
    other = home.with_name("other home")
    monkeypatch.setenv("REID_HOME", str(other))
    return other


def test_a_file_in_another_home_goes_too(
    engine: Engine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(engine)
    moved(monkeypatch, home)
    _, remains = erase.plan(engine, ErasureRequest(collections=("g",)))
    assert remains.folders == {}
    erase.erase(engine, ErasureRequest(collections=("g",)), quick=True)
    assert kept(home) == []


def test_a_file_in_a_home_out_of_reach_is_said(
    engine: Engine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(engine)
    folder = str(home / "uploads" / "1")
    moved(monkeypatch, home)
    shutil.move(home, home.with_name("on another machine"))
    _, remains = erase.plan(engine, ErasureRequest(collections=("g",)))
    assert remains.folders == {folder: 1}
    with engine.begin() as connection:
        connection.execute(text("UPDATE image SET ingested_at = now() - interval '9 days'"))
    retention.set_terms(engine, 3, None, None)
    assert retention.run(engine).left == {folder: 1}
    said = column(engine, "SELECT question FROM audit WHERE action = 'retention files left'")
    assert said == [{"folders": {folder: 1}}]


def test_a_file_that_only_looks_so_is_not_ours(
    engine: Engine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In another home a file must have the content that its folder names."""
    take(engine)
    moved(monkeypatch, home)
    (mine,) = (home / "uploads").rglob("*.png")
    mine.write_bytes(b"somebody else's")
    _, remains = erase.plan(engine, ErasureRequest(collections=("g",)))
    assert remains.folders == {str(home / "uploads" / "1"): 1}
    erase.erase(engine, ErasureRequest(collections=("g",)), quick=True)
    assert mine.exists()


def test_pictures_that_cannot_be_removed_are_said(
    engine: Engine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(engine)

    def denied(path: str, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("os.unlink", denied)
    with pytest.raises(FilesLeft) as refused:
        status.remove_collection(engine, "g")
    assert str(refused.value).startswith(
        "the collection is removed, but pictures that were sent into it stay in "
        f"{home / 'uploads' / '1'} ("
    )
    assert "Permission denied" in str(refused.value)
    assert kept(home) == ["0007_c1_1.png"]


def test_statistics_that_could_not_be_written_anew_are_not_done(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(engine)
    monkeypatch.setattr(scrub, "PATIENCE_S", 0.2)
    with engine.connect() as reader:
        reader.execute(text("LOCK TABLE pg_statistic IN ACCESS SHARE MODE"))
        with pytest.raises(scrub.BytesLeft, match="statistics could not be written anew"):
            erase.erase(engine, ErasureRequest(collections=("g",)))
    with engine.connect() as connection:
        assert scrub.is_pending(connection)
    erase.erase(engine, ErasureRequest())
    with engine.connect() as connection:
        assert not scrub.is_pending(connection)


@pytest.mark.parametrize("name", ["a\0b.png", "a/b.png", "\ud800.png"])
def test_a_name_that_no_file_has(name: str) -> None:
    with pytest.raises(BadImageName):
        check_name(name)
