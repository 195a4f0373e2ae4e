"""Matches of a run in order of their keys, a piece at a time."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, text

from query_sets.read_run import UnknownRun
from query_sets.verdict_rows import SAID


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


def matches_of(
    engine: Engine, run_id: int, *, after: tuple[int, int], limit: int
) -> list[RunMatch]:
    """Up to `limit` matches of a run after this key. Raises UnknownRun."""
    with engine.connect() as connection:
        return matches_after(connection, run_id, after, limit)
