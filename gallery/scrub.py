"""Removed rows leave the tables' files, the indexes and the planner's statistics.

A VACUUM frees the room of removed rows, and leaves their bytes in it until something is stored
there: of 43 removed images, 21 thumbnails and 14 embeddings were still in the files after one. Only
tables that are written anew hold nothing of them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from db.pooler import own_session
from errors import PartialFailure
from gallery import vector_index

# what holds anything of an image or a stored query
TABLES = (
    "thumbnail", "query_image", "query_embedding", "image", "task", "verdict", "match",
    "run_query", "run", "last_look", "query", "question", "question_gallery", "query_set",
    "camera_mean", "person_grouping", "person_image", "person", "feature",
)  # fmt: skip
PATIENCE_S = 60  # for a table that somebody reads; meanwhile everybody else waits behind us
_PENDING = "erasure"
_STATISTICS = (
    "SELECT pg_clear_attribute_stats(schemaname, tablename, attname, inherited) FROM pg_stats"
    " WHERE tablename = :table AND schemaname = (SELECT relnamespace::regnamespace::text"
    " FROM pg_class WHERE oid = to_regclass(:table))"
)

OnTable = Callable[[str], object]


class BytesLeft(PartialFailure):
    """Rows are removed, but bytes of them may still lie in the files of the database."""


def set_pending(connection: Connection) -> None:
    """Notes that removed rows still lie in the files, until `rewrite` has ended."""
    connection.execute(
        text("INSERT INTO setting (key, value) VALUES (:key, '{}') ON CONFLICT (key) DO NOTHING"),
        {"key": _PENDING},
    )


def is_pending(connection: Connection) -> bool:
    """Whether `rewrite` was put off, or broken off."""
    found = connection.scalar(text("SELECT 1 FROM setting WHERE key = :key"), {"key": _PENDING})
    return found is not None


def vacuum(engine: Engine) -> None:
    """Makes the room of removed rows free for others, out of nobody's way."""
    with _outside(engine) as connection:
        for table in TABLES:
            connection.execute(text(f"VACUUM (ANALYZE) {table}"))
        _forget_statistics(connection)


def rewrite(engine: Engine, on_table: OnTable | None = None) -> list[str]:
    """Writes the tables and their indexes anew; each is closed to everybody meanwhile.

    Approximate indexes, which would take hours under that lock, are dropped: gives their names.
    Raises BytesLeft where a table is in use for longer than PATIENCE_S; what was done stays done.
    """
    with engine.connect() as connection:
        found = vector_index.indexes(connection)
    for model_id in found:
        vector_index.drop(engine, model_id)
    with _outside(engine) as connection:
        connection.execute(text(f"SET lock_timeout = '{PATIENCE_S}s'"))
        for table in TABLES:
            if on_table:
                on_table(table)
            _rewrite(connection, table)
        if not _forget_statistics(connection):
            raise BytesLeft(
                "everything is removed, but the planner's statistics could not be written anew, so "
                "that examples of file names may still lie in their file; run `reid erase` again "
                "once the database is in less use, as its owner"
            )
        connection.execute(text("DELETE FROM setting WHERE key = :key"), {"key": _PENDING})
    return [index.name for index in found.values()]


def _rewrite(connection: Connection, table: str) -> None:
    try:
        connection.execute(text(f"VACUUM (FULL, ANALYZE) {table}"))
    except DBAPIError as error:
        if isinstance(error.orig, psycopg.errors.LockNotAvailable):
            raise BytesLeft(
                f"everything is removed, but table {table!r} was in use, so that its file may "
                "still hold bytes of it; run `reid erase` once nobody searches or ingests"
            ) from error
        raise


def _forget_statistics(connection: Connection) -> bool:
    """The planner keeps examples of a table's values, file names among them. ANALYZE replaces
    them, but not those of a table that has become empty. Postgres 18 can take them away.

    False where the old examples stay in the file, of which they are removed rows themselves.
    """
    can = connection.scalar(
        text("SELECT 1 FROM pg_proc WHERE proname = 'pg_clear_attribute_stats'")
    )
    for table in TABLES:
        if can and not connection.scalar(text(f"SELECT EXISTS (SELECT FROM {table})")):
            connection.execute(text(_STATISTICS), {"table": table})
    try:
        connection.execute(text("VACUUM FULL pg_statistic"))
    except DBAPIError:
        return False
    return True


@contextmanager
def _outside(engine: Engine) -> Iterator[Connection]:
    """A connection outside of transactions, with settings of its own. Raises NeedsSession."""
    with own_session(engine, "writing tables anew") as connection:
        connection.execute(text("SET statement_timeout = 0"))
        yield connection
