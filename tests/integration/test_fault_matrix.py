"""What breaks, times where: whatever happens to a worker or its server, at each named point,
another run gives the rows of a clean run.

The worker stands still at the point while the fault happens. Embeddings are equal to the bit here:
the fake network does not depend on the batch.
"""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from db.connect import DatabaseAddress, make_engine
from db.faults import POINTS
from db.server.embedded import EmbeddedServer
from db.server.state import running
from db.upgrade import upgrade
from gallery import collections
from gallery.model_rows import ModelRow, active_model
from tests.fakes import everything_stored, ingest, names, register_fake_model, write_pictures
from tests.rows import states, wait_until_noticed
from tests.servers import temporary_home

ROOT = Path(__file__).resolve().parents[2]
UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
WORKER = """
import sys
from pathlib import Path
from db.connect import DatabaseAddress, make_engine
from gallery.model_rows import active_model
from tests.fakes import ingest

url, folder = sys.argv[1:]
engine = make_engine(DatabaseAddress(Path(), url))
with engine.connect() as connection:
    model = active_model(connection)
ingest(engine, Path(folder), "g", model, batch_size=4)
"""


@dataclass(frozen=True)
class Site:
    """A server of the test's own, a folder of pictures, and the rows of a clean run."""

    server: EmbeddedServer
    folder: Path
    clean: list[tuple[Any, ...]]

    @contextmanager
    def engine(self) -> Iterator[Engine]:
        engine = make_engine(DatabaseAddress(Path(), self.server.url()))
        yield engine
        engine.dispose()


@dataclass(frozen=True)
class Held:
    """A worker that stands at a point until `release`."""

    site: Site
    process: "subprocess.Popen[str]"
    file: Path

    def release(self) -> None:
        self.file.unlink(missing_ok=True)

    def end(self) -> str:
        """Lets it go on to its end, whichever that is; gives what it said of an error."""
        self.release()
        return self.process.communicate(timeout=120)[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = write_pictures(tmp_path_factory.mktemp("matrix") / "people", names(12))
    (folder / "broken.png").write_bytes(b"no picture")
    with temporary_home() as home:
        server = EmbeddedServer(home)
        server.ensure_running()
        made = Site(server, folder, [])
        with made.engine() as engine:
            upgrade(engine)
            ingest(engine, folder, "g", register_fake_model(engine))
            made.clean.extend(everything_stored(engine))
        yield made


def _model(engine: Engine) -> ModelRow:
    with engine.connect() as connection:
        model = active_model(connection)
    assert model is not None
    return model


@contextmanager
def held_at(site: Site, point: str, tmp_path: Path) -> Iterator[Held]:
    """A worker on an empty collection, at its second batch."""
    with site.engine() as engine, engine.begin() as connection:
        for row in collections.all_collections(connection):
            collections.remove(connection, row.id)
    file = tmp_path / f"{point}.held"
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, site.server.url(), str(site.folder)],
        cwd=ROOT,
        env=os.environ | {"REID_FAULT": f"{point}:2:hold:{file}"},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 60
        while not file.exists():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield Held(site, process, file)
    finally:
        file.unlink(missing_ok=True)
        process.kill()
        process.communicate()


# --- what happens to a worker that stands at a point


def worker_killed(held: Held) -> None:
    held.process.send_signal(signal.SIGKILL)
    held.end()
    assert held.process.returncode == -signal.SIGKILL


def server_killed(held: Held) -> None:
    server = running(held.site.server.data)
    assert server is not None
    os.kill(server.pid, signal.SIGKILL)
    held.site.server.ensure_running()
    assert "OperationalError" in held.end()


def server_restarted(held: Held) -> None:
    assert held.site.server.stop()
    held.site.server.ensure_running()
    assert "OperationalError" in held.end()


def connections_lost(held: Held) -> None:
    assert _backends(held.site, "SELECT pg_terminate_backend(pid)") != []
    assert "OperationalError" in held.end()


def disk_full(held: Held) -> None:
    """No file of the server can be written to: neither a table's nor the log's of a commit."""
    for pid in _backends(held.site, "SELECT pid"):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    assert "Error" in held.end()
    for pid in _backends(held.site, "SELECT pid"):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, UNLIMITED)
    held.site.server.ensure_running()  # a commit that cannot be logged ends the server


def disk_slow(held: Held) -> None:
    """Another worker comes meanwhile, does what is free, and waits for the rest."""
    other = subprocess.Popen(
        [sys.executable, "-c", WORKER, held.site.server.url(), str(held.site.folder)], cwd=ROOT
    )
    time.sleep(1.5)
    assert other.poll() is None or states_of(held.site) == {"done": 12, "failed": 1}
    assert held.end() == ""
    assert other.wait(60) == 0
    assert states_of(held.site) == {"done": 12, "failed": 1}, "no further run was needed"


FAULTS: dict[str, Callable[[Held], None]] = {
    fault.__name__.replace("_", " "): fault
    for fault in (
        worker_killed, server_killed, server_restarted, connections_lost, disk_full, disk_slow,
    )
}  # fmt: skip


def _backends(site: Site, what: str) -> list[Any]:
    """Of every other client of the database."""
    clients = "backend_type = 'client backend' AND pid <> pg_backend_pid()"
    stmt = text(f"{what} FROM pg_stat_activity WHERE {clients}")
    for _ in range(100):
        try:
            with site.engine() as engine, engine.connect() as connection:
                return list(connection.scalars(stmt))
        except Exception:  # the server is in recovery
            time.sleep(0.1)
    raise AssertionError("the server does not come back")


def states_of(site: Site) -> dict[str, int]:
    with site.engine() as engine:
        return states(engine)


def survived(site: Site, fault: str, point: str, tmp_path: Path) -> None:
    with held_at(site, point, tmp_path) as held:
        FAULTS[fault](held)
    with site.engine() as engine:
        wait_until_noticed(engine)
        ingest(engine, site.folder, "g", _model(engine))
        assert everything_stored(engine) == site.clean, f"{fault} {point}"


@pytest.mark.parametrize(("fault", "point"), list(zip(FAULTS, POINTS, strict=True)))
def test_each_fault_once_and_each_point_once(
    site: Site, tmp_path: Path, fault: str, point: str
) -> None:
    survived(site, fault, point, tmp_path)


@pytest.mark.long
def test_every_fault_at_every_point(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = []
    for fault in FAULTS:
        for point in POINTS:
            survived(site, fault, point, tmp_path)
        said.append(f"{fault}: survived at {', '.join(POINTS)}")
    with capsys.disabled():
        sys.stdout.write("\n".join(["", *said, f"{len(FAULTS) * len(POINTS)} faults survived\n"]))
