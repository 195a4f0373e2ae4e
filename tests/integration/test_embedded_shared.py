"""One REID_HOME for several machines or containers: never two servers on one folder."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from db.server.embedded import EmbeddedServer
from db.server.owner import HomeClaim, Owner, file_system, this_owner
from db.server.process import EmbeddedServerFailed
from db.server.state import running
from tests.servers import temporary_home

ROOT = Path(__file__).resolve().parents[2]
APART = ["unshare", "--pid", "--mount", "--net", "--uts", "--fork", "--mount-proc"]


def can_be_apart() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*APART, "true"], capture_output=True, check=False).returncode == 0


apart = pytest.mark.skipif(not can_be_apart(), reason="no namespaces can be made here")


def elsewhere(home: Path, *words: str, before: str = "true") -> tuple[int, str]:
    """A command line in another container, which sees the same folder: exit code, stderr."""
    inside = f'hostname other && {before} && exec "$@"'
    done = subprocess.run(
        [*APART, "sh", "-c", inside, "sh", sys.executable, "cli.py", *words],
        cwd=ROOT,
        env={**os.environ, "REID_HOME": str(home), "REID_DATABASE_URL": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


def in_use(home: Path) -> str:
    return (
        f"reid: the embedded database in {home} is in use: it runs on host {os.uname().nodename}, "
        "where this process cannot reach it (another container or machine); stop it there with "
        "`reid db stop`; for several machines or containers run one server and set "
        "REID_DATABASE_URL for all of them (docs/database.md)\n"
    )


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    with temporary_home() as home:
        started = EmbeddedServer(home)
        started.ensure_running()
        with psycopg.connect(started.url(), autocommit=True) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
        yield started


def pid_of(server: EmbeddedServer) -> int:
    found = running(server.data)
    assert found
    return found.pid


def kept(server: EmbeddedServer) -> int:
    server.ensure_running()
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("CHECKPOINT")  # a second server would have spoilt this
        row = connection.execute("SELECT n FROM kept").fetchone()
    assert row is not None
    number: int = row[0]
    return number


@apart
def test_a_container_that_reaches_the_socket_uses_the_server(server: EmbeddedServer) -> None:
    pid = pid_of(server)
    assert elsewhere(server.home, "collection", "list")[0] == 0
    assert elsewhere(server.home, "db", "stop") == (1, in_use(server.home))
    assert pid_of(server) == pid
    assert kept(server) == 7


@apart
def test_a_container_that_does_not_starts_no_second_one(server: EmbeddedServer) -> None:
    """Also where its boot is another: a machine that shares the folder and its locks."""
    pid = pid_of(server)
    other_boot = server.home / "boot"
    other_boot.write_text("another boot\n")
    hidden = f"mount -t tmpfs none {server.home}/socket"
    for before in (
        hidden,
        f"{hidden} && mount --bind {other_boot} /proc/sys/kernel/random/boot_id",
    ):
        assert elsewhere(server.home, "collection", "list", before=before) == (
            1,
            in_use(server.home),
        )
        assert (server.data / "postmaster.pid").exists()
    assert pid_of(server) == pid
    assert kept(server) == 7


@apart
def test_a_container_goes_on_where_a_killed_one_has_ended(server: EmbeddedServer) -> None:
    os.kill(pid_of(server), signal.SIGKILL)
    deadline = time.monotonic() + 60
    while HomeClaim(server.home).is_held() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert elsewhere(server.home, "db", "upgrade") == (0, "")
    deadline = time.monotonic() + 60  # with its container the server there has ended too
    while HomeClaim(server.home).is_held() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert kept(server) == 7


def test_a_server_whose_socket_cannot_be_seen(server: EmbeddedServer) -> None:
    """In a container with a /tmp of its own, for one: not ten minutes of silence."""
    shutil.move(server.socket_folder, server.home / "away")
    try:
        with pytest.raises(EmbeddedServerFailed, match=r"its socket in .* is not to be seen"):
            server.ensure_running()
    finally:
        shutil.move(server.home / "away", server.home / "socket")
    assert kept(server) == 7


def test_the_lock_lives_as_long_as_the_server(server: EmbeddedServer) -> None:
    claim = HomeClaim(server.home)
    assert claim.is_held()
    assert claim.owner() == this_owner()
    assert server.stop()
    assert not claim.is_held()


def test_what_another_machine_has_not_stopped(server: EmbeddedServer) -> None:
    """On a folder of the network, where nobody can see it; what was stopped is anybody's."""
    claim = HomeClaim(server.home)
    left = (server.data / "postmaster.pid").read_text()
    server.stop()
    theirs = {"host": "far", "boot": "another boot", "processes": "pid:[1]"}
    claim.owner_file.write_text(json.dumps(theirs))
    (server.data / "postmaster.pid").write_text(left)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("db.server.owner.file_system", lambda _: "nfs4")
        with pytest.raises(EmbeddedServerFailed) as caught:
            server.ensure_running()
        assert str(caught.value) == (
            f"the embedded database in {server.home} was started on host far and not stopped "
            "there, and from here nobody can see whether it still runs: stop it there with "
            f"`reid db stop`, or remove {claim.owner_file} if that host runs it no more; for "
            "several machines or containers run one server and set REID_DATABASE_URL for all of "
            "them (docs/database.md)"
        )
        assert (server.data / "postmaster.pid").read_text() == left
        (server.data / "postmaster.pid").unlink()  # as a server does that is stopped
        assert kept(server) == 7
    assert claim.owner() == this_owner()


HERE = this_owner()
REBOOTED = Owner(HERE.host, "before", HERE.processes)
CONTAINER = Owner("other", HERE.boot, "pid:[1]")


@pytest.mark.parametrize(
    ("owner", "locked", "kind", "may"),
    [
        (HERE, True, "ext4", False),
        (HERE, False, "nfs4", False),  # its processes can be seen
        (CONTAINER, True, "nfs4", False),  # one kernel: the lock is certain
        (CONTAINER, False, "ext4", True),
        (REBOOTED, True, "ext4", False),  # a local disk is one machine's at a time
        (REBOOTED, True, "overlay", False),
        (REBOOTED, True, "nfs4", True),
        (REBOOTED, True, "cifs", True),
        (REBOOTED, True, "fuse.sshfs", True),
        (REBOOTED, True, "", True),
    ],
)
def test_who_may_live_out_of_sight(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    owner: Owner,
    locked: bool,
    kind: str,
    may: bool,
) -> None:
    monkeypatch.setattr("db.server.owner.file_system", lambda _: kind)
    assert HomeClaim(tmp_path).may_live_elsewhere(owner, locked=locked) is may


def test_the_file_system_of_a_folder(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        "22 21 0:9 / /home rw shared:1 - nfs4 far:/home rw\n"
        "23 22 0:9 / /home/a\\040b rw - tmpfs none rw\n"
    )
    assert file_system(Path("/srv/reid"), mounts) == "ext4"
    assert file_system(Path("/home/u/reid"), mounts) == "nfs4"
    assert file_system(Path("/home/a b/reid"), mounts) == "tmpfs"
    assert file_system(Path("/homely"), mounts) == "ext4"
    assert file_system(Path("/srv"), tmp_path / "none") in ("", "apfs")


@pytest.mark.parametrize("content", ["", "{}", "[1]", "null", "\0"])
def test_a_damaged_owner_file_names_nobody(tmp_path: Path, content: str) -> None:
    HomeClaim(tmp_path).owner_file.write_text(content)
    assert HomeClaim(tmp_path).owner() is None
