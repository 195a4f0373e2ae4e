"""The way in: a database that is ready, or one sentence that says what to do."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.engine import make_url

from db.administration import client_access
from db.connect import (
    HEAD,
    DatabaseAddress,
    DatabaseUnreachable,
    WrongSchema,
    check_server,
    current_revision,
    default_home,
    make_engine,
    reach,
    resolve,
)
from db.database_url import BadDatabaseUrl
from db.error_sentences import sentence_for
from db.open import open_database
from db.server.embedded import EmbeddedServer
from db.server.state import running
from db.upgrade import UpgradeFailed, upgrade
from tests.servers import free_port, tcp_server, temporary_home

ROOT = Path(__file__).resolve().parents[2]
NOWHERE = Path("/nowhere")


@pytest.fixture(scope="module")
def embedded() -> Iterator[EmbeddedServer]:
    """A server whose home has a space in its name, used by every test that does not break it."""
    with temporary_home("my home") as home:
        yield EmbeddedServer(home)


@pytest.fixture(scope="module")
def tcp() -> Iterator[EmbeddedServer]:
    with tcp_server() as server:
        yield server


def set_revision(engine: Engine, revision: str) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :to"), {"to": revision})


def pid_of(server: EmbeddedServer) -> int:
    found = running(server.data)
    assert found
    return found.pid


# --- which database


def test_the_environment_names_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REID_HOME", "/some/where")
    monkeypatch.delenv("REID_DATABASE_URL", raising=False)
    assert resolve() == DatabaseAddress(Path("/some/where"))
    assert resolve().embedded == EmbeddedServer(Path("/some/where"))
    monkeypatch.setenv("REID_DATABASE_URL", "postgresql://u@h/d")
    assert resolve().embedded is None
    assert resolve().libpq_url() == "postgresql://u@h/d"


def test_a_home_without_being_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REID_HOME", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert default_home() == Path("/data/reid")


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        (
            "here",
            "REID_DATABASE_URL is no URL; expected postgresql://user:password@host:5432/database",
        ),
        (
            "postgresql://u@h:port/d",
            "REID_DATABASE_URL is no URL; expected postgresql://user:password@host:5432/database",
        ),
        ("mysql://u@h/d", "REID_DATABASE_URL names 'mysql'; expected postgresql://"),
    ],
)
def test_a_url_that_is_none(url: str, sentence: str) -> None:
    with pytest.raises(BadDatabaseUrl) as caught:
        open_database(DatabaseAddress(NOWHERE, url))
    assert str(caught.value) == sentence
    assert caught.value.exit_code == 2


def test_a_password_with_odd_letters_survives_the_url() -> None:
    url = "postgresql://u:p%40ss%2Fw%25rd@h:5433/d"
    assert make_url(DatabaseAddress(NOWHERE, url).libpq_url()).password == "p@ss/w%rd"


@pytest.mark.parametrize(
    "url", ["postgresql://u:p%40ss@h:5433/d", "postgresql://u@h:5433/d?password=p%40ss"]
)
def test_a_password_is_never_on_a_command_line(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("REID_DATABASE_URL", url)
    assert client_access() == ("postgresql://u@h:5433/d", {"PGPASSWORD": "p@ss"})
    monkeypatch.setenv("REID_DATABASE_URL", "postgresql://u@h/d")
    assert client_access() == ("postgresql://u@h/d", {})


# --- schema


def test_an_empty_embedded_database_is_set_up(embedded: EmbeddedServer) -> None:
    engine = open_database(DatabaseAddress(embedded.home))
    with engine.connect() as connection:
        assert current_revision(connection) == HEAD
    engine.dispose()
    open_database(DatabaseAddress(embedded.home)).dispose()


def test_an_empty_server_is_not(empty_database_url: str) -> None:
    place = DatabaseAddress(NOWHERE, empty_database_url)
    with pytest.raises(WrongSchema) as caught:
        open_database(place)
    assert str(caught.value) == "the database is empty; set it up with `reid db upgrade`"
    engine = make_engine(place)
    upgrade(engine)
    engine.dispose()
    open_database(place).dispose()


@pytest.mark.parametrize(
    ("revision", "sentence"),
    [
        (
            "0000",
            f"the database is at schema 0000, this program needs {HEAD}; make a backup with "
            "`reid db backup FILE`, then run `reid db upgrade`",
        ),
        (
            "9999",
            f"the database is at schema 9999, newer than the {HEAD} this program knows; upgrade "
            "the program: `git pull`, then `make install`",
        ),
    ],
)
def test_another_schema(engine: Engine, database_url: str, revision: str, sentence: str) -> None:
    set_revision(engine, revision)
    with pytest.raises(WrongSchema) as caught:
        open_database(DatabaseAddress(NOWHERE, database_url))
    assert str(caught.value) == sentence


def test_upgrading_a_newer_database(engine: Engine) -> None:
    set_revision(engine, "9999")
    with pytest.raises(UpgradeFailed, match=r"unknown to this program .* upgrade the program"):
        upgrade(engine)
    with engine.connect() as connection:
        assert current_revision(connection) == "9999"


# --- servers that are not there, or not right


def sentence_of(url: str) -> str:
    with pytest.raises(DatabaseUnreachable) as caught:
        open_database(DatabaseAddress(NOWHERE, url))
    assert caught.value.exit_code == 1
    return str(caught.value)


def test_a_server_that_is_down() -> None:
    port = free_port()
    said = sentence_of(f"postgresql://u:p@127.0.0.1:{port}/d")
    assert said.startswith(
        f"no database server answers at 127.0.0.1:{port}; start it, or unset REID_DATABASE_URL for "
        "the embedded one ("
    )
    assert "Connection refused" in said


def test_the_right_password(tcp: EmbeddedServer) -> None:
    engine = make_engine(DatabaseAddress(NOWHERE, tcp.tcp_url()))
    upgrade(engine)
    with engine.connect() as connection:
        assert current_revision(connection) == HEAD
    engine.dispose()
    assert tcp.password_file.stat().st_mode & 0o777 == 0o600


def test_a_server_with_tcp_is_found_by_its_home_alone(tcp: EmbeddedServer) -> None:
    alone = EmbeddedServer(tcp.home)
    alone.ensure_running()
    assert alone.url() == tcp.url()
    assert running(alone.data) == running(tcp.data)
    with pytest.raises(ValueError, match="listens on TCP"):
        alone.tcp_url()


@pytest.mark.parametrize("password", ["wrong", None])
def test_a_wrong_password(
    tcp: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, password: str | None
) -> None:
    monkeypatch.setenv("PGPASSFILE", os.devnull)
    monkeypatch.delenv("PGPASSWORD", raising=False)
    url = make_url(tcp.tcp_url())
    without = url.set(password=password)
    if password is None:
        without = url._replace(password=None)
    assert sentence_of(without.render_as_string(hide_password=False)) == (
        f"the server at 127.0.0.1:{url.port} refused user 'reid': wrong or missing password; "
        "check REID_DATABASE_URL"
    )


def test_an_unknown_database(tcp: EmbeddedServer) -> None:
    url = make_url(tcp.tcp_url())
    said = sentence_of(url.set(database="nothing").render_as_string(hide_password=False))
    assert said == (
        f'the server at 127.0.0.1:{url.port} says: database "nothing" does not exist; '
        "create it, or check REID_DATABASE_URL"
    )


def test_a_server_that_takes_nobody(tcp: EmbeddedServer) -> None:
    url = make_url(tcp.tcp_url())
    with psycopg.connect(tcp.url(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE closed ALLOW_CONNECTIONS false")
        said = sentence_of(url.set(database="closed").render_as_string(hide_password=False))
        connection.execute("DROP DATABASE closed")
    assert said == (
        f"the server at 127.0.0.1:{url.port} refuses: "
        'database "closed" is not currently accepting connections'
    )


class _Answers:
    """A connection that answers with the next of some values."""

    def __init__(self, *values: object) -> None:
        self.values = list(values)

    def scalar(self, _: Any) -> object:
        return self.values.pop(0)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ((14,), "the server runs Postgres 14, expected 15 or newer"),
        (
            (18, None),
            "the server has no pgvector; install pgvector 0.8.4 or newer for its Postgres",
        ),
        (
            (18, "0.8.3"),
            "the server has pgvector 0.8.3, expected 0.8.4 or newer: install it, then run "
            "ALTER EXTENSION vector UPDATE",
        ),
        (
            (17, "0.7.10"),
            "the server has pgvector 0.7.10, expected 0.8.4 or newer: install it, then run "
            "ALTER EXTENSION vector UPDATE",
        ),
    ],
)
def test_a_server_that_is_too_old(values: tuple[object, ...], sentence: str) -> None:
    with pytest.raises(DatabaseUnreachable) as caught:
        check_server(cast(Connection, _Answers(*values)))
    assert str(caught.value) == sentence


@pytest.mark.parametrize("version", ["0.8.4", "0.8.5", "0.10.0", "1.0", "0.9.0-dev"])
def test_a_new_enough_pgvector(version: str) -> None:
    check_server(cast(Connection, _Answers(18, version)))


def test_a_lost_connection_is_said(engine: Engine) -> None:
    with reach(engine) as connection, pytest.raises(Exception) as caught:
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    sentence = sentence_for(caught.value)
    assert sentence is not None
    assert re.fullmatch(
        r"the connection to the database was lost \(.*terminating connection.*\);"
        r" run the same command again",
        sentence,
    )


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            psycopg.errors.DiskFull(),
            "the database's disk is full; free some space and run the same command again: "
            "what is stored stays stored",
        ),
        (
            psycopg.errors.QueryCanceled(),
            "the server stopped a statement that took longer than its statement_timeout; "
            "raise that for this database user, and run the same command again",
        ),
        (
            psycopg.errors.UniqueViolation(),
            "the database has this already: UniqueViolation",
        ),
        (ValueError("ours"), None),
    ],
)
def test_what_went_wrong_in_mid_work(error: Exception, sentence: str | None) -> None:
    assert sentence_for(error) == sentence
