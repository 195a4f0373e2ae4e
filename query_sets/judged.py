"""Verdicts read back: beside the matches of a run, as a list, and as pairs to calibrate with."""

# D=512 embedding numbers

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, Row, text

from db.arrays import vector_from_send
from errors import UsageError
from gallery.centring import cameras, means_of
from query_sets.read_run import UnknownRun
from query_sets.set_rows import query_set_id
from query_sets.verdict_rows import SAID, StoredQuery
from search.distance import Floats32, exact_l2
from search.question import mean_embedding


class NotAsked(UsageError):
    """A run does not answer that query."""

    http_status = 404


@dataclass(frozen=True)
class Judged:
    """A standing verdict. `rank` is None where the set's newest run does not list the image.

    `distance` is that run's, else the distance of what is stored now, by that run's model; None
    where neither is.
    """

    query: str
    image_id: int
    collection: str
    path: str
    verdict: str  # confirmed or rejected
    reviewer: str
    decided_at: datetime
    note: str | None
    run: int | None
    model: str | None
    rank: int | None
    distance: float | None


@dataclass(frozen=True)
class JudgedPair:
    """A query's embedding and a gallery image's, (512,) each, by one model; `same_person` is what
    a reviewer says of them."""

    query_id: int
    image_id: int
    query_D: npt.NDArray[np.float32]
    image_D: npt.NDArray[np.float32]
    same_person: bool

    @property
    def distance(self) -> float:
        """Their L2 distance; lower is closer."""
        return float(exact_l2(self.query_D, self.image_D[None])[0])


@dataclass(frozen=True)
class ReviewedMatch:
    """A match as its run stored it, and what was said of it."""

    rank: int
    image_id: int
    collection: str
    path: str
    distance: float | None
    pid: int | None
    camid: int | None
    verdict: str | None
    reviewer: str | None
    note: str | None


@dataclass(frozen=True)
class ReviewedList:
    """One query's list in a run. `removed` matches had images that were removed since;
    `unlisted_verdicts` are on images that the run does not list."""

    query: str
    run: int
    model: str
    max_distance: float | None
    candidates: int
    complete: bool
    removed: int
    unlisted_verdicts: int
    matches: tuple[ReviewedMatch, ...]


def verdict_counts(connection: Connection, set_name: str) -> dict[str, int]:
    """`{"confirmed", "rejected"}`: how many stand in a set. Raises UnknownQuerySet."""
    rows = connection.execute(
        text(
            "SELECT v.verdict, count(*) AS number FROM verdict v JOIN query q ON q.id = v.query_id"
            " WHERE q.query_set_id = :set GROUP BY v.verdict"
        ),
        {"set": query_set_id(connection, set_name)},
    )
    return {**dict.fromkeys(SAID.values(), 0), **{SAID[row.verdict]: row.number for row in rows}}


def verdicts_of(
    connection: Connection,
    set_name: str,
    *,
    query_id: int | None = None,
    verdict: str | None = None,
) -> list[Judged]:
    """The verdicts of a set, confirm or reject alone where asked, by query and path.

    Raises UnknownQuerySet.
    """
    set_id = query_set_id(connection, set_name)
    rows = connection.execute(
        text(
            "SELECT q.name, v.query_id, v.image_id, c.name AS collection, i.path, v.verdict,"
            " v.reviewer, v.decided_at, v.note, r.id AS run, r.model_id, m.name AS model,"
            " (SELECT count(*) FROM match y WHERE y.run_id = r.id AND y.query_id = x.query_id"
            " AND y.rank <= x.rank) AS place, x.rank IS NOT NULL AS listed, x.distance"
            " FROM verdict v JOIN query q ON q.id = v.query_id"
            " JOIN image i ON i.id = v.image_id JOIN collection c ON c.id = i.collection_id"
            " LEFT JOIN (SELECT * FROM run WHERE query_set_id = :set ORDER BY id DESC LIMIT 1) r"
            " ON true LEFT JOIN model m ON m.id = r.model_id LEFT JOIN match x"
            " ON x.run_id = r.id AND x.query_id = v.query_id AND x.image_id = v.image_id"
            " WHERE q.query_set_id = :set AND v.query_id = coalesce(:query, v.query_id)"
            " AND v.verdict = coalesce(:verdict, v.verdict)"
            ' ORDER BY q.name COLLATE "C", x.rank, i.path, i.id'
        ),
        {"set": set_id, "query": query_id, "verdict": verdict},
    ).all()
    unlisted = [row.image_id for row in rows if row.distance is None]
    model_id = rows[0].model_id if rows else None
    now: dict[tuple[int, int], float] = {}
    if unlisted and model_id is not None:
        pairs = judged_pairs(connection, set_name, model_id, image_ids=unlisted)
        now = {(pair.query_id, pair.image_id): pair.distance for pair in pairs}
    return [_judged(row, now.get((row.query_id, row.image_id))) for row in rows]


def _judged(row: Row[Any], distance_now: float | None) -> Judged:
    return Judged(
        query=row.name,
        image_id=row.image_id,
        collection=row.collection,
        path=row.path,
        verdict=SAID[row.verdict],
        reviewer=row.reviewer,
        decided_at=row.decided_at,
        note=row.note,
        run=row.run,
        model=row.model,
        rank=row.place if row.listed else None,
        distance=distance_now if row.distance is None else row.distance,
    )


