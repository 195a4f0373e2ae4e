"""The core ways give the same whatever the server, the role or the shell makes of a session."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import text
from sqlalchemy.engine import make_url

from cli import run
from db.connect import DatabaseAddress, make_engine
from db.libpq_environment import left_out
from db.open import open_database
from db.session import PINNED, WrongSession, session_of
from db.upgrade import upgrade
from tests.core_ways import core
from tests.fakes import names, write_pictures

NOWHERE = Path("/nowhere")
HOSTILE = {
    "standard_conforming_strings": "off",
    "backslash_quote": "on",
    "bytea_output": "escape",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "DateStyle": "German, DMY",
    "IntervalStyle": "sql_standard",
    "TimeZone": "Asia/Kathmandu",
    "client_encoding": "LATIN1",
    "extra_float_digits": "-15",
    "gin_fuzzy_search_limit": "2",
    "enable_seqscan": "off",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "session_replication_role": "replica",
    "exit_on_error": "on",
    "quote_all_identifiers": "on",
    "client_min_messages": "debug5",
    "idle_session_timeout": "1s",
    "idle_in_transaction_session_timeout": "1s",
    "search_path": "",
}
TOGETHER = {**HOSTILE, "DateStyle": "SQL, DMY", "search_path": "pg_catalog, nothing"}

Clone = Callable[[], AbstractContextManager[str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    odd = r"in\folder/0009_c1_é.png"
    return write_pictures(tmp_path_factory.mktemp("people"), [*names(12), odd])


def set_in_database(url: str, settings: dict[str, str]) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for name, value in settings.items():
            # a path is a list of names, and empty where it is the empty name
            given = sql.SQL(value or "''") if name == "search_path" else sql.Literal(value)
            connection.execute(
                sql.SQL("ALTER DATABASE {} SET {} = {}").format(
                    sql.Identifier(connection.info.dbname), sql.Identifier(name), given
                )
            )


@pytest.fixture(scope="module")
def usual(clone: Clone, folder: Path) -> dict[str, Any]:
    """What comes of it in a session of Postgres' own defaults."""
    with clone() as url:
        made = core(url, folder)
    assert made["hashes"] == [32] * 12 + [None]
    assert made["buried"] == [32]
    assert made["again"] == (1, 0, 1)
    return made


@pytest.mark.parametrize("setting", [*HOSTILE, "all of them"])
def test_a_database_with_settings_of_its_own(
    clone: Clone, folder: Path, usual: dict[str, Any], setting: str
) -> None:
    settings = TOGETHER if setting == "all of them" else {setting: HOSTILE[setting]}
    with clone() as url:
        set_in_database(url, settings)
        assert core(url, folder) == usual


def test_a_role_with_settings_of_its_own(clone: Clone) -> None:
    """What a role has comes before what the database has, and a URL's options before both."""
    with clone() as url, psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE ROLE wayward SUPERUSER LOGIN")
        try:
            connection.execute("ALTER ROLE wayward SET standard_conforming_strings = off")
            connection.execute("ALTER ROLE wayward SET DateStyle = 'Postgres, DMY'")
            theirs = make_url(url).set(username="wayward")
            theirs = theirs.update_query_dict({"options": "-c array_nulls=off -c jit=on"})
            engine = make_engine(
                DatabaseAddress(NOWHERE, theirs.render_as_string(hide_password=False))
            )
            with engine.connect() as ours:
                for name, value in PINNED.items():
                    assert ours.scalar(text(f"SELECT current_setting('{name}')")) == value
                    assert ours.scalar(text("SHOW jit")) == "on"  # nothing depends on it
            engine.dispose()
        finally:
            connection.execute("DROP ROLE wayward")


