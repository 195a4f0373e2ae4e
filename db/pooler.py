"""Poolers between us and the server. One that lends a session for a transaction only (pgbouncer's
`pool_mode = transaction`) keeps no lock and no setting for us, but for others, and for ever."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, text

from db.connect import DatabaseAddress, make_engine
from db.session import session_of
from errors import ReidError
from settings import Settings

_TRIES = 3
_lending: "WeakKeyDictionary[Engine, bool]" = WeakKeyDictionary()


class NeedsSession(ReidError):
    """What is asked for needs a session of its own, and the URL leads through a pooler."""

    http_status = 503


def is_lent(connection: Connection) -> bool:
    """Whether this connection's next transaction may be in another session."""
    return session_of(connection).pooled and lends_sessions(connection.engine)


def lends_sessions(engine: Engine) -> bool:
    """Whether sessions are lent by the transaction: shown where two connections get one session, or
    one connection gets two."""
    if engine not in _lending:
        with engine.connect() as first:
            _lending[engine] = session_of(first).pooled and _is_lent(engine, first)
    return _lending[engine]


def _is_lent(engine: Engine, first: Connection) -> bool:
    with engine.connect() as second:
        return _share_sessions(first, second)


def _share_sessions(first: Connection, second: Connection) -> bool:
    of: tuple[set[int], set[int]] = (set(), set())
    for _ in range(_TRIES):
        for connection, pids in zip((first, second), of, strict=True):
            pids.add(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
            connection.rollback()
    return len(of[0] | of[1]) != 2 or bool(of[0] & of[1])


@contextmanager
def own_sessions(engine: Engine, what: str) -> Iterator[Engine]:
    """The engine, or one on `REID_DIRECT_URL` where the first leads through a pooler that lends
    sessions. Raises NeedsSession, which says `what` needs one, where that is not set."""
    if not lends_sessions(engine):
        yield engine
        return
    url = Settings.from_environment().direct_url
    if not url:
        raise NeedsSession(
            f"{what} needs a session of its own, and REID_DATABASE_URL leads through a pooler that "
            "lends sessions by the transaction; set REID_DIRECT_URL to the server's own address"
        )
    direct = make_engine(DatabaseAddress(Path(), url))
    try:
        yield direct
    finally:
        direct.dispose()


@contextmanager
def own_session(engine: Engine, what: str) -> Iterator[Connection]:
    """A connection outside of transactions, which is nobody else's and is not used again: its
    locks and settings are its own. Raises NeedsSession."""
    with own_sessions(engine, what) as direct:
        alone = direct.connect().execution_options(isolation_level="AUTOCOMMIT")
        with alone as connection:
            connection.detach()
            yield connection
