"""A search does not hold the server for ever, and says what to do instead."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from cli import run
from db.connect import DatabaseAddress
from db.error_sentences import sentence_for
from db.limits import BadStatementTimeout, SearchTookTooLong, limited, statement_timeout
from db.open import open_database
from query_sets import queries
from tests.fakes import Stored, collection, register_fake_model, store
from tests.query_sets import add, at, query
from tests.web_client import Client
from web.app import create_app

WAYS_OUT = (
    "narrow it with --where or --max-distance, use --approximate after `reid index build`, "
    "or raise REID_STATEMENT_TIMEOUT (seconds; 0 is no limit)"
)


@pytest.fixture(autouse=True)
def _said_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REID_STATEMENT_TIMEOUT", raising=False)


@pytest.fixture
def slow(engine: Engine) -> Iterator[Engine]:
    """A gallery that takes a minute to read; the query set `set` asks in it."""
    model = register_fake_model(engine, max_distance=1.5)
    row = collection(engine, "gallery")
    with engine.begin() as connection:
        store(connection, model, row, [Stored("1.jpg", at(1))])
    add(engine, model, [row], [query("a.jpg", 1)])
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE feature RENAME TO kept"))
        connection.execute(
            text("CREATE VIEW feature AS SELECT k.* FROM kept k CROSS JOIN pg_sleep(60)")
        )
    yield engine


def in_force(connection: Connection, name: str = "statement_timeout") -> str:
    found: str = connection.execute(text(f"SHOW {name}")).scalar_one()
    return found


# --- the number


@pytest.mark.parametrize(
    ("given", "seconds"), [("", None), (" ", None), ("0", 0), ("90", 90), ("0.5", 0.5)]
)
def test_seconds(monkeypatch: pytest.MonkeyPatch, given: str, seconds: float | None) -> None:
    monkeypatch.setenv("REID_STATEMENT_TIMEOUT", given)
    assert statement_timeout() == seconds


@pytest.mark.parametrize("given", ["5min", "-1", "nan", "inf", "1e9"])
def test_no_seconds(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("REID_STATEMENT_TIMEOUT", given)
    with pytest.raises(BadStatementTimeout) as caught:
        open_database(DatabaseAddress(Path("/nowhere"), "postgresql://u@h/d"))
    assert caught.value.exit_code == 2
    assert str(caught.value) == (
        f"REID_STATEMENT_TIMEOUT is {given!r}; expected seconds from 0, which is no limit, "
        "to 2147483"
    )


# --- on a connection


@pytest.mark.parametrize(
    ("given", "of_the_server", "limit"),
    [
        ("", "0", "5min"),
        ("2", "0", "2s"),
        ("0.0001", "0", "1ms"),
        ("0", "0", "0"),
        ("", "10s", "10s"),  # an administrator's own limit stays
        ("60", "10s", "1min"),  # unless it is asked for
        ("0", "10s", "0"),
    ],
)
def test_the_limit_is_that_of_the_block(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, given: str, of_the_server: str, limit: str
) -> None:
    monkeypatch.setenv("REID_STATEMENT_TIMEOUT", given)
    with engine.begin() as connection:
        name = engine.url.database
        connection.execute(text(f"ALTER DATABASE {name} SET statement_timeout = '{of_the_server}'"))
    engine.dispose()
    with engine.begin() as connection:
        with limited(connection):
            assert in_force(connection) == limit
            assert in_force(connection, "jit") == "off"
        assert in_force(connection) == of_the_server
    with engine.connect() as connection:
        assert in_force(connection) == of_the_server


@pytest.mark.parametrize("with_copy", [False, True])
def test_a_slow_statement(engine: Engine, monkeypatch: pytest.MonkeyPatch, with_copy: bool) -> None:
    monkeypatch.setenv("REID_STATEMENT_TIMEOUT", "0.2")
    started = time.monotonic()
    with (
        pytest.raises(SearchTookTooLong) as caught,
        engine.begin() as connection,
        limited(connection),
    ):
        if with_copy:  # past SQLAlchemy, as the bulk path reads
            driver = connection.connection.driver_connection
            assert isinstance(driver, psycopg.Connection)
            with driver.cursor().copy("COPY (SELECT pg_sleep(60)) TO STDOUT") as copy:
                list(copy)
        connection.execute(text("SELECT pg_sleep(60)"))
    assert time.monotonic() - started < 20
    assert str(caught.value) == (
        f"the search was stopped: a statement took longer than 200 ms; {WAYS_OUT}"
    )
    with engine.connect() as connection:  # given back whole
        assert connection.scalar(text("SELECT 1")) == 1


def test_other_errors_pass(engine: Engine) -> None:
    with pytest.raises(DBAPIError, match="division"), engine.begin() as c, limited(c):
        c.execute(text("SELECT 1 / 0"))


def test_stopped_by_somebody(engine: Engine) -> None:
    def stop(pid: int) -> None:
        time.sleep(0.2)
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_cancel_backend(:pid)"), {"pid": pid})

    with pytest.raises(DBAPIError) as caught, engine.begin() as connection, limited(connection):
        pid = connection.scalar(text("SELECT pg_backend_pid()"))
        stopping = threading.Thread(target=stop, args=[pid])
        stopping.start()
        connection.execute(text("SELECT pg_sleep(60)"))
    stopping.join()
    assert sentence_for(caught.value) == (
        "somebody stopped the statement at the server; run the same command again"
    )


def test_a_limit_of_the_server_beside_searches(engine: Engine) -> None:
    with pytest.raises(DBAPIError) as caught, engine.begin() as connection:
        connection.execute(text("SET LOCAL statement_timeout = '50ms'"))
        connection.execute(text("SELECT pg_sleep(60)"))
    assert sentence_for(caught.value) == (
        "the server stopped a statement that took longer than its statement_timeout; "
        "raise that for this database user, and run the same command again"
    )


# --- from the command to the sentence


@pytest.mark.usefixtures("slow")
def test_reid_search(
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("REID_DATABASE_URL", database_url)
    monkeypatch.setenv("REID_STATEMENT_TIMEOUT", "0.5")
    assert run(["search", "--collection", "gallery", "--where", "hat"]) == 1
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == (
        f"reid: the search was stopped: a statement took longer than 500 ms; {WAYS_OUT}\n"
    )
    monkeypatch.setenv("REID_STATEMENT_TIMEOUT", "soon")
    assert run(["search", "--collection", "gallery", "--where", "hat"]) == 2
    assert "REID_STATEMENT_TIMEOUT is 'soon'" in capfd.readouterr().err


def test_reid_query_run(slow: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REID_STATEMENT_TIMEOUT", "0.3")
    with pytest.raises(SearchTookTooLong, match="300 ms"):
        queries.run(slow, "set", None, None)
    with slow.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM run")) == 0


def test_the_page(slow: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REID_STATEMENT_TIMEOUT", "0.3")
    page = Client(create_app(slow, token=None))
    response = page.get("/search?collection=gallery&where=hat")
    assert response.status_code == 503
    assert "a statement took longer than 300 ms" in response.text
    assert page.get("/health").status_code == 200


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["evaluate", "reid", "--query", "gallery", "--gallery", "gallery"], "evaluation"),
        (["export", "classification", "--collection", "gallery", "--out"], "export"),
    ],
)
def test_whatever_reads_a_gallery_has_the_limit(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    words: list[str],
    what: str,
) -> None:
    monkeypatch.setenv("REID_DATABASE_URL", database_url)
    monkeypatch.setenv("REID_STATEMENT_TIMEOUT", "0.3")
    started = time.monotonic()
    assert run([*words, *([str(tmp_path / "file.csv")] if words[-1] == "--out" else [])]) == 1
    assert time.monotonic() - started < 50
    assert capfd.readouterr().err.splitlines()[-1] == (
        f"reid: the {what} was stopped: a statement took longer than 300 ms; "
        "raise REID_STATEMENT_TIMEOUT (seconds; 0 is no limit)"
    )
