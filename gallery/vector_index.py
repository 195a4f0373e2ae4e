"""The approximate index: one HNSW graph a model, over its embeddings in 16 bits.

Partial, with the model's id as a literal: several models in one graph would destroy its recall.
Built after loading, because a load into it takes four times as long; CONCURRENTLY, so that ingest
and search go on meanwhile. Its name says whose it is; nothing else is stored about it but what
`store_facts` is given. Alembic leaves it alone: an index is no part of the schema.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError

from db.driver import driver_of
from db.pooler import own_session
from db.schema import Setting
from errors import ReidError
from gallery.model_rows import ModelRow

# pgvector's m and ef_construction; at a million images its own 16 and 64 find .985, however broadly
NEIGHBOURS, CONSTRUCTION = 24, 128
_PREFIX = "ix_feature_hnsw_"
_LOCK = 0x5E1D4  # with the model's id: "its index is being built or dropped"
_BYTES_A_ROW = 2_800  # of the graph while it is built: 512 halves, 48 neighbours of 16 bytes, heads
_POLL = 0.5  # seconds

Progress = Callable[[str, float], object]  # a phase in words, and its share done in [0, 1]


class IndexBusy(ReidError):
    """Another command builds or drops the same index."""

    http_status = 409


class IndexFailed(ReidError):
    """The index could not be built; the message says why."""


@dataclass(frozen=True)
class IndexRow:
    """A model's index as the database has it. `valid` is False while it is built, and when its
    building was broken off; `rows` is what the last ANALYZE saw; `facts` are what was remembered
    about it."""

    model_id: int
    name: str
    valid: bool
    size_bytes: int
    rows: float
    facts: Mapping[str, Any]


def name_of(model_id: int) -> str:
    return f"{_PREFIX}{model_id}"


def indexes(connection: Connection) -> dict[int, IndexRow]:
    """Return the indexes that are there, whole or not, by model id."""
    rows = connection.execute(
        text(
            "SELECT c.relname, i.indisvalid, pg_relation_size(c.oid) AS size,"
            " greatest(c.reltuples, 0) AS rows, s.value"
            " FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
            " LEFT JOIN setting s ON s.key = c.relname"
            " WHERE i.indrelid = 'feature'::regclass AND starts_with(c.relname, :prefix)"
        ),
        {"prefix": _PREFIX},
    )
    found = {}
    for row in rows:
        model_id = int(row.relname.removeprefix(_PREFIX))
        found[model_id] = IndexRow(
            model_id, row.relname, row.indisvalid, row.size, row.rows, row.value or {}
        )
    return found


def index_of(connection: Connection, model_id: int) -> IndexRow | None:
    """The model's index if it is whole, so that a search may use it."""
    row = indexes(connection).get(model_id)
    return row if row is not None and row.valid else None


def store_facts(connection: Connection, model_id: int, facts: Mapping[str, Any]) -> None:
    """Keeps facts about the index, for as long as there is one."""
    stmt = insert(Setting).values(key=name_of(model_id), value=dict(facts))
    connection.execute(
        stmt.on_conflict_do_update(index_elements=["key"], set_={"value": stmt.excluded.value})
    )


def drop(engine: Engine, model_id: int) -> bool:
    """Removes the index, whole or not; False where there was none. Raises IndexBusy."""
    with _alone(engine, model_id) as connection:
        there = model_id in indexes(connection)
        _drop(connection, model_id)
    return there


def build(engine: Engine, model: ModelRow, on_progress: Progress | None = None) -> None:
    """Builds the index; what a broken-off build left behind is removed first.

    Ends early with the exception that `on_progress` raises, or with Ctrl-C, and leaves nothing
    behind. Raises IndexBusy, IndexFailed.
    """
    with _alone(engine, model.id) as connection:
        _drop(connection, model.id)
        _give_memory(connection, model.id)
        try:
            _watched(engine, connection, _statement(model), on_progress)
        except BaseException:
            _drop(connection, model.id)
            raise


