"""Erasure: a picture goes wherever its content is stored, and a hash keeps it from coming back.

Tombstones come first, in a transaction that holds every collection alone: a batch or a query that
is stored later sees them, one that was stored before is found. What has a tombstone is then removed
in chunks, a transaction each. Killed anywhere, the next run finds what is left by the tombstones.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from db.audit import actor
from gallery import centring
from gallery.collections import all_collections, lock_collections, raise_revision
from gallery.counts import fold_counts

CHUNK = 1_000  # images of one transaction
_QUERIES_AT_ONCE = 100  # each may have some thousand matches in every run


@dataclass(frozen=True)
class Named:
    """What is to be erased: images by number; all of some collections, or those of one person in
    them; contents by their SHA-256."""

    image_ids: tuple[int, ...] = ()
    collection_ids: tuple[int, ...] = ()
    pid: int | None = None
    hashes: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Contents:
    """The contents that this comes to, `named` images, and those of them of which no content is
    known, since they were never read."""

    hashes: tuple[bytes, ...]
    unread: tuple[int, ...] = ()
    named: int = 0

    def values(self) -> dict[str, list[bytes] | list[int]]:
        return {"hashes": list(self.hashes), "unread": list(self.unread)}


@dataclass(frozen=True)
class Extent:
    """What goes with some contents. `runs` lose matches or queries; `since` is when the first of
    the images was taken in."""

    images: int
    features: int
    matches: int
    verdicts: int
    queries: int
    query_sets: int
    runs: int
    since: datetime | None


def lock_everything(connection: Connection) -> None:
    """Lock every collection until the transaction ends; to be called before any row is touched."""
    lock_collections(connection, (row.id for row in all_collections(connection)), exclusive=True)


_NAMED = (
    "SELECT id, content_hash FROM image WHERE id = ANY(:ids) OR (collection_id = ANY(:collections)"
    " AND (CAST(:pid AS int) IS NULL OR pid = :pid)) ORDER BY id"
)
# a query whose image is stored belongs to that image's identity space, another to where it asks
_ASKED_FOR = (
    "SELECT DISTINCT x.content_hash FROM query q JOIN query_image x ON x.query_id = q.id"
    " LEFT JOIN image i ON i.id = x.image_id LEFT JOIN collection own ON own.id = i.collection_id"
    " WHERE q.pid = :pid AND EXISTS (SELECT FROM question_gallery g"
    " JOIN collection c ON c.id = g.collection_id"
    " JOIN collection n ON n.identities = c.identities AND n.id = ANY(:collections)"
    " WHERE g.question_id = q.question_id"
    " AND coalesce(own.identities, c.identities) = c.identities)"
)


def contents_of(connection: Connection, named: Named) -> Contents:
    """Find the contents that are named; of a person, also the pictures of stored queries for
    them."""
    values = {
        "ids": list(named.image_ids),
        "collections": list(named.collection_ids),
        "pid": named.pid,
    }
    rows = connection.execute(text(_NAMED), values).all()
    hashes = {bytes(row.content_hash) for row in rows if row.content_hash is not None}
    if named.pid is not None:
        hashes |= set(map(bytes, connection.scalars(text(_ASKED_FOR), values)))
    unread = tuple(row.id for row in rows if row.content_hash is None)
    return Contents(tuple(sorted(hashes | set(named.hashes))), unread, len(rows))


def left_over(connection: Connection) -> Contents:
    """What is stored although it has a tombstone: an erasure was broken off, or an older backup
    restored and the tombstones put back."""
    rows = connection.scalars(
        text(
            "SELECT content_hash FROM tombstone t"
            " WHERE EXISTS (SELECT FROM image i WHERE i.content_hash = t.content_hash)"
            " OR EXISTS (SELECT FROM query_image x WHERE x.content_hash = t.content_hash)"
            " ORDER BY content_hash"
        )
    )
    return Contents(tuple(map(bytes, rows)))


_IMAGES = "SELECT id FROM image WHERE content_hash = ANY(:hashes) OR id = ANY(:unread)"
_QUERIES = "SELECT DISTINCT query_id FROM query_image WHERE content_hash = ANY(:hashes)"


def image_ids_of(connection: Connection, contents: Contents) -> list[int]:
    """Return the ids of every image with one of these contents, and of the unread ones; in
    order."""
    return list(connection.scalars(text(f"{_IMAGES} ORDER BY id"), contents.values()))


def query_ids_of(connection: Connection, contents: Contents) -> list[int]:
    """Return the ids of every stored query with an image of one of these contents; in order."""
    stmt = text(f"{_QUERIES} ORDER BY query_id")
    return list(connection.scalars(stmt, {"hashes": list(contents.hashes)}))


def _of_both(what: str, table: str) -> str:
    """Rows that hang on one of the images or the queries: each once, both found by their index."""
    return (
        f"SELECT {what} FROM {table} WHERE image_id IN (SELECT id FROM i)"
        f" UNION SELECT {what} FROM {table} WHERE query_id IN (SELECT query_id FROM q)"
    )


_EXTENT = text(
    f"WITH i AS MATERIALIZED ({_IMAGES}), q AS MATERIALIZED ({_QUERIES}),"
    f" m AS MATERIALIZED ({_of_both('run_id, query_id, rank', 'match')})"
    " SELECT (SELECT count(*) FROM i) AS images,"
    " (SELECT count(*) FROM feature WHERE image_id IN (SELECT id FROM i)) AS features,"
    " (SELECT count(*) FROM m) AS matches,"
    f" (SELECT count(*) FROM ({_of_both('id', 'verdict')}) AS v) AS verdicts,"
    " (SELECT count(*) FROM q) AS queries,"
    " (SELECT count(*) FROM (SELECT FROM query GROUP BY query_set_id"
    " HAVING bool_and(id IN (SELECT query_id FROM q))) AS s) AS query_sets,"
    " (SELECT count(*) FROM (SELECT run_id FROM m UNION SELECT run_id FROM run_query"
    " WHERE query_id IN (SELECT query_id FROM q)) AS r) AS runs,"
    " (SELECT min(ingested_at) FROM image WHERE id IN (SELECT id FROM i)) AS since"
)


def extent(connection: Connection, contents: Contents) -> Extent:
    """Counts without changing anything."""
    return Extent(**connection.execute(_EXTENT, contents.values()).one()._mapping)


def files_of(connection: Connection, ids: Sequence[int]) -> Iterator[tuple[str, str, bytes | None]]:
    """(source, path, path_raw) of images: where their files were when they were taken in."""
    stmt = text("SELECT source, path, path_raw FROM image WHERE id = ANY(:ids) ORDER BY id")
    for start in range(0, len(ids), CHUNK):
        for row in connection.execute(stmt, {"ids": list(ids[start : start + CHUNK])}):
            yield row.source, row.path, row.path_raw


def add_tombstones(connection: Connection, hashes: Sequence[bytes], reason: str | None) -> None:
    """Leaves tombstones; one that is there keeps its actor, reason and time."""
    connection.execute(
        text(
            "INSERT INTO tombstone (content_hash, actor, reason)"
            " SELECT hash, :actor, :reason FROM unnest(:hashes ::bytea[]) AS hash"
            " ON CONFLICT (content_hash) DO NOTHING"
        ),
        {"hashes": list(hashes), "actor": actor(), "reason": reason},
    )


def remove_tombstones(connection: Connection, hashes: Sequence[bytes]) -> int:
    """Takes tombstones away, so that these contents may be taken in again; gives their number."""
    stmt = text("DELETE FROM tombstone WHERE content_hash = ANY(:hashes)")
    return connection.execute(stmt, {"hashes": list(hashes)}).rowcount


_EMPTY_PERSONS = text(
    "DELETE FROM person p WHERE NOT EXISTS (SELECT FROM person_image i WHERE i.person_id = p.id)"
)
# by cascade the rows of each image would be looked for on their own, and counted on their own
_OF_AN_IMAGE = ("verdict", "match", "person_image", "thumbnail", "feature", "task")


def remove_images(connection: Connection, ids: Sequence[int]) -> None:
    """Removes images with all that hangs on them; runs over their galleries become stale.

    The caller holds their collections alone.
    """
    values = {"ids": list(ids)}
    for table in _OF_AN_IMAGE:
        connection.execute(text(f"DELETE FROM {table} WHERE image_id = ANY(:ids)"), values)
    connection.execute(_EMPTY_PERSONS)
    stmt = text("DELETE FROM image WHERE id = ANY(:ids) RETURNING collection_id")
    for collection_id in sorted(set(connection.scalars(stmt, values))):
        raise_revision(connection, collection_id)
        fold_counts(connection, collection_id)
        centring.forget_soon(connection, [collection_id])


def remove_queries(connection: Connection, ids: Sequence[int]) -> None:
    """Removes stored queries with their images, matches and verdicts; then questions and sets that
    hold no query any more: their words may name who was asked for."""
    rows = connection.execute(
        text("DELETE FROM query WHERE id = ANY(:ids) RETURNING question_id, query_set_id"),
        {"ids": list(ids)},
    ).all()
    for table, column, position in (
        ("question", "question_id", 0),
        ("query_set", "query_set_id", 1),
    ):
        connection.execute(
            text(
                f"DELETE FROM {table} t WHERE id = ANY(:ids)"
                f" AND NOT EXISTS (SELECT FROM query q WHERE q.{column} = t.id)"
            ),
            {"ids": sorted({row[position] for row in rows})},
        )


def chunks(
    image_ids: Sequence[int], query_ids: Sequence[int]
) -> Iterator[tuple[Callable[[Connection, Sequence[int]], None], list[int]]]:
    """How to remove what, in parts of one transaction each."""
    parts = ((remove_queries, query_ids, _QUERIES_AT_ONCE), (remove_images, image_ids, CHUNK))
    for remove, ids, size in parts:
        for start in range(0, len(ids), size):
            yield remove, list(ids[start : start + size])


def never_seen(connection: Connection, image_ids: Sequence[int]) -> list[int]:
    """Which of these numbers are neither stored nor erased, as far as the audit log goes back."""
    rows = connection.scalars(
        text(
            "SELECT n FROM unnest(:ids ::bigint[]) AS n"
            " WHERE NOT EXISTS (SELECT FROM image WHERE id = n)"
            " AND NOT EXISTS (SELECT FROM audit WHERE action = 'erase' AND n = ANY(result_ids))"
        ),
        {"ids": list(image_ids)},
    )
    return list(rows)


def remove_if_empty(connection: Connection, collection_id: int) -> None:
    """Removes a collection whose images are all erased; what came meanwhile keeps it."""
    lock_collections(connection, [collection_id], exclusive=True)
    connection.execute(
        text(
            "DELETE FROM collection c WHERE id = :id"
            " AND NOT EXISTS (SELECT FROM image i WHERE i.collection_id = c.id)"
        ),
        {"id": collection_id},
    )
