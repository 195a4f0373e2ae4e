"""One question, now: the statement path. Exact by default, and it says whether it is complete."""

# N candidate rows, D=512 embedding numbers

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row, func

from db.arrays import vectors_from_send
from db.attributes import describe
from db.schema import Collection, Feature, Image
from search.distance import exact_l2, margin
from search.filters.text import to_text
from search.question import QueryPerson, Question, Scope
from search.records import Answer, Match
from search.statement import (
    MATCH_COLUMNS,
    count_unsearched,
    distance_to,
    for_query,
    passing,
    within,
)

_SPARE = 16


def answer_one(
    connection: Connection, scope: Scope, question: Question, query: QueryPerson
) -> Answer:
    """The ordered gallery list of one query."""
    started = time.perf_counter()
    rows = _candidates(connection, scope, question, query)
    distances = exact_l2(
        query.embedding_D, vectors_from_send([row.bytes for row in rows], len(query.embedding_D))
    )
    ranked = sorted(
        zip(distances.tolist(), rows, strict=True),
        key=lambda pair: (pair[0], pair[1].path, pair[1].collection, pair[1].id),
    )
    if question.max_distance is not None:
        ranked = [pair for pair in ranked if pair[0] <= question.max_distance]
    limit = question.effective_limit
    return make_answer(
        scope,
        question,
        query,
        _count(connection, scope, question, query),
        [
            match_from(row, rank, distance)
            for rank, (distance, row) in enumerate(ranked[:limit], start=1)
        ],
        cut=limit is not None and len(ranked) > limit,
        unsearched=count_unsearched(connection, scope),
        seconds=time.perf_counter() - started,
    )


def answer_filter(connection: Connection, scope: Scope, question: Question) -> Answer:
    """A filter without a query image: what passes it, by path, without distances."""
    query = QueryPerson("(filter alone)", np.zeros(0, np.float32))
    limit = question.effective_limit
    stmt = passing(scope, question, *MATCH_COLUMNS)
    stmt = stmt.order_by(Image.path.collate("C"), Collection.name, Image.id).limit(limit)
    matches = [
        match_from(row, rank, None)
        for rank, row in enumerate(connection.execute(stmt).all(), start=1)
    ]
    count = _count(connection, scope, question, query)
    return make_answer(
        scope,
        question,
        query,
        count,
        matches,
        cut=count > len(matches),
        unsearched=count_unsearched(connection, scope),
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
    seconds: float | None = None,
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
        seconds=seconds,
    )


def match_from(row: Row[Any], rank: int, distance: float | None) -> Match:
    return Match(
        rank=rank,
        image_id=row.id,
        collection=row.collection,
        path=row.path,
        distance=distance,
        pid=row.pid,
        camid=row.camid,
        attributes=describe(row.labels),
    )


def _candidates(
    connection: Connection, scope: Scope, question: Question, query: QueryPerson
) -> Sequence[Row[Any]]:
    """Every row that can be in the answer, and a few more; the exact distance decides."""
    distance = distance_to(query).label("distance")
    stmt = passing(
        scope,
        question,
        *MATCH_COLUMNS,
        func.vector_send(Feature.embedding).label("bytes"),
        distance,
    )
    stmt = within(for_query(stmt, question, query), query, question.max_distance)
    limit = question.effective_limit
    if limit is None:
        return connection.execute(stmt).all()
    spare = _SPARE
    while True:
        rows = connection.execute(stmt.order_by(distance).limit(limit + spare)).all()
        # enough when the rows beyond the limit are farther than rounding could confuse
        if len(rows) < limit + spare:
            return rows
        last = rows[-1].distance
        if last > rows[limit - 1].distance + 2 * margin(last):
            return rows
        spare *= 8


def _count(connection: Connection, scope: Scope, question: Question, query: QueryPerson) -> int:
    stmt = for_query(passing(scope, question, func.count()), question, query)
    count: int = connection.execute(stmt).scalar_one()
    return count
