"""Several workers, killed ones, interrupted ones, and ones without a connection."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

import gallery.store
from db.connect import DatabaseAddress, make_engine
from db.error_sentences import sentence_for
from db.faults import POINTS
from gallery import collections, manifest
from gallery.model_rows import ModelRow
from gallery.store import ReadImage
from ingest.worker import Worker
from tests.fakes import (
    DECODERS,
    FakeNetwork,
    everything_stored,
    ingest,
    names,
    register,
    register_fake_model,
    work,
    write_pictures,
)
from tests.rows import column, failures, states, wait_until_noticed

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def model(engine: Engine) -> ModelRow:
    return register_fake_model(engine)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "people", names(20))


def test_two_workers_share_the_work(engine: Engine, tmp_path: Path, model: ModelRow) -> None:
    folder = write_pictures(tmp_path / "people", names(60))
    row, _ = register(engine, folder, "g", model)
    networks = [FakeNetwork(on_call=lambda _: time.sleep(0.01)) for _ in range(2)]
    done: list[int] = []

    def run(network: FakeNetwork) -> None:
        done.append(work(engine, network, model, row, batch_size=4).stored)

    threads = [Thread(target=run, args=[network]) for network in networks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(done) == 60
    assert min(done) > 0
    assert sum(network.images for network in networks) == 60
    assert states(engine) == {"done": 60}
    assert column(engine, "SELECT max(attempts) FROM task") == [1]


@pytest.mark.parametrize("overwrite", [False, True])
def test_ingesting_a_folder_several_times_at_once(
    engine: Engine, tmp_path: Path, model: ModelRow, overwrite: bool
) -> None:
    """Registering while others store: the locks are taken in one order, nobody deadlocks."""
    folder = write_pictures(tmp_path / "people", names(60))
    networks = [FakeNetwork() for _ in range(3)]
    errors: list[BaseException] = []

    def run(network: FakeNetwork) -> None:
        try:
            for _ in range(4):
                ingest(engine, folder, "g", model, network, batch_size=2, overwrite=overwrite)
        except BaseException as error:
            errors.append(error)

    threads = [Thread(target=run, args=[network]) for network in networks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert overwrite or sum(network.images for network in networks) == 60
    assert states(engine) == {"done": 60}


def test_registering_what_is_just_being_stored(
    engine: Engine, folder: Path, model: ModelRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch holds its tasks and wants its images; registering takes them the other way round."""
    holding, real = Event(), gallery.store._update_images

    def slowly(connection: Connection, model_id: int, images: Sequence[ReadImage]) -> None:
        holding.set()
        time.sleep(0.3)  # the other one gets as far as it can
        real(connection, model_id, images)

    monkeypatch.setattr("gallery.store._update_images", slowly)
    row, _ = register(engine, folder, "g", model)
    progress: list[int] = []

    def store_all() -> None:
        progress.append(work(engine, FakeNetwork(), model, row, batch_size=20).stored)

    storing = Thread(target=store_all)
    storing.start()
    assert holding.wait(10)
    register(engine, folder, "g", model, overwrite=True)
    storing.join()
    assert progress == [20]
    work(engine, FakeNetwork(), model, row)
    assert states(engine) == {"done": 20}


WORKER = """
import sys
from pathlib import Path
from db.connect import DatabaseAddress, make_engine
from gallery import model_rows as registry
from tests.fakes import ingest

url, folder = sys.argv[1:]
engine = make_engine(DatabaseAddress(Path(), url))
with engine.connect() as connection:
    model = registry.active_model(connection)
print(ingest(engine, Path(folder), "g", model, batch_size=4)[1].stored)
"""


def worker_process(url: str, folder: Path, fault: str | None = None) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, url, str(folder)],
        cwd=ROOT,
        env=os.environ | ({"REID_FAULT": fault} if fault else {}),
        stdout=subprocess.PIPE,
        text=True,
    )


def test_two_processes_share_the_work(engine: Engine, database_url: str, tmp_path: Path) -> None:
    register_fake_model(engine)
    folder = write_pictures(tmp_path / "people", names(40))
    running = [worker_process(database_url, folder) for _ in range(2)]
    stored = [int(process.communicate(timeout=60)[0]) for process in running]
    assert sum(stored) == 40
    assert states(engine) == {"done": 40}
    assert column(engine, "SELECT max(attempts) FROM task") == [1]


@pytest.mark.parametrize("point", POINTS)
def test_killed_anywhere_the_next_run_completes(
    engine: Engine, database_url: str, folder: Path, model: ModelRow, point: str
) -> None:
    shutil.copy(folder / names(1)[0], folder / "copy.png")
    ingest(engine, folder, "clean", model)
    clean = [row[1:] for row in everything_stored(engine)]
    with engine.begin() as connection:
        row = collections.collection_named(connection, "clean")
        collections.remove(connection, row.id)
    killed = worker_process(database_url, folder, f"{point}:2:kill")
    killed.communicate(timeout=120)
    assert killed.returncode == -signal.SIGKILL
    wait_until_noticed(engine)
    left = states(engine)
    assert left.get("leased", 0) > 0
    # a batch is stored whole or not at all, and the second's end is the first thing that counts
    assert left.get("done", 0) in {"after_commit": (8,)}.get(point, (0, 4))
    ingest(engine, folder, "g", model)
    assert [row[1:] for row in everything_stored(engine)] == clean
    assert states(engine) == {"done": 21}


