"""Which database, and a checked way in: embedded by default, `REID_DATABASE_URL` for a server.

Every error of the way in is a sentence with a way out: server down, wrong password, no database,
no pgvector, too old a pgvector, a schema newer or older than this program.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError

from db import libpq_environment
from db.database_url import parse_url
from db.error_sentences import known_sentence
from db.server.embedded import EmbeddedServer
from db.session import prepare_sessions, prepare_transactions
from db.unreachable import unreachable_sentence
from errors import ReidError, UsageError
from settings import Settings

HEAD = "0007"  # the newest migration; a test compares
MINIMUM_PGVECTOR = (0, 8, 4)  # below it, indexes can be corrupted and memory leaks
MINIMUM_POSTGRES = 15  # NULLS NOT DISTINCT

# A command opens one connection, a worker two; the page's threads share these. A search keeps a
# core of the server busy: more of them at once would only all be slower, so they wait in line.
POOL_SIZE = 8
POOL_PATIENCE_S = 60  # then the page says that it is busy
_RECYCLE_S = 3600  # what a session has cached about many tables and plans is given back
# what the URL says wins, but for what a session must be: see `db.session`
_CLIENT = {
    "connect_timeout": 10,
    "application_name": "reid",
    # psycopg would prepare a statement at its sixth time, and from the eleventh on Postgres may
    # plan it without its values: any filter by a label is then taken to pass half a percent of the
    # rows, the index of one model cannot be used, and a later SET is ignored. A search for twenty
    # images comes that far; between transactions psycopg forgets, where one is rolled back.
    "prepare_threshold": None,
    # a server that vanished without a word is noticed in minutes, not in hours
    "keepalives_idle": 60,
    "keepalives_interval": 10,
    "keepalives_count": 5,
    "tcp_user_timeout": 60_000,
}


class DatabaseUnreachable(ReidError):
    """The database cannot be used; the message says why and what to do."""

    http_status = 503


class WrongSchema(ReidError):
    """The database is newer or older than this program."""

    http_status = 503


class NoHome(UsageError):
    """Nobody knows where this user's data could lie."""

    http_status = 503


@dataclass(frozen=True)
class DatabaseAddress:
    """Where the database is: an embedded server, or the URL of another one."""

    home: Path
    url: str | None = None

    @property
    def embedded(self) -> EmbeddedServer | None:
        return None if self.url else EmbeddedServer(self.home)

    def libpq_url(self) -> str:
        """A URL that psql and pg_dump take; what the shell says about other servers is left out."""
        libpq_environment.leave_out(parse_url(self.url) if self.url else None)
        if self.url:
            return parse_url(self.url).set(drivername="postgresql").render_as_string(False)
        return EmbeddedServer(self.home).url()


def default_home() -> Path:
    """`REID_HOME`, or a folder for the user's data. Raises NoHome."""
    given = Settings.from_environment().home
    base = Path(os.environ.get("XDG_DATA_HOME") or "")
    try:
        if given:
            return Path(given).expanduser().absolute()
        return (base if base.is_absolute() else Path.home() / ".local" / "share") / "reid"
    except RuntimeError:  # of a user whom the system does not know, as containers start programs
        raise NoHome(
            f"user id {os.getuid()} has no home folder; set REID_HOME to a folder of your own"
        ) from None


def resolve() -> DatabaseAddress:
    """The place that the environment names. Raises NoHome where it must be in a home."""
    url = Settings.from_environment().database_url
    try:
        return DatabaseAddress(default_home(), url)
    except NoHome:
        if url is None:
            raise
        return DatabaseAddress(Path(), url)


def make_engine(place: DatabaseAddress) -> Engine:
    """An engine without any check; starts the embedded server."""
    if server := place.embedded:
        server.ensure_running()
    url = parse_url(place.libpq_url()).set(drivername="postgresql+psycopg")
    engine = create_engine(
        url.difference_update_query(["client_encoding"]),
        pool_size=POOL_SIZE,
        max_overflow=0,
        pool_timeout=POOL_PATIENCE_S,
        pool_recycle=_RECYCLE_S,
        pool_use_lifo=True,
        connect_args={
            "client_encoding": "UTF8",
            **{name: value for name, value in _CLIENT.items() if name not in url.query},
        },
    )
    prepare_sessions(engine)
    return engine


def beside(engine: Engine) -> Engine:
    """An engine on the same database, by the same settings, with connections of its own."""
    made = Engine(engine.pool.recreate(), engine.dialect, engine.url)
    prepare_transactions(made)
    return made


@contextmanager
def reach(engine: Engine) -> Iterator[Connection]:
    """A connection; whatever keeps it from being made becomes DatabaseUnreachable."""
    try:
        connection = engine.connect()
    except DBAPIError as error:
        # what has a SQLSTATE was said by a server that let us in
        said = known_sentence(error) if getattr(error.orig, "sqlstate", None) else None
        said = said or unreachable_sentence(engine.url, error.orig)
        raise DatabaseUnreachable(said) from error
    with connection:
        yield connection


def current_revision(connection: Connection) -> str | None:
    """The schema's revision, None for a database without our tables."""
    if connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def check_server(connection: Connection) -> None:
    """Raises DatabaseUnreachable where Postgres or pgvector is missing or too old."""
    major = connection.scalar(text("SELECT current_setting('server_version_num')::int / 10000"))
    if major < MINIMUM_POSTGRES:
        raise DatabaseUnreachable(
            f"the server runs Postgres {major}, expected {MINIMUM_POSTGRES} or newer"
        )
    found: Any = connection.scalar(
        text(
            "SELECT coalesce((SELECT extversion FROM pg_extension WHERE extname = 'vector'),"
            " (SELECT default_version FROM pg_available_extensions WHERE name = 'vector'))"
        )
    )
    needed = ".".join(map(str, MINIMUM_PGVECTOR))
    if found is None:
        raise DatabaseUnreachable(
            f"the server has no pgvector; install pgvector {needed} or newer for its Postgres"
        )
    release = found.partition("-")[0]  # of "0.9.0-dev"
    if tuple(map(int, re.findall(r"\d+", release))) < MINIMUM_PGVECTOR:
        raise DatabaseUnreachable(
            f"the server has pgvector {found}, expected {needed} or newer: install it, "
            "then run ALTER EXTENSION vector UPDATE"
        )
