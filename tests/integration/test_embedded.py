"""The embedded server: private, shared, and back after whatever was done to it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread

import psycopg
import pytest

from db.server.embedded import EmbeddedServer
from db.server.process import EmbeddedServerFailed
from db.server.state import orphans, running
from tests.servers import free_port, temporary_home

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def embedded() -> Iterator[EmbeddedServer]:
    """A server whose home has a space in its name, used by every test that does not break it."""
    with temporary_home("my home") as home:
        yield EmbeddedServer(home)


def pid_of(server: EmbeddedServer) -> int:
    found = running(server.data)
    assert found
    return found.pid


def test_the_data_is_private(embedded: EmbeddedServer) -> None:
    embedded.ensure_running()
    for path, mode in (
        (embedded.data, 0o700),
        (embedded.socket_folder, 0o700),
        (embedded.log, 0o600),
        (embedded.password_file, 0o600),
    ):
        assert path.stat().st_mode & 0o777 == mode, path
    assert embedded.socket_folder == embedded.home / "socket"
    assert embedded.home.parent.stat().st_mode & 0o777 == 0o700  # mkdtemp's, still closed


def test_the_url_is_one_for_psql_too(
    embedded: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("PGHOST", "/nowhere")
    embedded.ensure_running()
    with psycopg.connect(embedded.url()) as connection:
        row = connection.execute("SELECT current_user, current_database()").fetchone()
    assert row == ("reid", "reid")


def test_a_server_without_tcp_gets_none_by_asking(embedded: EmbeddedServer) -> None:
    embedded.ensure_running()
    port = free_port()
    with pytest.raises(EmbeddedServerFailed) as caught:
        EmbeddedServer(embedded.home, listen=("127.0.0.1", port)).ensure_running()
    assert str(caught.value) == (
        f"the embedded Postgres runs already, without TCP on port {port}; "
        "stop it first with `reid db stop`"
    )


def compute(url: str) -> None:
    with suppress(psycopg.Error), psycopg.connect(url) as connection:
        connection.execute("SELECT sum(sqrt(n)) FROM generate_series(1, 5000000) n")


def test_a_killed_server_comes_back(embedded: EmbeddedServer) -> None:
    """Also while a session of the killed one still works: two servers would destroy the data."""
    embedded.ensure_running()
    with psycopg.connect(embedded.url(), autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (n int)")
        connection.execute("INSERT INTO kept VALUES (7)")
    busy = Thread(target=compute, args=[embedded.url()])
    busy.start()
    time.sleep(0.3)
    killed = pid_of(embedded)
    os.kill(killed, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while running(embedded.data) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert orphans(embedded.data)
    embedded.ensure_running()
    busy.join()
    assert pid_of(embedded) != killed
    with psycopg.connect(embedded.url(), autocommit=True) as connection:
        assert connection.execute("SELECT n FROM kept").fetchone() == (7,)
        connection.execute("DROP TABLE kept")


def test_stop_and_a_stale_file(embedded: EmbeddedServer) -> None:
    embedded.ensure_running()
    pid_file = embedded.data / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    assert embedded.stop()
    assert not embedded.stop()
    assert not orphans(embedded.data)
    # after a crash of the machine, the number belongs to somebody else: to this very process
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    assert running(embedded.data) is None
    embedded.ensure_running()
    assert pid_of(embedded) != os.getpid()


START = """
import sys
from pathlib import Path
from db.server.embedded import EmbeddedServer
from db.server.state import running
server = EmbeddedServer(Path(sys.argv[1]))
server.ensure_running()
import psycopg
psycopg.connect(server.url()).close()
print(running(server.data).pid)
"""


def test_processes_that_start_it_at_once_share_it() -> None:
    """In a home whose path is much too long for a socket."""
    with temporary_home("/".join(["a rather long name of a folder, with a comma"] * 4)) as home:
        starting = [
            subprocess.Popen(
                [sys.executable, "-c", START, str(home)],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(2)
        ]
        pids = [process.communicate(timeout=120)[0].strip() for process in starting]
        server = EmbeddedServer(home)
        assert pids == [str(pid_of(server))] * 2
        assert server.socket_folder.parent != home
        assert server.socket_folder.stat().st_mode & 0o777 == 0o700


def test_a_home_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    home = tmp_path / "file" / "home"
    with pytest.raises(EmbeddedServerFailed) as caught:
        EmbeddedServer(home).ensure_running()
    assert str(caught.value) == (
        f"cannot keep the embedded database in {home}: Not a directory; "
        "set REID_HOME to a folder of your own"
    )


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    data = tmp_path / "postgres"
    data.mkdir(mode=0o700)
    (data / "PG_VERSION").write_text("12\n")
    (data / "postgresql.conf").touch()
    with pytest.raises(EmbeddedServerFailed, match=r"did not start: .*FATAL.*; see .*\.log"):
        EmbeddedServer(tmp_path).ensure_running()


@pytest.mark.parametrize("content", ["", "abc", "1\n2\n", "\n" * 9, "-1\n/x\n1\n5432\n", "\0"])
def test_a_damaged_pid_file_is_no_server(tmp_path: Path, content: str) -> None:
    (tmp_path / "postmaster.pid").write_text(content)
    assert running(tmp_path) is None


def test_a_socket_folder_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In /tmp another user may have made it before us, and would answer in our name."""
    home = tmp_path / ("x" * 120)
    server = EmbeddedServer(home)
    theirs = server.socket_folder
    theirs.symlink_to(tmp_path)
    monkeypatch.setattr(
        "db.server.embedded.EmbeddedServer._create", lambda _: (home / "postgres").mkdir()
    )
    try:
        with pytest.raises(EmbeddedServerFailed, match="belongs to somebody else; remove it"):
            server.ensure_running()
    finally:
        theirs.unlink()
