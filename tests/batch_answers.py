"""Answers of the batch search, and an exported file read back: for tests."""

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection

from query_sets.batch_search import (
    RankedImages,
    load_gallery,
    match_facts,
    question_reranking,
    rank_many,
)
from search.answer import Answer
from search.exact import make_answer, match_from
from search.question import QueryPerson, Question, Scope
from search.statement import count_unsearched


def answer_many(
    connection: Connection, scope: Scope, question: Question, queries: Sequence[QueryPerson]
) -> list[Answer]:
    """The answers in the order of the queries, equal to `answer_one`'s."""
    unsearched = count_unsearched(connection, scope)  # first: see `search.exact`
    gallery = load_gallery(connection, scope, question)
    lists = list(rank_many(gallery, question, queries))
    wanted = {image_id for ranked in lists for image_id in ranked.image_ids.tolist()}
    facts = match_facts(connection, scope, sorted(wanted))
    return [
        make_answer(
            scope,
            question,
            ranked.query,
            ranked.candidates,
            [
                match_from(facts[image_id], rank, distance, new)
                for rank, (image_id, distance, new) in enumerate(_rows(ranked), 1)
            ],
            cut=ranked.cut,
            unsearched=unsearched,
            rerank=question_reranking(question),
        )
        for ranked in lists
    ]


def _rows(ranked: RankedImages) -> Iterator[tuple[int, float, float | None]]:
    """(image id, distance, re-ranked distance or None) of each match, best first."""
    new = [None] * len(ranked.image_ids)
    if ranked.rerank_distances is not None:
        new = ranked.rerank_distances.tolist()
    yield from zip(ranked.image_ids.tolist(), ranked.distances.tolist(), new, strict=True)


def read_reid_test(content: str) -> Iterator[tuple[str, list[str]]]:
    """(query, matches) of each line of such a file, names as they stand there."""
    for line in content.splitlines():
        query, _, matches = line.partition(":")
        yield query, [name.strip() for name in matches.split(",") if name.strip()]
