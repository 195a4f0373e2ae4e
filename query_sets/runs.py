"""Runs: the answer to a whole query set, stored in one transaction and kept."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import psycopg
from sqlalchemy import Connection, insert, select, text

from db.arrays import plain_rows
from db.audit import actor
from db.driver import driver_of
from db.limits import limited
from db.schema import Run, RunQuery
from errors import ReidError
from gallery.collections import all_collections, lock_collections
from gallery.model_rows import ModelRow
from query_sets.batch_search import RankedImages, load_gallery, rank_many
from query_sets.set_rows import people_of, query_set_id, questions_of
from search.question import Question, Scope
from search.statement import count_unsearched

_BLOCK = 256  # queries whose matches are stored at once


class CannotRun(ReidError):
    """A query set cannot be run; the message says what is missing."""

    http_status = 409


@dataclass(frozen=True)
class RunSummary:
    """What a run found. `complete` is False where a limit cut some list off. `max_distance` is the
    limit of all its questions; where they have several it is None, and `max_distances` has each."""

    id: int
    model: str
    queries: int
    with_matches: int
    matches: int
    max_distance: float | None
    complete: bool
    max_distances: tuple[float | None, ...] = ()


def run_set(connection: Connection, name: str, model: ModelRow) -> RunSummary:
    """Answers every query of a set with `model` and stores the run, in the caller's transaction.

    Raises UnknownQuerySet, CannotRun for an empty set, a removed gallery, queries of another model.
    """
    set_id = query_set_id(connection, name)
    questions = questions_of(connection, set_id, model)
    if not questions:
        raise CannotRun(f"query set {name!r} holds no query; add some with `reid query add {name}`")
    # no image that is read may be removed before its match is stored
    lock_collections(connection, (i for q in questions for i in q.gallery_ids), exclusive=False)
    galleries = {row.id: row for row in all_collections(connection)}
    revisions = {str(i): galleries[i].revision for q in questions for i in q.gallery_ids}
    stmt = insert(Run).values(
        query_set_id=set_id, model_id=model.id, actor=actor(), gallery_revisions=revisions
    )
    run_id: int = connection.execute(stmt.returning(Run.id)).scalar_one()
    counts = {"queries": 0, "with_matches": 0, "matches": 0}
    complete = True
    for stored in questions:
        if stored.lacks_gallery:
            raise CannotRun(f"a gallery of query set {name!r} was removed; add its queries again")
        reranked = stored.question.reranked
        if stored.auto_distance and model.limit(reranked=reranked) is None:
            kind = "re-ranked distance" if reranked else "distance"
            raise CannotRun(f"model {model.name!r} has no calibrated {kind} for `auto`")
        scope = Scope(model, tuple(galleries[i] for i in stored.gallery_ids))
        people, without = people_of(connection, stored, model)
        if without:
            raise CannotRun(
                f"{without} queries of {name!r} have no embedding by model {model.name!r}; "
                "add the set again with this model: a distance across models means nothing"
            )
        unsearched = count_unsearched(connection, scope)  # first: see `search.exact`
        lists = _store_matches(
            connection, run_id, _lists(connection, scope, stored.question, people)
        )
        _store_lists(connection, run_id, stored.question, lists, unsearched)
        counts["queries"] += len(lists)
        counts["with_matches"] += sum(len(ranked.image_ids) > 0 for _, ranked in lists)
        counts["matches"] += sum(len(ranked.image_ids) for _, ranked in lists)
        complete &= not unsearched and not any(ranked.cut for _, ranked in lists)
    limits = tuple(dict.fromkeys(stored.question.max_distance for stored in questions))
    return RunSummary(
        run_id, model.name, **counts, max_distance=limits[0] if len(limits) == 1 else None,
        complete=complete, max_distances=limits,
    )  # fmt: skip


def _lists(
    connection: Connection, scope: Scope, question: Question, people: list[Any]
) -> Iterator[tuple[int, RankedImages]]:
    # storing what was found is no search: it takes as long as there are matches
    with limited(connection):
        gallery = load_gallery(connection, scope, question)
    ids = [query_id for query_id, _ in people]
    ranked = rank_many(gallery, question, [person for _, person in people])
    return zip(ids, ranked, strict=True)


def _store_matches(
    connection: Connection, run_id: int, lists: Iterator[tuple[int, RankedImages]]
) -> list[tuple[int, RankedImages]]:
    """Stores the matches and gives the lists. The server checks and stores one block while the next
    is compared: it takes as long for its part as the comparison does."""
    driver = driver_of(connection)
    compared: list[tuple[int, RankedImages]] = []
    with ThreadPoolExecutor(max_workers=1) as server:
        storing = []
        while block := list(islice(lists, _BLOCK)):
            compared += block
            storing.append(server.submit(_copy_matches, driver, run_id, block))
    for stored in storing:
        stored.result()
    return compared


def _copy_matches(
    driver: "psycopg.Connection[Any]", run_id: int, lists: list[tuple[int, RankedImages]]
) -> None:
    counts = [len(ranked.image_ids) for _, ranked in lists]
    columns = [
        np.full(sum(counts), run_id),
        np.repeat([query_id for query_id, _ in lists], counts),
        np.concatenate([np.arange(1, count + 1, dtype=np.int32) for count in counts]),
        np.concatenate([ranked.image_ids for _, ranked in lists]),
        np.concatenate([ranked.distances for _, ranked in lists]),
    ]
    names = "run_id, query_id, rank, image_id, distance"
    new = [r.rerank_distances for _, r in lists if r.rerank_distances is not None]
    if new:  # of one question all lists are re-ranked, or none
        columns.append(np.concatenate(new))
        names += ", rerank_distance"
    rows = plain_rows(*columns)
    stmt = f"COPY match ({names}) FROM STDIN (FORMAT binary)"
    with driver.cursor() as cursor, cursor.copy(stmt) as copy:
        copy.write(rows)


def _store_lists(
    connection: Connection,
    run_id: int,
    question: Question,
    lists: list[tuple[int, RankedImages]],
    unsearched: int,
) -> None:
    if lists:
        connection.execute(
            insert(RunQuery),
            [
                {
                    "run_id": run_id,
                    "query_id": query_id,
                    "max_distance": question.max_distance,
                    "candidates": ranked.candidates,
                    "found": len(ranked.image_ids),
                    "complete": not (ranked.cut or unsearched),
                }
                for query_id, ranked in lists
            ],
        )


def latest_run(connection: Connection, name: str) -> int:
    """The newest run of a set. Raises CannotRun where there is none."""
    set_id = query_set_id(connection, name)
    stmt = select(Run.id).where(Run.query_set_id == set_id).order_by(Run.id.desc()).limit(1)
    found = connection.scalar(stmt)
    if found is None:
        raise CannotRun(f"query set {name!r} was never run; run it with `reid query run {name}`")
    return found


def is_stale(connection: Connection, run_id: int) -> bool:
    """True when a gallery of the run has changed since, another model is active, or the model's
    distance is another one now than the one that `auto` was."""
    stale: bool = connection.execute(
        text(
            "SELECT NOT m.active OR EXISTS (SELECT 1 FROM jsonb_each_text(r.gallery_revisions) g"
            " LEFT JOIN collection c ON c.id = g.key::bigint"
            " WHERE c.revision IS DISTINCT FROM g.value::bigint)"
            " OR EXISTS (SELECT FROM run_query x JOIN query q ON q.id = x.query_id"
            " JOIN question n ON n.id = q.question_id WHERE x.run_id = r.id AND n.auto_distance"
            " AND x.max_distance IS DISTINCT FROM"
            " CASE WHEN n.rerank THEN m.rerank_max_distance ELSE m.max_distance END)"
            " FROM run r JOIN model m ON m.id = r.model_id WHERE r.id = :run"
        ),
        {"run": run_id},
    ).scalar_one()
    return stale


def runs_of(connection: Connection, name: str) -> list[dict[str, Any]]:
    """`{"id", "model", "actor", "finished_at", "matches", "stale"}`, newest first."""
    rows = connection.execute(
        text(
            "SELECT r.id, m.name AS model, r.actor, r.finished_at,"
            " (SELECT count(*) FROM match x WHERE x.run_id = r.id) AS matches"
            " FROM run r JOIN model m ON m.id = r.model_id"
            " WHERE r.query_set_id = :set ORDER BY r.id DESC"
        ),
        {"set": query_set_id(connection, name)},
    )
    return [{**row._mapping, "stale": is_stale(connection, row.id)} for row in rows.all()]


def matched_images(connection: Connection, run_id: int) -> list[int]:
    """Every image that a run gave to anybody, once, for the audit log."""
    rows = connection.execute(
        text("SELECT DISTINCT image_id FROM match WHERE run_id = :run ORDER BY image_id"),
        {"run": run_id},
    )
    return list(rows.scalars().all())