def _statement(model: ModelRow) -> str:
    # whole numbers of our own: DDL takes no parameters
    column = f"(embedding::halfvec({model.dimension:d})) halfvec_l2_ops"
    return (
        f"CREATE INDEX CONCURRENTLY {name_of(model.id)} ON feature USING hnsw ({column})"
        f" WITH (m = {NEIGHBOURS}, ef_construction = {CONSTRUCTION})"
        f" WHERE model_id = {model.id:d}"
    )


@contextmanager
def _alone(engine: Engine, model_id: int) -> Iterator[Connection]:
    """A connection outside transactions that holds the index's lock; it is not used again.

    Raises NeedsSession.
    """
    with own_session(engine, "an approximate index") as connection:
        taken = connection.scalar(
            text("SELECT pg_try_advisory_lock(:kind, CAST(:id AS int))"),
            {"kind": _LOCK, "id": model_id},
        )
        if not taken:
            raise IndexBusy("another command builds or drops this index; wait for it to end")
        yield connection


def _drop(connection: Connection, model_id: int) -> None:
    connection.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS {name_of(model_id)}"))
    connection.execute(text("DELETE FROM setting WHERE key = :key"), {"key": name_of(model_id)})


def _give_memory(connection: Connection, model_id: int) -> None:
    """A graph that does not fit `maintenance_work_mem` is built several times slower."""
    # effective_cache_size is what the server was told of its machine's memory
    kilobytes: int = connection.execute(
        text(
            "SELECT greatest(pg_size_bytes(current_setting('maintenance_work_mem')),"
            " least(pg_size_bytes(current_setting('effective_cache_size')) / 2,"
            " count(*) * :each)) / 1024 FROM feature WHERE model_id = :model"
        ),
        {"each": _BYTES_A_ROW, "model": model_id},
    ).scalar_one()
    connection.execute(text(f"SET maintenance_work_mem = '{int(kilobytes)}kB'"))


def _watched(
    engine: Engine, connection: Connection, statement: str, on_progress: Progress | None
) -> None:
    """Runs the statement on a thread and tells its progress, asked on another connection."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            connection.execute(text(statement))
        except BaseException as error:
            failures.append(error)

    driver = driver_of(connection)
    builder = threading.Thread(target=run)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as watcher:
        builder.start()
        try:
            while builder.is_alive():
                if on_progress:
                    _tell(watcher, driver.info.backend_pid, on_progress)
                builder.join(_POLL)
        except BaseException:
            driver.cancel_safe()
            builder.join()
            raise
    if failures:
        raise _failure(failures[0]) from failures[0]


def _failure(error: BaseException) -> BaseException:
    cause = getattr(error, "orig", error)
    said = " ".join(str(cause).split())[:200]
    if isinstance(cause, psycopg.errors.DiskFull) and "shared memory" in said:
        return IndexFailed(
            "the server's container has too little shared memory for a parallel build; give it "
            f"more (`shm_size` in docker-compose.yml), then run it again ({said})"
        )
    if isinstance(error, DBAPIError):
        return error
    return IndexFailed(f"the index could not be built: {said}")


_PHASES = {
    "initializing": "starts",
    "building index": "starts",
    "building index: initializing": "starts",
    "building index: loading tuples": "builds the graph",
    "index validation: scanning index": "looks for rows that came meanwhile",
    "index validation: sorting tuples": "looks for rows that came meanwhile",
    "index validation: scanning table": "looks for rows that came meanwhile",
}


def _tell(watcher: Connection, pid: int, on_progress: Progress) -> None:
    row = watcher.execute(
        text(
            "SELECT phase, blocks_done, blocks_total FROM pg_stat_progress_create_index"
            " WHERE pid = :pid"
        ),
        {"pid": pid},
    ).one_or_none()
    if row is None:
        return
    # the other phases wait for transactions that are older than the index
    phase = _PHASES.get(row.phase, "waits for other transactions to end")
    on_progress(phase, row.blocks_done / row.blocks_total if row.blocks_total else 0.0)
