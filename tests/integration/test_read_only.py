"""A server that takes no writes is searched where somebody says so, and never silently."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from cli import run
from db.connect import DatabaseAddress, make_engine
from db.server.embedded import EmbeddedServer
from db.server.process import _demotion, hand_over, program
from db.upgrade import upgrade
from tests.fakes import ingest, names, register_fake_model, write_pictures
from tests.servers import tcp_server, temporary_home

Reid = Callable[..., tuple[int, str, str]]
STANDBY = "it is a standby, which follows another server"
REFUSED = (
    "reid: no audit row can be written: {why}; search without one with `reid --read-only`, or "
    "name a server that takes writes in REID_DATABASE_URL\n"
)
NOTE = "the database is read only: nothing is written to the audit log"


@pytest.fixture
def reid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Reid:
    """One command line against a server: exit code, stdout, stderr."""
    monkeypatch.setenv("REID_HOME", str(tmp_path / "home"))

    def call(url: str, *words: object) -> tuple[int, str, str]:
        monkeypatch.setenv("REID_DATABASE_URL", url)
        monkeypatch.setenv("REID_READ_ONLY", "")
        capfd.readouterr()
        code = run([str(word) for word in words])
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("people"), names(6))


def filled(url: str, folder: Path) -> None:
    engine = make_engine(DatabaseAddress(Path(), url))
    upgrade(engine)
    ingest(engine, folder, "g", register_fake_model(engine, max_distance=1.0))
    engine.dispose()


@pytest.fixture(scope="module")
def standby(folder: Path) -> Iterator[str]:
    """A URL of a hot standby, which follows a server that has six images."""
    with tcp_server() as primary, temporary_home() as home:
        filled(primary.tcp_url(), folder)
        copy = home / "postgres"
        home.mkdir(mode=0o700)
        hand_over(home)
        subprocess.run(
            [program("pg_basebackup"), f"--dbname={primary.tcp_url()}", f"--pgdata={copy}",
             "--write-recovery-conf", "--checkpoint=fast"],
            check=True, preexec_fn=_demotion(), cwd="/",
        )  # fmt: skip
        shutil.copy(primary.password_file, home / "postgres.password")
        hand_over(copy)
        server = EmbeddedServer(home)
        server.ensure_running()
        yield server.url()


def test_a_standby_is_searched_by_an_option(reid: Reid, standby: str, folder: Path) -> None:
    search = ("search", folder / names(1)[0], "--collection", "g", "--format", "json")
    code, out, err = reid(standby, *search)
    assert (code, out, err) == (1, "", REFUSED.format(why=STANDBY))
    code, out, err = reid(standby, "--read-only", *search)
    assert code == 0
    assert err == f"{NOTE}\n"
    assert '"complete": true' in out
    code, out, err = reid(standby, "--read-only", "audit", "list", "--format", "csv")
    assert code == 0
    assert "search" not in out
    # what writes no audit row asks nothing
    code, out, err = reid(standby, "status")
    assert (code, err) == (0, "")


def test_what_writes_says_so(reid: Reid, standby: str, folder: Path) -> None:
    for option in ((), ("--read-only",)):
        code, out, err = reid(standby, *option, "ingest", folder, "--collection", "new")
        assert (code, out) == (1, "")
        assert err.removeprefix(f"{NOTE}\n") == (
            "reid: the database takes no writes here, and this command has something to write "
            "(cannot execute INSERT in a read-only transaction); name the server that takes them "
            "in REID_DATABASE_URL\n"
        )


def test_doctor_says_that_nothing_can_be_written(reid: Reid, standby: str) -> None:
    code, out, _ = reid(standby, "doctor", "--format", "json")
    assert code == 1
    assert {
        "what": "writing",
        "found": f"not here: {STANDBY}",
        "advice": "searching works with `reid --read-only`, without an audit row; for all else "
        "name a server that takes writes in REID_DATABASE_URL",
    } in json.loads(out)
    code, out, _ = reid(standby, "--read-only", "doctor", "--format", "json")
    assert code == 0
    assert {"what": "writing", "found": f"not here: {STANDBY}", "advice": None} in json.loads(out)


def test_a_backup_of_a_standby(reid: Reid, standby: str, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    assert reid(standby, "db", "backup", file)[0] == 1
    assert not file.exists()
    assert reid(standby, "--read-only", "db", "backup", file)[0] == 0
    assert file.stat().st_size > 1000


def test_a_role_that_may_not_write(reid: Reid, database_url: str, folder: Path) -> None:
    filled(database_url, folder)
    with psycopg.connect(database_url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on".encode())
        why = f"default_transaction_read_only is on for user 'reid' in database '{name}'"
    search = ("search", folder / names(1)[0], "--collection", "g")
    assert reid(database_url, *search)[2] == REFUSED.format(why=why)
    assert reid(database_url, "--read-only", *search)[0] == 0


def test_the_option_is_no_way_round_the_audit_log(
    reid: Reid, database_url: str, folder: Path
) -> None:
    filled(database_url, folder)
    search = ("search", folder / names(1)[0], "--collection", "g")
    code, out, err = reid(database_url, "--read-only", *search)
    assert (code, out) == (2, "")
    assert err == (
        "reid: --read-only (REID_READ_ONLY) is for a server that takes no writes, and this one "
        "takes them; leave it out: then the audit log knows of the search\n"
    )
    engine = make_engine(DatabaseAddress(Path(), database_url))
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM audit WHERE action = 'search'")) == 0
    engine.dispose()
