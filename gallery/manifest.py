"""The manifest: each image x model is pending, leased, done or failed. It is the truth.

A worker holds a Postgres advisory lock on its id for as long as its connection lives. A lease is
free for others when its time is over or its worker's lock is gone, so that the work of a killed
process is taken over at once, by whatever machine asks first.

Through a pooler that lends sessions by the transaction no lock says anything: there a worker's id
is negative, its leases are short, and it renews them while it lives.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from sqlalchemy import Connection, text

from db.each import plain_text
from db.pooler import is_lent

STATES = ("pending", "leased", "done", "failed")
LEASE_S = 600
RENEWED_LEASE_S = 60  # without a lock: so long waits who takes over from a killed worker
_WORKER_LOCK = 0x5E1D0  # the advisory locks' first key: "a worker of Reid search"
MTIMES_NS = range(-(2**63), 2**63)  # what the column can hold: from 1677 to 2262
MAX_ATTEMPTS = 5  # a batch that kills its worker this often is failed, not tried for ever

ALIVE = f"""(task.leased_until > now() AND CASE WHEN task.owner < 0 THEN true ELSE EXISTS (
    SELECT 1 FROM pg_locks l WHERE l.locktype = 'advisory' AND l.granted
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND l.classid = {_WORKER_LOCK} AND l.objid = task.owner::oid) END)"""
_HELD = f"""EXISTS (SELECT 1 FROM task WHERE task.image_id = image.id
    AND task.model_id = :model AND task.state = 'leased' AND {ALIVE})"""


@dataclass(frozen=True)
class FileFacts:
    """A file as its source lists it, and what is told of it: see `images.listing.FoundFile`."""

    path: str
    path_raw: bytes | None
    size_bytes: int | None
    mtime_ns: int
    pid: int | None
    camid: int | None
    captured_at: datetime | None = None

    @property
    def key(self) -> tuple[str, bytes | None]:
        return self.path, self.path_raw


@dataclass(frozen=True)
class Known:
    """What the manifest holds of a file, for one model; `state` is None for another model's."""

    image_id: int
    size_bytes: int | None
    mtime_ns: int | None
    state: str | None
    missing: bool
    source: str  # what it was taken in from

    def is_settled(self, file: FileFacts, source: str) -> bool:
        """Done, from the same source, and unchanged there."""
        same = self.size_bytes == file.size_bytes and self.mtime_ns == file.mtime_ns
        return same and self.source == source and self.state == "done" and not self.missing


@dataclass(frozen=True)
class Claim:
    """A leased item of work, with what the worker must know of its image."""

    image_id: int
    collection_id: int
    source: str
    path: str
    path_raw: bytes | None
    content_hash: bytes | None
    camid: int | None
    allow_any_shape: bool
    recompute: bool
    mtime_ns: int | None = None  # of the content that was registered

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name


def known_files(
    connection: Connection, collection_id: int, model_id: int, paths: Sequence[str] | None = None
) -> dict[tuple[str, bytes | None], Known]:
    """The registered files of a collection by path: all, or those of some paths."""
    among = "" if paths is None else " AND i.path = ANY(:paths)"
    rows = connection.execute(
        text(
            "SELECT i.path, i.path_raw, i.id, i.size_bytes, i.mtime_ns, t.state,"
            " i.missing_since IS NOT NULL, i.source"
            " FROM image i LEFT JOIN task t ON t.image_id = i.id AND t.model_id = :model"
            f" WHERE i.collection_id = :collection{among}"
        ),
        {"model": model_id, "collection": collection_id, "paths": paths},
    )
    return {(row[0], row[1]): Known(*row[2:]) for row in rows}