def judged_pairs(
    connection: Connection,
    set_name: str,
    model_id: int,
    *,
    image_ids: Sequence[int] | None = None,
) -> list[JudgedPair]:
    """What reviewers know, for calibrating: each verdict of a set (on these images alone, where
    given) of which both sides are embedded by a model. Raises UnknownQuerySet."""
    rows = connection.execute(
        text(
            "SELECT v.query_id, v.image_id, v.verdict, vector_send(f.embedding) AS image,"
            " own.queries, own.stored, q.camid, m.centred,"
            " array(SELECT g.collection_id FROM question_gallery g"
            " WHERE g.question_id = q.question_id ORDER BY g.collection_id) AS galleries"
            " FROM verdict v JOIN query q ON q.id = v.query_id"
            " JOIN model m ON m.id = :model"
            " JOIN feature f ON f.image_id = v.image_id AND f.model_id = :model"
            " CROSS JOIN LATERAL (SELECT array_agg(vector_send(CASE WHEN m.centred"
            " THEN coalesce(s.embedding, e.embedding) ELSE e.embedding END) ORDER BY i.position)"
            " AS queries, array_agg(s.embedding IS NOT NULL ORDER BY i.position) AS stored,"
            " count(*) = count(e.embedding) AS whole FROM query_image i"
            " LEFT JOIN query_embedding e ON e.query_image_id = i.id AND e.model_id = :model"
            " LEFT JOIN feature s ON s.image_id = i.image_id AND s.model_id = :model"
            " WHERE i.query_id = v.query_id) own"
            " WHERE q.query_set_id = :set AND own.whole AND own.queries IS NOT NULL"
            " AND (:all OR v.image_id = ANY(:images)) ORDER BY v.query_id, v.image_id"
        ),
        {
            "set": query_set_id(connection, set_name),
            "model": model_id,
            "all": image_ids is None,
            "images": list(image_ids or ()),
        },
    )
    return [
        JudgedPair(
            row.query_id,
            row.image_id,
            mean_embedding(_compared(connection, model_id, row)),
            vector_from_send(row.image),
            row.verdict == "confirm",
        )
        for row in rows
    ]


def _compared(connection: Connection, model_id: int, row: Row[Any]) -> list[Floats32]:
    """The embeddings of a query's images as a search compares them."""
    sent = [vector_from_send(one) for one in row.queries]
    if not row.centred or all(row.stored):
        return sent
    means = means_of(connection, model_id, row.galleries)
    return [
        one_D if stored else means.centred(one_D[None], cameras([row.camid]))[0]
        for one_D, stored in zip(sent, row.stored, strict=True)
    ]


def reviewed_list(connection: Connection, query: StoredQuery, run_id: int) -> ReviewedList:
    """One query's matches in a run, with the verdicts that stand now.

    Raises UnknownRun, NotAsked.
    """
    run = _run_of(connection, query, run_id)
    matches = _matches(connection, query, run_id)
    listed = [match.image_id for match in matches]
    unlisted: int = connection.execute(
        text("SELECT count(*) FROM verdict WHERE query_id = :query AND image_id <> ALL(:listed)"),
        {"query": query.id, "listed": listed},
    ).scalar_one()
    return ReviewedList(
        query=query.name,
        run=run_id,
        model=run.model,
        max_distance=run.max_distance,
        candidates=run.candidates,
        complete=run.complete and run.found == len(matches),
        removed=run.found - len(matches),
        unlisted_verdicts=unlisted,
        matches=matches,
    )


def _run_of(connection: Connection, query: StoredQuery, run_id: int) -> Row[Any]:
    run = connection.execute(
        text(
            "SELECT s.name AS set_name, m.name AS model, x.query_id, x.max_distance, x.candidates,"
            " x.complete, x.found FROM run r JOIN model m ON m.id = r.model_id"
            " JOIN query_set s ON s.id = r.query_set_id"
            " LEFT JOIN run_query x ON x.run_id = r.id AND x.query_id = :query WHERE r.id = :run"
        ),
        {"run": run_id, "query": query.id},
    ).one_or_none()
    if run is None or run.set_name != query.set_name:
        raise UnknownRun(
            f"query set {query.set_name!r} has no run {run_id}; "
            f"`reid query show {query.set_name}` names its runs"
        )
    if run.query_id is None:
        raise NotAsked(
            f"query {query.name!r} was not in the set when run {run_id} was made; "
            f"run it with `reid query run {query.set_name}`"
        )
    return run


def _matches(connection: Connection, query: StoredQuery, run_id: int) -> tuple[ReviewedMatch, ...]:
    rows = connection.execute(
        text(
            "SELECT x.image_id, c.name AS collection, i.path, x.distance, i.pid, i.camid,"
            " v.verdict, v.reviewer, v.note FROM match x JOIN image i ON i.id = x.image_id"
            " JOIN collection c ON c.id = i.collection_id"
            " LEFT JOIN verdict v ON v.query_id = x.query_id AND v.image_id = x.image_id"
            " WHERE x.run_id = :run AND x.query_id = :query ORDER BY x.rank"
        ),
        {"run": run_id, "query": query.id},
    )
    return tuple(
        ReviewedMatch(
            rank, row.image_id, row.collection, row.path, row.distance, row.pid, row.camid,
            SAID.get(row.verdict), row.reviewer, row.note,
        )
        for rank, row in enumerate(rows, start=1)
    )  # fmt: skip
