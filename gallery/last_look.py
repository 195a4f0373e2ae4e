"""What sources held beside their images at the last look: passed over, or refused with a reason."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import ARRAY, BigInteger, Connection, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from db.each import plain_text

MOST = 10_000  # refused files of a source that are named; the others are counted by the ingest

_BEFORE = text(
    """
    DELETE FROM last_look WHERE collection_id = :collection AND source = :source
    RETURNING refused
    """
)
_REMEMBER = text(
    """
    INSERT INTO last_look (collection_id, source, passed_over, refused)
    VALUES (:collection, :source, :passed_over, :refused)
    """
).bindparams(bindparam("passed_over", type_=JSONB), bindparam("refused", type_=JSONB))
_REFUSED = text(
    """
    SELECT c.name AS collection, r.key AS path, r.value AS reason, 0 AS attempts
    FROM last_look l JOIN collection c ON c.id = l.collection_id, jsonb_each_text(l.refused) AS r
    WHERE CAST(:collection AS bigint) IS NULL OR c.id = :collection
    ORDER BY c.name, r.key COLLATE "C"
    """
)
_BY_COLLECTION = text(
    """
    SELECT c.name AS collection,
    coalesce((SELECT jsonb_object_agg(kind, files) FROM (
        SELECT p.key AS kind, sum(p.value::bigint) AS files
        FROM last_look o, jsonb_each_text(o.passed_over) AS p
        WHERE o.collection_id = c.id GROUP BY p.key) AS kinds), '{}') AS passed_over,
    sum((SELECT count(*) FROM jsonb_object_keys(l.refused))) AS refused
    FROM last_look l JOIN collection c ON c.id = l.collection_id
    WHERE CAST(:collection AS bigint) IS NULL OR c.id = :collection
    GROUP BY c.id, c.name
    """
)
_FORGET = text(
    """
    UPDATE last_look SET refused = '{}' WHERE collection_id = ANY(:ids) AND refused <> '{}'
    """
).bindparams(bindparam("ids", type_=ARRAY(BigInteger)))


def remember(
    connection: Connection,
    collection_id: int,
    source: str,
    passed_over: Mapping[str, int],
    refused: Mapping[str, str],
    taken_in: Collection[str] | None = None,
) -> None:
    """Keeps what a source came to. With `taken_in`, only a part of it was looked at: what was
    refused before stays, but for those paths."""
    values = {"collection": collection_id, "source": source}
    before = connection.execute(_BEFORE, values).scalars().all()
    named = {}
    if taken_in is not None:
        gone = set(taken_in)
        named = {path: why for old in before for path, why in old.items() if path not in gone}
    named |= {plain_text(path): plain_text(why) for path, why in refused.items()}
    first = dict(sorted(named.items())[:MOST])
    counts = {plain_text(kind): count for kind, count in passed_over.items()}
    connection.execute(_REMEMBER, {**values, "passed_over": counts, "refused": first})


def refused_items(connection: Connection, collection_id: int | None = None) -> list[dict[str, Any]]:
    """`{"collection", "path", "reason", "attempts"}` of each refused file, by path."""
    rows = connection.execute(_REFUSED, {"collection": collection_id})
    return [dict(row._mapping) for row in rows]


def by_collection(
    connection: Connection, collection_id: int | None = None
) -> dict[str, tuple[dict[str, int], int]]:
    """Return, by collection, the files passed over by kind and the number of refused ones."""
    rows = connection.execute(_BY_COLLECTION, {"collection": collection_id})
    return {row.collection: (dict(row.passed_over), int(row.refused)) for row in rows}


def forget_names(connection: Connection, collection_ids: Collection[int]) -> None:
    """Takes the names of refused files away: one of them may be of who was erased."""
    connection.execute(_FORGET, {"ids": list(collection_ids)})