def register(
    connection: Connection,
    collection_id: int,
    model_id: int,
    source: str,
    files: Sequence[FileFacts],
    *,
    allow_any_shape: bool = False,
    recompute: bool = False,
) -> int:
    """Registers files and makes their tasks pending, unless a living worker holds them.

    With `recompute` their features are computed again, known content or not. Gives the number of
    tasks made pending.
    """
    rows = connection.execute(
        text(
            "INSERT INTO image (collection_id, source, path, path_raw, size_bytes, mtime_ns,"
            " pid, camid, captured_at)"
            " SELECT :collection, :source, f.path, f.path_raw, f.size_bytes, f.mtime_ns, f.pid,"
            " f.camid, f.captured_at FROM unnest(:paths ::text[], :raws ::bytea[],"
            " :sizes ::bigint[], :mtimes ::bigint[], :pids ::int[], :camids ::smallint[],"
            " :times ::timestamptz[]) WITH ORDINALITY"
            " AS f(path, path_raw, size_bytes, mtime_ns, pid, camid, captured_at, position)"
            " ORDER BY f.position"
            " ON CONFLICT (collection_id, path, path_raw) DO UPDATE SET source = excluded.source,"
            # a worker may have read the file before it changed: what it holds stays as it was
            f" size_bytes = CASE WHEN {_HELD} THEN image.size_bytes ELSE excluded.size_bytes END,"
            f" mtime_ns = CASE WHEN {_HELD} THEN image.mtime_ns ELSE excluded.mtime_ns END,"
            " missing_since = NULL"
            " RETURNING id"
        ).columns(),
        {
            "collection": collection_id,
            "model": model_id,
            "source": source,
            "paths": [file.path for file in files],
            "raws": [file.path_raw for file in files],
            "sizes": [file.size_bytes for file in files],
            "mtimes": [file.mtime_ns for file in files],
            "pids": [file.pid for file in files],
            "camids": [file.camid for file in files],
            "times": [file.captured_at for file in files],
        },
    )
    ids = [row[0] for row in rows]
    return connection.execute(
        text(
            "INSERT INTO task (model_id, image_id, allow_any_shape, recompute)"
            " SELECT :model, id, :any_shape, :recompute"
            " FROM unnest(:ids ::bigint[]) AS id ORDER BY id"
            " ON CONFLICT (model_id, image_id) DO UPDATE SET state = 'pending', owner = NULL,"
            " leased_until = NULL, reason = NULL, updated_at = now(),"
            # what was left open by a worker that ended keeps its count: it may be the reason
            " attempts = CASE WHEN task.state IN ('done', 'failed') THEN 0 ELSE task.attempts END,"
            " allow_any_shape = excluded.allow_any_shape, recompute = excluded.recompute"
            f" WHERE NOT (task.state = 'leased' AND {ALIVE})"
        ),
        {
            "model": model_id,
            "ids": ids,
            "any_shape": allow_any_shape,
            "recompute": recompute,
        },
    ).rowcount


def become_worker(connection: Connection) -> int:
    """A new worker id, alive for as long as this connection is open; a negative one, alive for as
    long as it renews its leases, where the connection has no session of its own."""
    worker_id: int = connection.execute(text("SELECT nextval('worker_id')")).scalar_one()
    if is_lent(connection):
        connection.commit()
        return -worker_id
    connection.execute(
        text("SELECT pg_advisory_lock(:kind, :worker)"),
        {"kind": _WORKER_LOCK, "worker": worker_id},
    )
    connection.commit()
    return worker_id


def claim(
    connection: Connection,
    worker_id: int,
    model_id: int,
    limit: int,
    collection_id: int | None = None,
    image_id: int | None = None,
) -> list[Claim]:
    """Leases up to `limit` items that nobody living works on, in the order of registration: of a
    collection, or of one image, where one is named."""
    in_collection = "AND i.collection_id = :collection" if collection_id is not None else ""
    if image_id is not None:
        in_collection += " AND i.id = :image"
    rows = connection.execute(
        text(
            f"""
            WITH free AS (
                SELECT task.image_id FROM task JOIN image i ON i.id = task.image_id
                WHERE task.model_id = :model AND task.state IN ('pending', 'leased')
                AND (task.state = 'pending' OR NOT {ALIVE}) {in_collection}
                AND task.attempts < :most
                ORDER BY task.image_id LIMIT :limit FOR UPDATE OF task SKIP LOCKED
            ), leased AS (
                UPDATE task SET state = 'leased', owner = :worker, attempts = attempts + 1,
                leased_until = now() + make_interval(secs => :lease), updated_at = now()
                FROM free WHERE task.model_id = :model AND task.image_id = free.image_id
                RETURNING task.image_id, task.allow_any_shape, task.recompute
            )
            SELECT i.id, i.collection_id, i.source, i.path, i.path_raw, i.content_hash, i.camid,
            leased.allow_any_shape, leased.recompute, i.mtime_ns
            FROM leased JOIN image i ON i.id = leased.image_id ORDER BY i.id
            """
        ),
        {
            "model": model_id,
            "worker": worker_id,
            "limit": limit,
            "lease": RENEWED_LEASE_S if worker_id < 0 else LEASE_S,
            "most": MAX_ATTEMPTS,
            "collection": collection_id,
            "image": image_id,
        },
    )
    return [Claim(*row) for row in rows]


