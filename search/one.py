"""One question, now: the statement path. Exact by default, and it says whether it is complete."""

# N candidate rows, D=512 embedding numbers

from collections.abc import Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row, Select, func

from db.arrays import vectors_from_send
from db.attributes import describe
from db.schema import Collection, Feature, Image
from search.distance import exact_l2, margin
from search.filters.text import to_text
from search.question import QueryPerson, Question, Scope
from search.records import Answer, Match
from search.rerank import Reranking
from search.reranked import Found, in_new_order
from search.statement import (
    MATCH_COLUMNS,
    count_unsearched,
    exact_distance_to,
    for_query,
    passing,
    within,
)
from search.work import Work

_SPARE = 16


def answer_one(
    connection: Connection,
    scope: Scope,
    question: Question,
    query: QueryPerson,
    rerank: Reranking | None = None,
) -> Answer:
    """The ordered gallery list of one query.

    With `rerank` the filter and the distance limit say which images are in the answer, as without;
    the order is another one, and --limit cuts the list that it gives.
    """
    work = _work(scope, question, query)
    if rerank is None:
        found = _closest(connection, work, query, question.max_distance, question.effective_limit)
    else:
        found = _closest_to_rerank(connection, work, query, question, rerank)
        with work.step("rerank"):
            found = in_new_order(query, found, rerank)
    if question.max_distance is not None:
        found = [one for one in found if one.distance <= question.max_distance]
    limit = question.effective_limit
    return make_answer(
        scope,
        question,
        query,
        _count(connection, work),
        [match_from(one.row, rank, one.distance, one.rerank_distance)
         for rank, one in enumerate(found[:limit], start=1)],
        cut=limit is not None and len(found) > limit,
        unsearched=_unsearched(connection, scope, work),
        rerank=rerank,
        work=work,
    )  # fmt: skip


def answer_filter(connection: Connection, scope: Scope, question: Question) -> Answer:
    """A filter without a query image: what passes it, by path, without distances."""
    query = QueryPerson("(filter alone)", np.zeros(0, np.float32))
    work = _work(scope, question, query)
    by_path = (Image.path.collate("C"), Collection.name, Image.id)
    stmt: Select[Any] = work.filtered.with_only_columns(*MATCH_COLUMNS)
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
        unsearched=_unsearched(connection, scope, work),
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
        incomplete_reason="; ".join(reasons) or None,
        query_pid=query.pid,
        query_camid=query.camid,
        same_identities=scope.identities == {query.identities},
        seconds=None if work is None else work.total,
        max_distance_from=question.max_distance_from,
        rerank=rerank,
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


def _work(scope: Scope, question: Question, query: QueryPerson) -> Work:
    return Work(for_query(passing(scope, question, Feature.image_id), question, query))


def _closest(
    connection: Connection,
    work: Work,
    query: QueryPerson,
    max_distance: float | None,
    limit: int | None,
) -> list[Found]:
    """Every row within the limits and a few more, closest first, ties by path; the exact distance
    decides."""
    with work.step("statement"):
        rows = _candidates(connection, work, query, max_distance, limit)
    with work.step("recheck"):
        dimension = len(query.embedding_D)
        distances = exact_l2(
            query.embedding_D, vectors_from_send([row.bytes for row in rows], dimension)
        )
        found = [Found(row, d) for row, d in zip(rows, distances.tolist(), strict=True)]
        return sorted(found, key=lambda one: (one.distance, one.by_path))


def _candidates(
    connection: Connection,
    work: Work,
    query: QueryPerson,
    max_distance: float | None,
    limit: int | None,
) -> Sequence[Row[Any]]:
    distance = exact_distance_to(query).label("distance")
    embedding = func.vector_send(Feature.embedding).label("bytes")
    rows_stmt = work.filtered.with_only_columns(*MATCH_COLUMNS, embedding, distance)
    stmt = work.statement = within(rows_stmt, query, max_distance)
    if limit is None:
        return connection.execute(stmt).all()
    spare = _SPARE
    while True:
        work.statement = stmt.order_by(distance).limit(limit + spare)
        rows = connection.execute(work.statement).all()
        # enough when the rows beyond the limit, and the one that tells that there are more, are
        # farther than rounding could confuse
        if len(rows) < limit + spare:
            return rows
        last = rows[-1].distance
        if last > rows[limit].distance + 2 * margin(last):
            return rows
        spare *= 8


def _closest_to_rerank(
    connection: Connection,
    work: Work,
    query: QueryPerson,
    question: Question,
    rerank: Reranking,
) -> list[Found]:
    """The candidates, however far, and whatever else can be in the answer."""
    limit = question.effective_limit
    assert rerank.candidates is not None
    number = max(rerank.candidates, limit or 0)
    found = _closest(connection, work, query, None, number)
    beyond = limit is None and len(found) > number
    if beyond and question.max_distance is not None and found[-1].distance <= question.max_distance:
        return _closest(connection, work, query, question.max_distance, None)
    return found


def _count(connection: Connection, work: Work) -> int:
    with work.step("count"):
        count: int = connection.execute(work.filtered.with_only_columns(func.count())).scalar_one()
    return count


def _unsearched(connection: Connection, scope: Scope, work: Work) -> int:
    with work.step("count"):
        return count_unsearched(connection, scope)
