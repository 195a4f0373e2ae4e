"""Through a pooler that lends sessions by the transaction nothing stays locked or is lost."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from db.connect import DatabaseAddress, make_engine
from db.pooler import NeedsSession, lends_sessions
from db.server.embedded import EmbeddedServer
from db.upgrade import upgrade
from gallery import erase, vector_index
from gallery.models import chosen
from tests.core_ways import NOWHERE, core
from tests.fakes import (
    FakeNetwork,
    ingest,
    names,
    register,
    register_fake_model,
    write_pictures,
)
from tests.poolers import pgbouncer
from tests.rows import states
from tests.servers import tcp_server

ROOT = Path(__file__).resolve().parents[2]
NEEDED = (
    "{} needs a session of its own, and REID_DATABASE_URL leads through a pooler that lends "
    "sessions by the transaction; set REID_DIRECT_URL to the server's own address"
)


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with tcp_server() as made:
        yield made


@pytest.fixture
def direct(server: EmbeddedServer) -> Iterator[str]:
    """The URL of an empty database of this test's own, without a pooler."""
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS lent WITH (FORCE)")
        connection.execute("CREATE DATABASE lent")
    url = server.tcp_url().rpartition("/")[0] + "/lent"
    engine = make_engine(DatabaseAddress(NOWHERE, url))
    upgrade(engine)
    engine.dispose()
    yield url
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("DROP DATABASE lent WITH (FORCE)")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("people"), names(12))


def locks(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
        ).fetchone()
    assert row is not None
    count: int = row[0]
    return count


def test_who_lends_sessions(direct: str) -> None:
    for mode, lends in (("transaction", True), ("session", False)):
        with pgbouncer(direct, mode) as url:
            engine = make_engine(DatabaseAddress(NOWHERE, url))
            assert lends_sessions(engine) is lends
            engine.dispose()
    engine = make_engine(DatabaseAddress(NOWHERE, direct))
    assert not lends_sessions(engine)
    engine.dispose()


def test_the_core_ways_through_a_pooler(
    direct: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REID_DIRECT_URL", direct)
    with pgbouncer(direct) as url:
        done = core(url, folder)
    assert done["again"] == (1, 0, 1)
    assert done["buried"] == [32]
    assert len(done["found"][0]) > 0
    assert locks(direct) == 0


def test_what_needs_a_session_asks_for_one(
    direct: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REID_DIRECT_URL", raising=False)
    with pgbouncer(direct) as url:
        engine = make_engine(DatabaseAddress(NOWHERE, url))
        ingest(engine, folder, "g", register_fake_model(engine))
        model = chosen(engine, None)
        with pytest.raises(NeedsSession) as caught:
            vector_index.build(engine, model)
        assert str(caught.value) == NEEDED.format("an approximate index")
        with pytest.raises(NeedsSession) as caught:
            erase.erase(engine, erase.ErasureRequest((1,)))
        assert str(caught.value) == NEEDED.format("erasing")
        assert states(engine) == {"done": 12}
        monkeypatch.setenv("REID_DIRECT_URL", direct)
        vector_index.build(engine, model)
        with engine.connect() as connection:
            assert vector_index.index_of(connection, model.id) is not None
        engine.dispose()
    assert locks(direct) == 0


KILLED = """
import sys, time
from pathlib import Path
from db.connect import DatabaseAddress, make_engine
from gallery import manifest
manifest.RENEWED_LEASE_S = 2
engine = make_engine(DatabaseAddress(Path(), sys.argv[1]))
connection = engine.connect()
worker = manifest.become_worker(connection)
with connection.begin():
    print(len(manifest.claim(connection, worker, int(sys.argv[2]), 5)), flush=True)
time.sleep(600)
"""


def test_a_killed_worker_without_a_lock_is_followed(
    direct: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its leases end, and nothing of it stays locked for ever."""
    monkeypatch.setattr("gallery.manifest.RENEWED_LEASE_S", 2)
    with pgbouncer(direct) as url:
        engine = make_engine(DatabaseAddress(NOWHERE, url))
        model = register_fake_model(engine)
        register(engine, folder, "g", model)
        killed = subprocess.Popen(
            [sys.executable, "-c", KILLED, url, str(model.id)],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert killed.stdout is not None
        assert killed.stdout.readline() == "5\n"
        os.kill(killed.pid, signal.SIGKILL)
        killed.communicate()
        started = time.monotonic()
        ingest(engine, folder, "g", model)
        assert time.monotonic() - started < 60
        assert states(engine) == {"done": 12}
        engine.dispose()
    assert locks(direct) == 0


def test_a_slow_worker_renews_its_leases(
    direct: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gallery.manifest.RENEWED_LEASE_S", 1)
    with pgbouncer(direct) as url:
        engine = make_engine(DatabaseAddress(NOWHERE, url))
        slow = FakeNetwork(on_call=lambda _: time.sleep(2.5))
        ingest(engine, folder, "g", register_fake_model(engine), slow, batch_size=12)
        with engine.connect() as connection:
            attempts = connection.exec_driver_sql("SELECT max(attempts) FROM task").scalar_one()
        assert attempts == 1
        assert slow.images == 12
        engine.dispose()