def renew(connection: Connection, worker_id: int) -> None:
    """Says that a worker without a lock still lives; what was taken over stays with its new one."""
    connection.execute(
        text(
            "UPDATE task SET leased_until = now() + make_interval(secs => :lease)"
            " FROM (SELECT model_id AS m, image_id AS i FROM task WHERE owner = :worker"
            " AND state = 'leased' ORDER BY model_id, image_id FOR UPDATE SKIP LOCKED) AS held"
            " WHERE model_id = m AND image_id = i"
        ),
        {"lease": RENEWED_LEASE_S, "worker": worker_id},
    )


def give_up_exhausted(
    connection: Connection, model_id: int, collection_id: int | None = None
) -> int:
    """Fails what has ended its worker too often; gives the number of items."""
    in_collection = "AND i.collection_id = :collection" if collection_id is not None else ""
    return connection.execute(
        text(
            "UPDATE task SET state = 'failed', owner = NULL, leased_until = NULL,"
            " updated_at = now(), reason = 'the worker ended ' || attempts ||"
            " ' times while it worked on a batch with this file'"
            " FROM (SELECT task.model_id AS m, task.image_id AS i FROM task"
            " JOIN image i ON i.id = task.image_id"
            " WHERE task.model_id = :model AND state IN ('pending', 'leased')"
            f" AND attempts >= :most AND (state = 'pending' OR NOT {ALIVE}) {in_collection}"
            " ORDER BY task.image_id FOR UPDATE OF task SKIP LOCKED) AS ended"
            " WHERE model_id = m AND image_id = i"
        ),
        {"model": model_id, "most": MAX_ATTEMPTS, "collection": collection_id},
    ).rowcount


def release(connection: Connection, worker_id: int) -> int:
    """Gives back what this worker still holds, uncounted; for an orderly end."""
    return connection.execute(
        text(
            "UPDATE task SET state = 'pending', owner = NULL, leased_until = NULL,"
            " attempts = attempts - 1 FROM (SELECT model_id AS m, image_id AS i FROM task"
            " WHERE owner = :worker AND state = 'leased' ORDER BY model_id, image_id FOR UPDATE)"
            " AS held WHERE model_id = m AND image_id = i"
        ),
        {"worker": worker_id},
    ).rowcount


def owned(connection: Connection, worker_id: int, model_id: int, ids: Sequence[int]) -> set[int]:
    """Which of these leases are still this worker's; locked until the transaction ends."""
    rows = connection.execute(
        text(
            "SELECT image_id FROM task WHERE model_id = :model AND image_id = ANY(:ids)"
            " AND owner = :worker AND state = 'leased' ORDER BY image_id FOR UPDATE"
        ),
        {"model": model_id, "ids": list(ids), "worker": worker_id},
    )
    return {row[0] for row in rows}


def finish_tasks(
    connection: Connection, model_id: int, ids: Sequence[int], reasons: Sequence[str | None]
) -> None:
    """Marks items done, or failed where a reason is given; the caller holds their leases."""
    connection.execute(
        text(
            "UPDATE task SET state = CASE WHEN f.reason IS NULL THEN 'done' ELSE 'failed' END,"
            " reason = f.reason, owner = NULL, leased_until = NULL, updated_at = now()"
            " FROM unnest(:ids ::bigint[], :reasons ::text[]) AS f(id, reason)"
            " WHERE task.model_id = :model AND task.image_id = f.id"
        ),
        {
            "model": model_id,
            "ids": list(ids),
            "reasons": [None if reason is None else plain_text(reason) for reason in reasons],
        },
    )


