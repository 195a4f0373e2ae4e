"""A stored run read back as answers, equal to those that were given."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, text

from errors import UsageError
from gallery.model_rows import ModelRow, all_models
from query_sets.batch_search import match_facts, question_reranking
from query_sets.set_rows import questions_of
from search.answer import Answer, Match
from search.exact import match_from
from search.filters.text import to_text
from search.question import Question, Scope


class UnknownRun(UsageError):
    """No run of that number exists."""

    http_status = 404


@dataclass(frozen=True)
class StoredAnswer:
    """An answer of a run, its question, and the query's small JPEG."""

    query_id: int
    answer: Answer
    question: Question
    thumbnail: bytes


def stored_answers(
    connection: Connection, run_id: int, *, first: int | None = None, offset: int = 0
) -> list[StoredAnswer]:
    """The answers of a run in the order of the queries' names. Raises UnknownRun."""
    model, set_id = _run(connection, run_id)
    questions = {q.id: q.question for q in questions_of(connection, set_id, model)}
    queries = _queries(connection, run_id, first, offset)
    rows = connection.execute(
        text(
            "SELECT query_id, image_id, rank, distance, rerank_distance FROM match"
            " WHERE run_id = :run AND query_id = ANY(:ids) ORDER BY query_id, rank"
        ),
        {"run": run_id, "ids": [row.id for row in queries]},
    ).all()
    facts = match_facts(connection, Scope(model, ()), sorted({row.image_id for row in rows}))
    matches: dict[int, list[Match]] = {}
    for row in rows:
        if row.image_id in facts:  # its features may have gone since, and with an image its match
            own = matches.setdefault(row.query_id, [])
            fact = facts[row.image_id]
            own.append(match_from(fact, len(own) + 1, row.distance, row.rerank_distance))
    return [
        StoredAnswer(
            row.id,
            _answer(row, model, questions[row.question_id], matches.get(row.id, [])),
            questions[row.question_id],
            bytes(row.thumbnail),
        )
        for row in queries
    ]


def _run(connection: Connection, run_id: int) -> tuple[ModelRow, int]:
    found = connection.execute(
        text("SELECT model_id, query_set_id FROM run WHERE id = :run"), {"run": run_id}
    ).one_or_none()
    if found is None:
        raise UnknownRun(f"no run {run_id}; see `reid query show SET`")
    models = {model.id: model for model in all_models(connection)}
    return models[found.model_id], found.query_set_id


def _queries(connection: Connection, run_id: int, first: int | None, offset: int) -> list[Row[Any]]:
    """The queries of a run; one whose image is stored belongs to that image's identity space."""
    rows = connection.execute(
        text(
            "SELECT q.id, q.name, q.pid, q.camid, q.question_id, r.candidates, r.complete, r.found,"
            " r.max_distance, i.thumbnail, coalesce(c.identities, 'default') AS identities,"
            " (SELECT array_agg(DISTINCT g.identities) FROM question_gallery qg"
            " JOIN collection g ON g.id = qg.collection_id"
            " WHERE qg.question_id = q.question_id) AS spaces"
            " FROM run_query r JOIN query q ON q.id = r.query_id"
            " JOIN query_image i ON i.query_id = q.id AND i.position = 0"
            " LEFT JOIN image own ON own.id = i.image_id"
            " LEFT JOIN collection c ON c.id = own.collection_id"
            ' WHERE r.run_id = :run ORDER BY q.name COLLATE "C" LIMIT :first OFFSET :offset'
        ),
        {"run": run_id, "first": first, "offset": offset},
    )
    return list(rows)


def _answer(row: Row[Any], model: ModelRow, question: Question, matches: Sequence[Match]) -> Answer:
    return Answer(
        query=row.name,
        model=model.name,
        max_distance=row.max_distance,
        max_distance_from=question.max_distance_from,
        filter=None if question.filter is None else to_text(question.filter),
        complete=row.complete and len(matches) == row.found,
        candidates=row.candidates,
        matches=tuple(matches),
        reasons=_reasons(row, question, len(matches)),
        query_pid=row.pid,
        query_camid=row.camid,
        same_identities=row.spaces == [row.identities],
        rerank=question_reranking(question),
    )


def _reasons(row: Row[Any], question: Question, count: int) -> tuple[str, ...]:
    if count < row.found:
        return (f"{row.found - count} matches were removed from the gallery since",)
    if row.complete:
        return ()
    if count == question.effective_limit:
        return (f"cut off at the limit of {count}",)
    return ("images of the gallery were not embedded yet",)