def test_a_batch_that_kills_its_worker_is_given_up(
    engine: Engine, database_url: str, folder: Path, model: ModelRow
) -> None:
    """By whom it is run again makes no difference: five times `reid ingest`, and it is failed."""
    for _ in range(manifest.MAX_ATTEMPTS):
        row, _ = register(engine, folder, "g", model)
        with abandoned(database_url, model, row.id, 3):
            pass
        wait_until_noticed(engine)
    assert column(engine, "SELECT max(attempts) FROM task") == [5]
    _, progress = ingest(engine, folder, "g", model)
    assert (progress.stored, progress.failed) == (17, 3)
    reason = "the worker ended 5 times while it worked on a batch with this file"
    assert failures(engine) == dict.fromkeys(sorted(names(20))[:3], reason)
    _, progress = ingest(engine, folder, "g", model)  # asked for again, it is tried again
    assert (progress.stored, progress.failed) == (3, 0)


@contextmanager
def abandoned(url: str, model: ModelRow, collection_id: int, count: int) -> Iterator[None]:
    """A worker that claims `count` images, and whose connection is gone afterwards."""
    engine = make_engine(DatabaseAddress(Path(), url))
    with engine.connect() as connection:
        worker_id = manifest.become_worker(connection)
        claims = manifest.claim(connection, worker_id, model.id, count, collection_id)
        connection.commit()
        assert len(claims) == count
        yield
    engine.dispose()


def test_a_living_workers_leases_are_left_to_it(
    engine: Engine, database_url: str, folder: Path, model: ModelRow
) -> None:
    row, _ = register(engine, folder, "g", model)
    with abandoned(database_url, model, row.id, 5):
        with Worker(engine, FakeNetwork(), model.id, batch_size=4, decoders=DECODERS) as worker:
            assert worker.work(row.id).stored == 15
            assert worker.wait_for_others(row.id, pause_s=0)
        assert register(engine, folder, "g", model)[1].pending == 0
        assert states(engine) == {"done": 15, "leased": 5}
    wait_until_noticed(engine)
    assert work(engine, FakeNetwork(), model, row).stored == 5


def test_a_lease_that_ran_out_is_taken_over(engine: Engine, folder: Path, model: ModelRow) -> None:
    """What the slow worker stores afterwards counts for nothing: the lease is the guard."""
    row, _ = register(engine, folder, "g", model)

    def overtake(call: int) -> None:
        if call > 1:
            return
        with engine.begin() as connection:
            connection.execute(text("UPDATE task SET leased_until = now() WHERE state = 'leased'"))
        taken.append(work(engine, FakeNetwork(1), model, row, batch_size=20).stored)

    taken: list[int] = []
    network = FakeNetwork(on_call=overtake)
    with Worker(engine, network, model.id, batch_size=20, decoders=DECODERS) as worker:
        progress = worker.work(row.id)
    assert (taken, progress.stored) == ([20], 0)
    by_the_second = everything_stored(engine)
    ingest(engine, folder, "again", model, FakeNetwork(1), overwrite=True)
    again = [row[1:] for row in everything_stored(engine) if row[0] == "again"]
    assert [row[1:] for row in by_the_second] == again


# --- an orderly end, and a broken connection


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_worker_gives_back_its_leases(
    engine: Engine, folder: Path, model: ModelRow, error: type[BaseException]
) -> None:
    def interrupt(call: int) -> None:
        if call == 2:
            raise error

    row, _ = register(engine, folder, "g", model)
    with pytest.raises(error):
        work(engine, FakeNetwork(on_call=interrupt), model, row, batch_size=4)
    assert states(engine) == {"done": 4, "pending": 16}
    assert column(engine, "SELECT DISTINCT attempts FROM task WHERE state = 'pending'") == [0]
    assert column(engine, "SELECT count(*) FROM task WHERE owner IS NOT NULL") == [0]
    network = FakeNetwork()
    assert work(engine, network, model, row).stored == 16
    assert network.images == 16


@pytest.mark.parametrize("which", ["oldest", "newest", "all"])
def test_a_connection_lost_in_mid_run(
    engine: Engine, folder: Path, model: ModelRow, which: str
) -> None:
    order = {"oldest": "ORDER BY pid LIMIT 1", "newest": "ORDER BY pid DESC LIMIT 1", "all": ""}

    def cut(call: int) -> None:
        if call == 2:
            with engine.connect() as connection:
                connection.execute(
                    text(
                        "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity"
                        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                        f" {order[which]}) AS p"
                    )
                )

    row, _ = register(engine, folder, "g", model)
    with pytest.raises((DBAPIError, Exception)) as caught:
        work(engine, FakeNetwork(on_call=cut), model, row, batch_size=2)
    sentence = sentence_for(caught.value)
    assert sentence is not None, caught.value
    assert sentence.startswith("the connection to the database was lost (")
    wait_until_noticed(engine)
    ingest(engine, folder, "g", model)
    assert states(engine) == {"done": 20}
    assert len({row[1] for row in everything_stored(engine)}) == 20