def reopen(connection: Connection, model_id: int, ids: Sequence[int]) -> None:
    """Makes leased items pending again, uncounted; the caller holds their leases."""
    if ids:
        connection.execute(
            text(
                "UPDATE task SET state = 'pending', owner = NULL, leased_until = NULL,"
                " attempts = attempts - 1"
                " WHERE model_id = :model AND image_id = ANY(:ids)"
            ),
            {"model": model_id, "ids": list(ids)},
        )


def with_features(connection: Connection, model_id: int, ids: Sequence[int]) -> set[int]:
    """Which of these images have features of this model."""
    rows = connection.execute(
        text("SELECT image_id FROM feature WHERE model_id = :model AND image_id = ANY(:ids)"),
        {"model": model_id, "ids": list(ids)},
    )
    return {row[0] for row in rows}


def state_counts(connection: Connection, collection_id: int | None = None) -> list[dict[str, Any]]:
    """`{"collection", "model", "pending", "leased", "done", "failed", "missing"}`, by name; of all
    collections, or of one."""
    rows = connection.execute(
        text(
            "SELECT c.name AS collection, m.name AS model,"
            " count(*) FILTER (WHERE t.state = 'pending') AS pending,"
            " count(*) FILTER (WHERE t.state = 'leased') AS leased,"
            " count(*) FILTER (WHERE t.state = 'done') AS done,"
            " count(*) FILTER (WHERE t.state = 'failed') AS failed,"
            " count(*) FILTER (WHERE i.missing_since IS NOT NULL) AS missing"
            " FROM task t JOIN image i ON i.id = t.image_id"
            " JOIN collection c ON c.id = i.collection_id JOIN model m ON m.id = t.model_id"
            " WHERE CAST(:collection AS bigint) IS NULL OR c.id = :collection"
            " GROUP BY c.name, m.name ORDER BY c.name, m.name"
        ),
        {"collection": collection_id},
    )
    return [dict(row._mapping) for row in rows]


def failed_items(
    connection: Connection, collection_id: int | None = None, most: int | None = None
) -> list[dict[str, Any]]:
    """`{"collection", "path", "reason", "attempts"}` of each failed file, or the first, by path."""
    rows = connection.execute(
        text(
            "SELECT c.name AS collection, i.path, t.reason, t.attempts FROM task t"
            " JOIN image i ON i.id = t.image_id JOIN collection c ON c.id = i.collection_id"
            " WHERE t.state = 'failed'"
            " AND (CAST(:collection AS bigint) IS NULL OR c.id = :collection)"
            " ORDER BY c.name, i.path LIMIT CAST(:most AS bigint)"
        ),
        {"collection": collection_id, "most": most},
    )
    return [dict(row._mapping) for row in rows]


def retry(connection: Connection, reason_part: str | None, collection_id: int | None = None) -> int:
    """Makes failed items pending again: all, or those whose reason contains a text, or those of
    a collection."""
    return connection.execute(
        text(
            "UPDATE task SET state = 'pending', attempts = 0, reason = NULL, updated_at = now()"
            " WHERE state = 'failed' AND (CAST(:part AS text) IS NULL"
            " OR position(lower(:part) IN lower(reason)) > 0)"
            " AND (CAST(:collection AS bigint) IS NULL OR EXISTS (SELECT FROM image i"
            " WHERE i.id = task.image_id AND i.collection_id = :collection))"
        ),
        {"part": reason_part, "collection": collection_id},
    ).rowcount


def open_work(connection: Connection, model_id: int, collection_id: int | None) -> int:
    """Number of items not settled yet."""
    count: int = connection.execute(
        text(
            "SELECT count(*) FROM task JOIN image i ON i.id = task.image_id"
            " WHERE model_id = :model AND state IN ('pending', 'leased')"
            " AND (CAST(:collection AS bigint) IS NULL OR i.collection_id = :collection)"
        ),
        {"model": model_id, "collection": collection_id},
    ).scalar_one()
    return count
