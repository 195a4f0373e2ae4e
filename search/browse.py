"""Long lists in order of their keys, a piece at a time: images of a collection, matches of a run.

The next piece starts after the last key of this one, wherever that stands by then: nothing is
shown twice or skipped while images come and go.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from db.models import ModelRow
from db.schema import Feature
from search.filters.tree import Filter
from search.question import Question, Scope
from search.read_run import UnknownRun
from search.statement import passing
from search.verdicts import SAID
from vocabulary import describe


@dataclass(frozen=True)
class StoredImage:
    """An image of a collection. What reading gives is None until it was read; `quality` and
    `attributes` are the model's, None where it has not embedded the image."""

    id: int
    collection: str
    path: str
    content_hash: str | None
    width: int | None
    height: int | None
    pid: int | None
    camid: int | None
    ingested_at: datetime
    missing: bool
    model: str
    quality: float | None
    attributes: dict[str, str] | None


@dataclass(frozen=True)
class RunMatch:
    """A match of a run with the query it belongs to, and the verdict that stands now. `query_id`
    and `stored_rank` are its key; `rank` counts what is left of the list, from 1."""

    query_id: int
    stored_rank: int
    query: str
    rank: int
    image_id: int
    collection: str
    path: str
    distance: float | None
    pid: int | None
    camid: int | None
    verdict: str | None


def images_by_id(
    connection: Connection, model: ModelRow, ids: Sequence[int]
) -> dict[int, StoredImage]:
    """What is stored of these images; those that are not there are left out."""
    rows = connection.execute(
        text(
            "SELECT i.id, c.name AS collection, i.path, encode(i.content_hash, 'hex') AS hash,"
            " i.width, i.height, i.pid, i.camid, i.ingested_at, i.missing_since, f.quality,"
            " f.labels FROM image i JOIN collection c ON c.id = i.collection_id"
            " LEFT JOIN feature f ON f.image_id = i.id AND f.model_id = :model"
            " WHERE i.id = ANY(:ids)"
        ),
        {"model": model.id, "ids": list(ids)},
    )
    return {
        row.id: StoredImage(
            row.id, row.collection, row.path, row.hash, row.width, row.height, row.pid, row.camid,
            row.ingested_at, row.missing_since is not None, model.name, row.quality,
            None if row.labels is None else describe(row.labels),
        )
        for row in rows
    }  # fmt: skip


def images_after(
    connection: Connection, scope: Scope, filter: Filter | None, after: int, limit: int
) -> list[StoredImage]:
    """Up to `limit` images that the model has embedded and that pass, by id, after that one."""
    stmt = passing(scope, Question(filter=filter), Feature.image_id)
    stmt = stmt.where(Feature.image_id > after).order_by(Feature.image_id).limit(limit)
    ids = list(connection.scalars(stmt))
    found = images_by_id(connection, scope.model, ids)
    return [found[image_id] for image_id in ids if image_id in found]


def matches_after(
    connection: Connection, run_id: int, after: tuple[int, int], limit: int
) -> list[RunMatch]:
    """Up to `limit` matches of a run after this key, query by query, best first.

    Raises UnknownRun.
    """
    if connection.scalar(text("SELECT id FROM run WHERE id = :run"), {"run": run_id}) is None:
        raise UnknownRun(f"no run {run_id}; see `reid query show SET`")
    rows = connection.execute(
        text(
            "SELECT m.query_id, m.rank AS stored_rank, q.name AS query, m.image_id,"
            " c.name AS collection, i.path, m.distance, i.pid, i.camid, v.verdict FROM match m"
            " JOIN query q ON q.id = m.query_id JOIN image i ON i.id = m.image_id"
            " JOIN collection c ON c.id = i.collection_id"
            " LEFT JOIN verdict v ON v.query_id = m.query_id AND v.image_id = m.image_id"
            " WHERE m.run_id = :run AND (m.query_id, m.rank) > (:query, :rank)"
            " ORDER BY m.query_id, m.rank LIMIT :limit"
        ),
        {"run": run_id, "query": after[0], "rank": after[1], "limit": limit},
    ).all()
    places = {after[0]: _before(connection, run_id, after)}
    found = []
    for row in rows:
        place = places[row.query_id] = places.get(row.query_id, 0) + 1
        facts: dict[str, Any] = {**row._mapping, "verdict": SAID.get(row.verdict)}
        found.append(RunMatch(rank=place, **facts))
    return found


def _before(connection: Connection, run_id: int, key: tuple[int, int]) -> int:
    """How many matches the key's query still has up to there."""
    count: int = connection.execute(
        text(
            "SELECT count(*) FROM match WHERE run_id = :run AND query_id = :query AND rank <= :rank"
        ),
        {"run": run_id, "query": key[0], "rank": key[1]},
    ).scalar_one()
    return count