def test_the_shell_of_another_database(
    clone: Clone, folder: Path, usual: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = {
        "PGHOST": "db.elsewhere.example",
        "PGHOSTADDR": "192.0.2.1",
        "PGPORT": "1",
        "PGDATABASE": "other",
        "PGUSER": "other",
        "PGPASSWORD": "other",
        "PGSSLMODE": "verify-full",
        "PGSERVICE": "other",
        "PGTARGETSESSIONATTRS": "standby",
        "PGOPTIONS": "-c standard_conforming_strings=off -c search_path=nothing",
        "PGCLIENTENCODING": "LATIN1",
        "PGDATESTYLE": "German",
        "PGTZ": "Mars/Phobos",
        "PGGEQO": "perhaps",
    }
    for name, value in foreign.items():
        monkeypatch.setenv(name, value)
    with clone() as url:
        assert core(url, folder) == usual
    assert set(foreign) <= set(left_out())
    assert not set(foreign) & os.environ.keys()  # psql and pg_dump see none of them either


def test_what_proves_who_one_is_may_come_from_the_shell(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "ours")
    monkeypatch.setenv("PGSSLMODE", "disable")
    make_engine(DatabaseAddress(NOWHERE, database_url)).dispose()
    assert (os.environ["PGPASSWORD"], os.environ["PGSSLMODE"]) == ("ours", "disable")


def in_schemas(url: str, ours: str, vectors: str) -> None:
    """Moves the tables and pgvector of a database into schemas of their own."""
    with psycopg.connect(url, autocommit=True) as connection:
        for name in {ours, vectors} - {"public"}:
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
        connection.execute(
            sql.SQL("ALTER EXTENSION vector SET SCHEMA {}").format(sql.Identifier(vectors))
        )
        for kind, query in (
            ("TABLE", "SELECT relname FROM pg_class WHERE relkind = 'r'"),
            ("SEQUENCE", "SELECT relname FROM pg_class WHERE relname = 'worker_id'"),
            ("VIEW", "SELECT relname FROM pg_class WHERE relkind = 'v'"),
        ):
            names = connection.execute(query + " AND relnamespace = 'public'::regnamespace")
            for (name,) in names.fetchall():
                connection.execute(
                    sql.SQL("ALTER {} {} SET SCHEMA {}").format(
                        sql.SQL(kind), sql.Identifier("public", name), sql.Identifier(ours)
                    )
                )


@pytest.mark.parametrize(
    ("ours", "vectors"), [("public", "extensions"), ('Our "own"', "public"), ("reid", "vectors")]
)
def test_tables_and_vectors_in_schemas_of_their_own(
    clone: Clone, folder: Path, usual: dict[str, Any], ours: str, vectors: str
) -> None:
    with clone() as url:
        in_schemas(url, ours, vectors)
        assert core(url, folder) == usual


def test_an_empty_database_whose_vectors_lie_elsewhere(
    empty_database_url: str, folder: Path, usual: dict[str, Any]
) -> None:
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA extensions")
        connection.execute("CREATE EXTENSION vector SCHEMA extensions")
        connection.execute("CREATE SCHEMA people")
    set_in_database(empty_database_url, {"search_path": "extensions, people"})
    engine = make_engine(DatabaseAddress(NOWHERE, empty_database_url))
    upgrade(engine)
    with engine.connect() as opened:
        assert session_of(opened).schema == "people"
        assert opened.scalar(text("SELECT to_regclass('people.image') IS NOT NULL"))
    engine.dispose()
    assert core(empty_database_url, folder) == usual


def test_tables_in_two_schemas_are_not_chosen_between(clone: Clone) -> None:
    with clone() as url:
        in_schemas(url, "a", "public")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE SCHEMA b")
            for name in ("alembic_version", "tombstone", "query_embedding"):
                connection.execute(f"CREATE TABLE b.{name} ()".encode())
        with pytest.raises(WrongSession) as caught:
            open_database(DatabaseAddress(NOWHERE, url))
        assert str(caught.value) == (
            "this program's tables lie in several schemas (a, b); say which are meant: "
            "ALTER ROLE ... SET search_path"
        )
        set_in_database(url, {"search_path": "a"})
        open_database(DatabaseAddress(NOWHERE, url)).dispose()


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_cannot_hold_every_name(
    server_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    encoding: str,
) -> None:
    name = f"reid_test_{os.getpid()}_{encoding.lower()}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(
            f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0".encode()
        )
        said = (
            f"database '{name}' has the encoding {encoding}, expected UTF8: it cannot hold every "
            "name; make another one, CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0"
        )
        url = make_url(server_url).set(database=name).render_as_string(hide_password=False)
        monkeypatch.setenv("REID_DATABASE_URL", url)
        for command in (("db", "upgrade"), ("collection", "list")):
            assert run(command) == 1
            assert capfd.readouterr().err == f"reid: {said}\n"
        assert run(["doctor"]) == 1
        assert said in capfd.readouterr().out
        connection.execute(f"DROP DATABASE {name}".encode())
