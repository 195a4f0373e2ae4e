"""A real database for every test: one server a session, one migrated template cloned per test.

`REID_TEST_DATABASE_URL` runs the same tests on another server (a superuser's URL).
"""

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from db.connect import DatabaseAddress, make_engine
from db.server.embedded import EmbeddedServer
from db.upgrade import upgrade

_COUNTER = itertools.count(1)
_TEMPLATE = "reid_test_template"


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """A libpq URL of a server that tests may create databases on."""
    given = os.environ.get("REID_TEST_DATABASE_URL")
    if given:
        yield given
        return
    home = Path(tempfile.mkdtemp(prefix="reid-test-"))
    server = EmbeddedServer(home)
    server.ensure_running()
    yield server.url()
    server.stop()
    shutil.rmtree(home)
    shutil.rmtree(server.socket_folder, ignore_errors=True)


def _admin(server_url: str, statement: str) -> None:
    engine = make_engine(DatabaseAddress(Path(), server_url))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(statement))
    engine.dispose()


def _with_database(server_url: str, name: str) -> str:
    from sqlalchemy.engine import make_url

    return make_url(server_url).set(database=name).render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def template(server_url: str) -> Iterator[str]:
    """The name of a migrated, empty database."""
    name = f"{_TEMPLATE}_{os.getpid()}"
    _admin(server_url, f"CREATE DATABASE {name}")
    engine = make_engine(DatabaseAddress(Path(), _with_database(server_url, name)))
    upgrade(engine)
    engine.dispose()
    yield name
    _admin(server_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def clone(server_url: str, template: str) -> Callable[[], AbstractContextManager[str]]:
    """Makes a migrated database, gives its libpq URL and drops it again."""

    @contextmanager
    def made() -> Iterator[str]:
        name = f"reid_test_{os.getpid()}_{next(_COUNTER)}"
        _admin(server_url, f"CREATE DATABASE {name} TEMPLATE {template}")
        yield _with_database(server_url, name)
        _admin(server_url, f"DROP DATABASE {name} WITH (FORCE)")

    return made


@pytest.fixture
def database_url(clone: Callable[[], AbstractContextManager[str]]) -> Iterator[str]:
    """A libpq URL of a migrated database of this test's own."""
    with clone() as url:
        yield url


@pytest.fixture
def empty_database_url(server_url: str) -> Iterator[str]:
    """A libpq URL of a database without any table."""
    name = f"reid_test_{os.getpid()}_{next(_COUNTER)}"
    _admin(server_url, f"CREATE DATABASE {name}")
    yield _with_database(server_url, name)
    _admin(server_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on a migrated database of this test's own."""
    made = make_engine(DatabaseAddress(Path(), database_url))
    yield made
    made.dispose()
