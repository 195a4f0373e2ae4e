"""Another source is asked once, while nobody waits; an archive is open no longer than its work."""

import os
import threading
from pathlib import Path

import pytest
from sqlalchemy import Engine

from gallery.model_rows import ModelRow
from gallery.store import Batch, ReadImage
from images.listing import FoundFile, Listing
from images.sources.base import GoneSource
from images.sources.open import let_go, opened
from images.sources.remote_url import Unreachable
from ingest.pipeline import Recent
from ingest.register import other_sources, register_files
from tests.fakes import ingest, names, register, register_fake_model, write_pictures
from tests.packed import in_memory, pack
from tests.rows import column


@pytest.fixture
def model(engine: Engine) -> ModelRow:
    return register_fake_model(engine)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "people", names(6))


class Asked:
    """A source that counts how often it is asked, and who waits meanwhile."""

    name = "memory://asked"

    def __init__(self, engine: Engine, found: Listing | Exception) -> None:
        self._engine, self._found = engine, found
        self.listed, self.locks = 0, list[int]()

    def listing(self, named: object = ()) -> Listing:  # noqa: ARG002 - as every source
        self.listed += 1
        held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 385500"
        self.locks += column(self._engine, held)
        if isinstance(self._found, Exception):
            raise self._found
        return self._found


def asked(
    engine: Engine, folder: Path, model: ModelRow, monkeypatch: pytest.MonkeyPatch, found: object
) -> tuple[Asked, dict[str, str]]:
    """The folder's files into a collection that has all their names from another source."""
    row, _ = register(engine, folder, "g", model)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE image SET source = 'memory://asked'")
    source = Asked(engine, found)  # type: ignore[arg-type]
    really = opened
    monkeypatch.setattr(
        "ingest.register.opened", lambda name: source if name == source.name else really(name)
    )
    listing = opened(str(folder)).listing()
    elsewhere = other_sources(engine, "g", model.id, str(folder), listing)
    assert (source.listed, source.locks) == (1, [0])
    with engine.begin() as connection:
        result = register_files(
            connection, row, model.id, str(folder), listing, elsewhere=elsewhere
        )
    return source, result.refused


def test_what_is_there_is_not_taken_over(
    engine: Engine, folder: Path, model: ModelRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = Listing([FoundFile(name, None, 1, 1) for name in names(4)])
    source, refused = asked(engine, folder, model, monkeypatch, there)
    assert source.listed == 1
    assert sorted(refused) == sorted(names(4))


@pytest.mark.parametrize(
    ("found", "count"), [(Unreachable("away"), 6), (GoneSource("gone"), 0), (Listing(), 0)]
)
def test_what_nobody_can_tell_is_not_given_up(
    engine: Engine, folder: Path, model: ModelRow, monkeypatch: pytest.MonkeyPatch,
    found: object, count: int,
) -> None:  # fmt: skip
    source, refused = asked(engine, folder, model, monkeypatch, found)
    assert (source.listed, len(refused)) == (1, count)


def copies() -> int:
    """Temporary copies of archives that this process has open."""
    links = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            links.append(str(entry.readlink()))
        except OSError:
            continue
    return sum(("(deleted)" in link and "/reid-" in link) or "/#" in link for link in links)


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="needs /proc")  # noqa: PTH110
def test_a_copy_of_an_archive_goes_with_its_work(
    engine: Engine, folder: Path, tmp_path: Path, model: ModelRow
) -> None:
    url = in_memory(pack(tmp_path / "night.zip", folder), "night.zip")
    let_go()
    before = copies()
    register(engine, url, "g", model)
    assert copies() == before + 1
    ingest(engine, url, "g", model)
    assert copies() == before
    assert column(engine, "SELECT count(*) FROM feature") == [6]


def test_one_thread_remembers_while_another_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.pipeline._REMEMBERED", 3)
    recent, failed, stop = Recent(), list[Exception](), threading.Event()
    images = [ReadImage(n, 1, None, bytes([n]) * 32, 1, 1, b"") for n in range(8)]

    def run(step: object) -> None:
        try:
            while not stop.is_set():
                step()  # type: ignore[operator]
        except Exception as error:
            failed.append(error)

    def remember() -> None:
        for image in images:
            recent.remember(image)

    batch = Batch(copied=tuple((image, 99) for image in images))
    threads = [
        threading.Thread(target=run, args=(step,))
        for step in (remember, lambda: recent.forget_unshared(batch, set()))
    ]
    for thread in threads:
        thread.start()
    stop.wait(0.5)
    stop.set()
    for thread in threads:
        thread.join()
    assert failed == []
