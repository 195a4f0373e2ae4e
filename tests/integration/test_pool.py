"""Connections: shared, given back, replaced when dead; statements planned with their values."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from sqlalchemy import Engine, event, text
from sqlalchemy.pool import QueuePool

from db.connect import POOL_SIZE, DatabaseAddress, make_engine
from db.open import open_database
from db.server.embedded import EmbeddedServer
from search.exact import answer_one
from search.question import QueryPerson
from search.request import SearchRequest
from tests.fakes import Stored, collection, register_fake_model, store
from tests.query_sets import at
from tests.servers import temporary_home
from tests.web_client import Client
from web.app import create_app

FILTERED = "/search?collection=gallery&where=not+hat"


def gallery(engine: Engine) -> None:
    model = register_fake_model(engine)
    row = collection(engine, "gallery")
    with engine.begin() as connection:
        store(connection, model, row, [Stored(f"{n}.jpg", at(n)) for n in range(20)])


def pool_of(engine: Engine) -> QueuePool:
    assert isinstance(engine.pool, QueuePool)
    return engine.pool


@pytest.fixture
def page(engine: Engine) -> Iterator[str]:
    """A real server with its threads; its address."""
    gallery(engine)
    config = uvicorn.Config(create_app(engine, token=None), port=0, log_level="error")
    server = uvicorn.Server(config)
    running = threading.Thread(target=server.run)
    running.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://localhost:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    running.join()


def test_more_requests_than_connections_wait(engine: Engine, page: str) -> None:
    at_once = 3 * POOL_SIZE
    most = 0

    def slowly(*_: object) -> None:
        nonlocal most
        most = max(most, pool_of(engine).checkedout())
        time.sleep(0.02)

    event.listen(engine, "before_cursor_execute", slowly)
    with ThreadPoolExecutor(at_once) as threads:
        answers = list(
            threads.map(lambda _: httpx.get(page + FILTERED, timeout=120), range(at_once))
        )
    assert [answer.status_code for answer in answers] == [200] * at_once
    assert most == POOL_SIZE
    pool = pool_of(engine)
    assert pool.checkedout() == 0
    assert pool.checkedin() <= POOL_SIZE
    with engine.connect() as connection:
        sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        assert connection.scalar(text(sessions)) <= POOL_SIZE


def test_a_page_without_a_free_connection_says_so(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client(create_app(engine, token=None))
    monkeypatch.setattr(engine.pool, "_timeout", 0.1)
    held = [engine.connect() for _ in range(POOL_SIZE)]
    response = client.get("/")
    assert response.status_code == 503
    assert "no connection to the database became free" in response.text
    for connection in held:
        connection.close()
    assert client.get("/").status_code == 200


@pytest.mark.parametrize("url", ["/nothing", "/image/77", "/search?collection=none&where=hat"])
def test_an_error_gives_its_connection_back(engine: Engine, url: str) -> None:
    client = Client(create_app(engine, token=None))
    for _ in range(POOL_SIZE + 1):
        assert client.get(url).status_code in (400, 404)
    assert pool_of(engine).checkedout() == 0


def test_the_page_outlives_a_restart_of_its_server() -> None:
    with temporary_home() as home:
        engine = open_database(DatabaseAddress(home))
        gallery(engine)
        client = Client(create_app(engine, token=None))
        held = [engine.connect() for _ in range(3)]
        for connection in held:  # several lie in the pool, all of them dead soon
            connection.close()
        assert client.get(FILTERED).status_code == 200
        server = EmbeddedServer(home)
        server.stop()
        server.ensure_running()
        for _ in range(4):
            assert client.get(FILTERED).status_code == 200
        server.stop()
        down = client.get(FILTERED)
        assert down.status_code == 503
        assert "any reid command that needs it starts it again" in down.text
        engine.dispose()


def test_a_session_that_was_ended_costs_no_request(engine: Engine) -> None:
    app: FastAPI = create_app(engine, token=None)
    gallery(engine)
    client = Client(app)
    assert client.get(FILTERED).status_code == 200
    with engine.connect() as connection:
        pid = connection.scalar(text("SELECT pg_backend_pid()"))
    others = make_engine(DatabaseAddress(Path("/nowhere"), _libpq(engine)))
    with others.connect() as connection:
        connection.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
    others.dispose()
    assert client.get(FILTERED).status_code == 200


def _libpq(engine: Engine) -> str:
    return engine.url.set(drivername="postgresql").render_as_string(hide_password=False)


def test_each_search_is_planned_with_its_own_values(engine: Engine) -> None:
    """Twenty images at once: no statement is kept, so that none gets a plan for any value."""
    gallery(engine)
    asked = SearchRequest(("gallery",), where="not hat and camera = 3").resolve(engine)
    with engine.connect() as connection:
        for n in range(20):
            answer_one(connection, asked.scope, asked.question, QueryPerson(f"{n}.jpg", at(n)))
        assert connection.execute(text("TABLE pg_prepared_statements")).all() == []


def test_what_the_url_says_wins(database_url: str) -> None:
    mark = "&" if "?" in database_url else "?"
    for url, name in ((database_url, "reid"), (f"{database_url}{mark}application_name=me", "me")):
        engine = make_engine(DatabaseAddress(Path("/nowhere"), url))
        with engine.connect() as connection:
            assert connection.scalar(text("SHOW application_name")) == name
        engine.dispose()
