"""Embed, then search: what the command line and the page share."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine

from db.audit import record
from db.limits import limited
from gallery.model_rows import ModelRow
from gallery.models import Load, chosen
from search.answer import Answer
from search.exact import answer_filter, answer_one
from search.explain import Explanation, explain
from search.filters.leaves import LabelIs
from search.filters.tree import leaves
from search.multi_image import nearest_of
from search.query_images import (
    Embedded,
    EmbeddedImage,
    Source,
    embed_files,
    one_by_one,
    one_query,
    stored_images,
)
from search.question import Question
from search.request import Asked


def deciding_fields(question: Question) -> tuple[str, ...]:
    """The readable attributes that the filter speaks of, in its order."""
    if question.filter is None:
        return ()
    fields = [leaf.field for leaf in leaves(question.filter) if isinstance(leaf, LabelIs)]
    return tuple(dict.fromkeys(fields))


@dataclass(frozen=True)
class Found:
    """Answers in the order asked, the query thumbnails, and what could not be read. Each answer has
    its explanation, where that was asked for."""

    answers: tuple[Answer, ...]
    thumbnails: tuple[bytes | None, ...]
    failed: dict[str, str]
    question: Question
    explanations: tuple[Explanation | None, ...]


def search(
    engine: Engine,
    asked: Asked,
    files: Sequence[tuple[str, Source]],
    image_ids: Sequence[int] = (),
    *,
    device: str | None = None,
    purpose: str | None = None,
    same_person: bool = False,
    load: Load | None = None,
) -> Found:
    """Answers each image, a file or a stored one by its id, or without any the filter alone; every
    answer is written to the audit log.

    With `same_person` the images are one query. Raises UnknownImage.
    """

    def embed(model: ModelRow) -> Embedded:
        stored, _ = stored_images(engine, model, image_ids)
        images, failed = embed_files(engine, model, files, device, load=load)
        return [*stored, *images], failed

    given = embed if files or image_ids else None
    return search_people(engine, asked, given, purpose, same_person)


def search_people(
    engine: Engine,
    asked: Asked,
    embed: Callable[[ModelRow], Embedded] | None,
    purpose: str | None = None,
    same_person: bool = False,
) -> Found:
    """The same for the images that `embed` gives, once the question is known to be a good one."""
    model = chosen(engine, asked.model)
    question = asked.question(model)
    with engine.connect() as connection:
        scope = asked.scope(connection, model)
    rerank = asked.reranking(question.effective_limit)
    started = time.perf_counter()
    images, failed = embed(model) if embed else ([], {})
    embedding_seconds = time.perf_counter() - started if embed else None
    queries = [image.as_query() for image in images]
    several = same_person and len(queries) > 1
    if several:
        queries = one_by_one(queries) if asked.nearest else [one_query(queries)]
    with engine.begin() as connection, limited(connection):
        if embed:
            answers = [
                answer_one(
                    connection, scope, question, query, rerank, approximate=asked.approximate
                )
                for query in queries
            ]
        else:
            answers = [answer_filter(connection, scope, question)]
        if several and asked.nearest:
            answers = [nearest_of(answers, question, answers[0].query)]
        for answer, names in zip(answers, _numbers(images, len(answers)), strict=True):
            _audit(connection, asked, answer, names, purpose)
        explanations = [
            explain(connection, model, question, answer, embedding_seconds)
            if asked.explain
            else None
            for answer in answers
        ]
    thumbnails = tuple(image.thumbnail for image in images[: len(answers)]) if embed else (None,)
    return Found(tuple(answers), thumbnails, failed, question, tuple(explanations))


def _numbers(images: Sequence[EmbeddedImage], answers: int) -> list[str | list[str] | None]:
    """What each answer was asked with, as the audit log has it: a stored image by its number, since
    a name in that log would outlive the image; a list where one answer is of several."""
    names = [i.name if i.image_id is None else f"id:{i.image_id}" for i in images]
    if not names:
        return [None] * answers
    return list(names) if len(names) == answers else [names]


def _audit(
    connection: Connection,
    asked: Asked,
    answer: Answer,
    names: str | list[str] | None,
    purpose: str | None,
) -> None:
    record(
        connection,
        "search",
        {
            "query": answer.query if names is None else names,
            "collections": list(asked.collections),
            "filter": answer.filter,
            "max_distance": answer.max_distance,
            "limit": asked.limit,
            "rerank": None if answer.rerank is None else answer.rerank.to_json(),
            "plan": answer.plan,
            "model": answer.model,
        },
        purpose=purpose,
        result_ids=[match.image_id for match in answer.matches],
        candidates=answer.candidates,
        complete=answer.complete,
    )
