"""Terms after which what is stored goes by itself: of images, stored queries and the audit log.

The clock is the database server's. An image's age counts from when its content was last taken in
(`image.ingested_at`), a stored query's from when it was added (`question.created_at`), a row of the
audit log's from when it was written.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import psycopg
from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError

from db.schema import Setting
from errors import ReidError
from gallery import erase_rows

REASON = "retention"  # of a tombstone; of a collection's own term its name stands behind
_KEY = "retention"
_AUDIT_AT_ONCE = 20_000  # rows; nobody can search while they are removed
_AUDIT_PATIENCE_S = 10


class LogInUse(ReidError):
    """The audit log could not be had alone."""

    http_status = 409


@dataclass(frozen=True)
class Terms:
    """Days; None keeps for ever. A collection's own term takes the place of the general one, which
    is that of stored queries too."""

    days: int | None = None
    audit_days: int | None = None
    collections: Mapping[str, int] = field(default_factory=dict)

    @property
    def longest(self) -> int:
        """Return the longest term of images; 0 without any."""
        return max([self.days or 0, *self.collections.values()])


def terms(connection: Connection, *, to_change: bool = False) -> Terms:
    """What is set; `to_change` keeps others from changing it until the transaction ends."""
    if to_change:
        connection.execute(text("LOCK TABLE setting IN SHARE ROW EXCLUSIVE MODE"))
    value = connection.scalar(text("SELECT value FROM setting WHERE key = :key"), {"key": _KEY})
    return Terms(**(value or {}))


def set_terms(connection: Connection, wanted: Terms) -> None:
    stmt = insert(Setting).values(key=_KEY, value=asdict(wanted))
    connection.execute(
        stmt.on_conflict_do_update(index_elements=["key"], set_={"value": stmt.excluded.value})
    )


_OLD = (
    "SELECT i.id, i.content_hash, c.name, own.value IS NOT NULL AS is_own"
    " FROM image i JOIN collection c ON c.id = i.collection_id"
    " LEFT JOIN jsonb_each_text(CAST(:own AS jsonb)) own ON own.key = c.name"
    " WHERE i.ingested_at < now()"
    " - make_interval(days => coalesce(CAST(own.value AS int), CAST(:days AS int)))"
)
# with the first old image that has its bytes, and anyway when it is older than the general term
_OLD_QUERIES = (
    f"WITH old AS MATERIALIZED ({_OLD}) SELECT q.id FROM query q"
    " JOIN question n ON n.id = q.question_id"
    " WHERE n.created_at < now() - make_interval(days => CAST(:days AS int))"
    " OR q.id IN (SELECT x.query_id FROM query_image x"
    " JOIN old ON old.content_hash = x.content_hash)"
)


def old_images(connection: Connection, wanted: Terms, limit: int | None = None) -> list[int]:
    """The numbers of images that are older than their term, in order."""
    stmt = text(f"SELECT id FROM ({_OLD}) AS old ORDER BY id LIMIT :limit")
    return list(connection.scalars(stmt, {**_values(wanted), "limit": limit}))


def old_queries(connection: Connection, wanted: Terms, limit: int | None = None) -> list[int]:
    """The numbers of stored queries that are to go, in order."""
    stmt = text(f"{_OLD_QUERIES} ORDER BY q.id LIMIT :limit")
    return list(connection.scalars(stmt, {**_values(wanted), "limit": limit}))


def _values(wanted: Terms) -> dict[str, object]:
    return {"days": wanted.days, "own": json.dumps(dict(wanted.collections))}


def remove_images(connection: Connection, wanted: Terms, ids: list[int]) -> None:
    """Removes old images; contents that nobody holds any more are kept out as long as the term is
    set, since the files may still lie where the next ingest looks."""
    stmt = text(f"SELECT * FROM ({_OLD}) AS old WHERE id = ANY(:ids) AND content_hash IS NOT NULL")
    rows = connection.execute(stmt, {**_values(wanted), "ids": ids}).all()
    reasons = {bytes(row.content_hash): reason(row.name if row.is_own else None) for row in rows}
    erase_rows.remove_images(connection, ids)
    _bury_unheld(connection, reasons)


def remove_queries(connection: Connection, ids: list[int]) -> None:
    """Removes old stored queries, as `remove_images` does."""
    stmt = text("SELECT content_hash FROM query_image WHERE query_id = ANY(:ids)")
    hashes = [bytes(found) for found in connection.scalars(stmt, {"ids": ids})]
    erase_rows.remove_queries(connection, ids)
    _bury_unheld(connection, dict.fromkeys(hashes, REASON))


def reason(collection: str | None) -> str:
    """What tombstones of the general term say, or of a collection's own."""
    return REASON if collection is None else f"{REASON} of {collection}"


def _bury_unheld(connection: Connection, reasons: Mapping[bytes, str]) -> None:
    stmt = text(
        "SELECT hash FROM unnest(:hashes ::bytea[]) AS hash"
        " WHERE NOT EXISTS (SELECT FROM image WHERE content_hash = hash)"
        " AND NOT EXISTS (SELECT FROM query_image WHERE content_hash = hash)"
    )
    unheld = [bytes(found) for found in connection.scalars(stmt, {"hashes": list(reasons)})]
    for said in sorted({reasons[found] for found in unheld}):
        erase_rows.add_tombstones(
            connection, [found for found in unheld if reasons[found] == said], said
        )


def remove_retention_tombstones(connection: Connection, collection: str | None) -> int:
    """Lets in again what a term has removed: a collection's own, or all of them; gives a count."""
    words = "reason = :reason" if collection else "reason = :reason OR starts_with(reason, :below)"
    return connection.execute(
        text(f"DELETE FROM tombstone WHERE {words}"),
        {"reason": reason(collection), "below": f"{REASON} of "},
    ).rowcount


@dataclass(frozen=True)
class AuditRows:
    """How many rows of the audit log were removed, and the first and last of their numbers."""

    rows: int
    first: int
    last: int


def old_audit_rows(connection: Connection, wanted: Terms) -> int:
    """How many rows of the audit log are older than their term."""
    count: int = connection.execute(
        text(
            "SELECT count(*) FROM audit"
            " WHERE at < now() - make_interval(days => CAST(:days AS int))"
        ),
        {"days": wanted.audit_days},
    ).scalar_one()
    return count


def remove_audit_rows(connection: Connection, wanted: Terms) -> AuditRows | None:
    """Removes the oldest rows that are older than their term, None where none is.

    The trigger that refuses this is switched off for this transaction, in which nobody else can add
    rows; only the table's owner can. Raises LogInUse.
    """
    try:
        connection.execute(text(f"SET LOCAL lock_timeout = '{_AUDIT_PATIENCE_S}s'"))
        connection.execute(text("ALTER TABLE audit DISABLE TRIGGER audit_append_only"))
    except DBAPIError as error:
        if isinstance(error.orig, psycopg.errors.LockNotAvailable):
            raise LogInUse(
                "the audit log is being written to by a long command; run it again later"
            ) from error
        raise
    removed = connection.execute(
        text(
            "DELETE FROM audit WHERE id = ANY(ARRAY(SELECT id FROM audit"
            " WHERE at < now() - make_interval(days => CAST(:days AS int))"
            " ORDER BY id LIMIT :limit)) RETURNING id"
        ),
        {"days": wanted.audit_days, "limit": _AUDIT_AT_ONCE},
    )
    ids = list(removed.scalars())
    connection.execute(text("ALTER TABLE audit ENABLE TRIGGER audit_append_only"))
    return AuditRows(len(ids), min(ids), max(ids)) if ids else None
