"""One question, now: the statement path. Exact by default, and it says whether it is complete."""

# N candidate rows, D=512 embedding numbers

from collections.abc import Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row, func

from db.schema import Collection, Feature, Image
from search.answer import Answer, Match
from search.approximate import closest_by_index, route
from search.distance import margin
from search.filters.text import to_text
from search.found import Candidate, closest_first
from search.question import QueryPerson, Question, Scope
from search.rerank import Reranking
from search.reranked import in_new_order
from search.statement import (
    MATCH_COLUMNS,
    binary_results,
    closest,
    for_query,
    kept_counts,
    passing,
)
from search.work import EXACT, Route, Work
from vocabulary import describe

_SPARE = 16


def answer_one(
    connection: Connection,
    scope: Scope,
    question: Question,
    query: QueryPerson,
    rerank: Reranking | None = None,
    *,
    approximate: bool = False,
) -> Answer:
    """The ordered gallery list of one query.

    With `rerank` the re-ranked distance decides, the limit and the order: who is not among the
    query's closest `candidates` is beyond every limit. With `approximate` the
    model's index proposes the candidates where that pays; the answer is then not complete.
    """
    work = _work(connection, scope, question, query)
    if approximate:
        with work.step("route"):
            work.route = route(connection, scope, question, query, work.passed)
    if rerank is None:
        found = _closest(connection, work, query, question.max_distance, question.effective_limit)
    else:
        found = _closest_to_rerank(connection, work, query, question, rerank)
        with work.step("rerank"):
            found = in_new_order(query, found, rerank)
    if question.max_distance is not None:
        found = [one for one in found if one.within(question.max_distance, rerank is not None)]
    limit = question.effective_limit
    estimate = work.route.passing
    return make_answer(
        scope,
        question,
        query,
        _count(connection, work) if estimate is None else round(estimate.rows),
        [match_from(one.row, rank, one.distance, one.rerank_distance)
         for rank, one in enumerate(found[:limit], start=1)],
        cut=limit is not None and len(found) > limit,
        unsearched=work.waiting,
        rerank=rerank,
        work=work,
    )  # fmt: skip


def answer_filter(connection: Connection, scope: Scope, question: Question) -> Answer:
    """A filter without a query image: what passes it, by path, without distances."""
    query = QueryPerson("(filter alone)", np.zeros(0, np.float32))
    work = _work(connection, scope, question, query)
    by_path = (Image.path.collate("C"), Collection.name, Image.id)
    stmt = passing(scope, question, *MATCH_COLUMNS)
    stmt = work.statement = stmt.order_by(*by_path).limit(question.effective_limit)
    with work.step("statement"):
        rows = connection.execute(stmt).all()
    count = _count(connection, work)
    return make_answer(
        scope,
        question,
        query,
        count,
        [match_from(row, rank, None) for rank, row in enumerate(rows, start=1)],
        cut=count > len(rows),
        unsearched=work.waiting,
        work=work,
    )


def make_answer(
    scope: Scope,
    question: Question,
    query: QueryPerson,
    candidates: int,
    matches: Sequence[Match],
    *,
    cut: bool,
    unsearched: int,
    rerank: Reranking | None = None,
    work: Work | None = None,
) -> Answer:
    """An exact answer; it is incomplete where --limit cut the list off, or where `unsearched`
    images of the gallery have no features of this model yet."""
    reasons = [f"cut off at the limit of {question.effective_limit}"] if cut else []
    route = EXACT if work is None else work.route
    if route.index:
        reasons.append("found through the approximate index, which may miss some")
    if unsearched:
        reasons.append(
            f"{unsearched} images are not embedded by {scope.model.name!r} yet, see `reid status`"
        )
    return Answer(
        query=query.name,
        model=scope.model.name,
        max_distance=question.max_distance,
        filter=None if question.filter is None else to_text(question.filter),
        complete=not reasons,
        candidates=candidates,
        matches=tuple(matches),
        reasons=tuple(reasons),
        query_pid=query.pid,
        query_camid=query.camid,
        same_identities=scope.identities == {query.identities},
        seconds=None if work is None else work.total,
        max_distance_from=question.max_distance_from,
        rerank=rerank,
        plan=route.words,
        candidates_estimated=route.estimated,
        work=work,
    )


def match_from(
    row: Row[Any], rank: int, distance: float | None, rerank_distance: float | None = None
) -> Match:
    return Match(
        rank=rank,
        image_id=row.id,
        collection=row.collection,
        path=row.path,
        distance=distance,
        pid=row.pid,
        camid=row.camid,
        attributes=describe(row.labels),
        rerank_distance=rerank_distance,
    )


def _work(connection: Connection, scope: Scope, question: Question, query: QueryPerson) -> Work:
    """What is known before the rows are read. What comes in the meantime counts as not embedded: an
    answer is not called complete without it."""
    everyone = passing(scope, question, Feature.image_id)
    work = Work(for_query(everyone, question, query))
    with work.step("count"):
        kept = kept_counts(connection, scope)
    work.waiting = kept.waiting
    if question.filter is None and work.filtered is everyone:
        work.passed = kept.embedded
    return work


def _closest(
    connection: Connection,
    work: Work,
    query: QueryPerson,
    max_distance: float | None,
    limit: int | None,
) -> list[Candidate]:
    """Every row within the limits and a few more, closest first, ties by path; the exact distance
    decides. Where the index falls short, the route of `work` becomes the exact one."""
    if work.route.index:
        with work.step("statement"):
            near = closest_by_index(connection, work, query, max_distance, limit)
        if near is not None:
            return near
        work.route = Route("the index fell short")
    with work.step("statement"):
        rows = _candidates(connection, work, query, max_distance, limit)
    with work.step("recheck"):
        return closest_first(query, rows)


def _candidates(
    connection: Connection,
    work: Work,
    query: QueryPerson,
    max_distance: float | None,
    limit: int | None,
) -> Sequence[Row[Any]]:
    if limit is None:
        return _rows(connection, work, query, max_distance, None)
    spare = _SPARE
    while True:
        rows = _rows(connection, work, query, max_distance, limit + spare)
        # enough when the rows beyond the limit, and the one that tells that there are more, are
        # farther than rounding could confuse
        if len(rows) < limit + spare:
            return rows
        distances = sorted(row.distance for row in rows)
        if distances[-1] > distances[limit] + 2 * margin(distances[-1]):
            return rows
        spare *= 8


def _rows(
    connection: Connection,
    work: Work,
    query: QueryPerson,
    max_distance: float | None,
    limit: int | None,
) -> Sequence[Row[Any]]:
    """Runs the statement; how many rows pass is counted by it, where that is not known yet."""
    counted = work.passed is None
    stmt = closest(work.filtered, query, max_distance, limit, counted=counted)
    work.statement = stmt
    with binary_results(connection):
        rows = connection.execute(stmt).all()
    if not counted:
        return rows
    work.passed = rows[0].passed
    return [row for row in rows if row.id is not None]


def _closest_to_rerank(
    connection: Connection,
    work: Work,
    query: QueryPerson,
    question: Question,
    rerank: Reranking,
) -> list[Candidate]:
    """The candidates, however far, and whatever else can be in the answer."""
    assert rerank.candidates is not None
    number = max(rerank.candidates, question.effective_limit or 0)
    return _closest(connection, work, query, None, number)


def _count(connection: Connection, work: Work) -> int:
    """How many images pass the filter, whatever their distance."""
    if work.passed is None:
        with work.step("count"):
            stmt = work.filtered.with_only_columns(func.count())
            work.passed = connection.execute(stmt).scalar_one()
    assert work.passed is not None
    return work.passed
