"""Who works for days outlives a restart of the database, and an end of its sessions."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine, text

from db.connect import DatabaseAddress
from db.open import open_database
from db.server.embedded import EmbeddedServer
from gallery.model_rows import ModelRow
from ingest import run as running
from ingest import watch as watching
from ingest.options import Options
from ingest.reconnect import wait_for_database
from ingest.worker import Observer, Progress, Worker
from tests.fakes import DECODERS, FakeNetwork, names, register, register_fake_model, write_pictures
from tests.rows import states
from tests.servers import temporary_home


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    def worker(
        engine: Engine, model: ModelRow, _: Options, observer: Observer | None = None
    ) -> Worker:
        return Worker(
            engine, FakeNetwork(), model.id, batch_size=4, decoders=DECODERS, observer=observer
        )

    monkeypatch.setattr(watching, "worker_for", worker)
    monkeypatch.setattr(running, "worker_for", worker)
    monkeypatch.setattr("ingest.reconnect._LONGEST_PAUSE_S", 0.5)
    with temporary_home() as made:
        yield made


def until(done: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def end_sessions(engine: Engine) -> None:
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


class Enough(Exception):
    """Ends what would go on for ever."""


def test_a_watch_goes_on_after_its_database_was_away(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_database(DatabaseAddress(home))
    register_fake_model(engine)
    folder = write_pictures(tmp_path / "drop", names(4))
    notes: list[str] = []
    steps = iter((lambda: None, away_and_back(home), arrive(folder), nothing, nothing, nothing))

    def between(_: float) -> None:
        step = next(steps, None)
        if step is None:
            raise KeyboardInterrupt
        step()

    monkeypatch.setattr("ingest.watch.sleep", between)
    summary = watching.watch(engine, folder, "g", Options(), 0.0, None, notes.append)
    assert states(engine) == {"done": 8}
    assert (summary.stored, summary.failed) == (8, 0)
    waited = [note for note in notes if "database" in note]
    assert waited[0].endswith("; waiting for the database")
    assert waited[1] == "the database is there again"
    engine.dispose()


def nothing() -> None:
    pass


def away_and_back(home: Path) -> Callable[[], None]:
    def restart() -> None:
        server = EmbeddedServer(home)
        server.stop()
        threading.Timer(2.0, server.ensure_running).start()

    return restart


def arrive(folder: Path) -> Callable[[], None]:
    def drop() -> None:
        write_pictures(folder, names(4, first=50), first_seed=50)

    return drop


def test_a_worker_goes_on_after_its_sessions_were_ended(home: Path, tmp_path: Path) -> None:
    engine = open_database(DatabaseAddress(home))
    model = register_fake_model(engine)
    folder = write_pictures(tmp_path / "drop", names(4))
    register(engine, folder, "g", model)
    notes: list[str] = []
    counted: list[int] = []

    def worker() -> None:
        with pytest.raises(Enough):
            running.run_worker(
                engine, Options(), until_empty=False, on_note=notes.append, on_batch=batch
            )

    def batch(progress: Progress, _: Callable[[], int]) -> None:
        counted.append(progress.stored)
        if progress.stored >= 8:
            raise Enough

    thread = threading.Thread(target=worker)
    thread.start()
    other = open_database(DatabaseAddress(home))
    until(lambda: states(other) == {"done": 4})
    end_sessions(other)
    other.dispose()
    until(lambda: "the database is there again" in notes)
    write_pictures(folder, names(4, first=50), first_seed=50)
    register(other, folder, "g", model)
    thread.join(120)
    assert not thread.is_alive()
    assert counted[-1] == 8  # of both workers together
    assert states(other) == {"done": 8}
    other.dispose()
    engine.dispose()


def test_what_is_no_loss_is_not_waited_for(home: Path) -> None:
    engine = open_database(DatabaseAddress(home))
    with pytest.raises(Exception, match="division by zero") as caught, engine.connect() as opened:
        opened.execute(text("SELECT 1 / 0"))
    error = caught.value
    with pytest.raises(type(error)):
        wait_for_database(engine, error, lambda _: pytest.fail("nobody waits"))  # type: ignore[arg-type]
    engine.dispose()
