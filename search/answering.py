"""Answers a search request: embeds its images, searches, writes the audit rows."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine

from db.audit import record
from db.limits import limited
from errors import ReidError
from gallery.centring import current_centring
from gallery.model_rows import ModelRow
from gallery.models import Load
from search.answer import Answer
from search.exact import answer_filter, answer_one
from search.explain import Explanation, explain
from search.filters.leaves import LabelIs
from search.filters.tree import leaves
from search.multi_image import nearest_of
from search.query_images import (
    Embedded,
    EmbeddedImage,
    as_queries,
    embed_files,
    images_of,
    one_by_one,
    one_query,
    stored_images,
)
from search.question import Question
from search.request import ResolvedRequest, SearchRequest


def deciding_fields(question: Question) -> tuple[str, ...]:
    """The readable attributes that the filter speaks of, in its order."""
    if question.filter is None:
        return ()
    fields = [leaf.field for leaf in leaves(question.filter) if isinstance(leaf, LabelIs)]
    return tuple(dict.fromkeys(fields))


class MeansChanged(ReidError):
    """The means of a model's cameras were made anew while somebody searched."""

    http_status = 503

    def __init__(self, model: str) -> None:
        super().__init__(
            f"the embeddings of model {model!r} were centred anew meanwhile; search again"
        )


@dataclass(frozen=True)
class Answers:
    """Answers in the order asked, the query thumbnails, and what could not be read. Each answer has
    its explanation, where that was asked for."""

    answers: tuple[Answer, ...]
    thumbnails: tuple[bytes | None, ...]
    failed: dict[str, str]
    question: Question
    explanations: tuple[Explanation | None, ...]


def search(
    engine: Engine, request: SearchRequest, *, device: str | None = None, load: Load | None = None
) -> Answers:
    """Answer each image of a request, or its filter alone, and write each answer to the audit log.

    `load` gives the network; without it, one is loaded for this call. Raises as
    `SearchRequest.resolve`, and UnknownImage.
    """
    started = time.perf_counter()
    if not request.files:
        # one transaction: every statement is a way to the server and back, every other one three
        with engine.begin() as connection, limited(connection, to_the_end=True):
            resolved = request.resolve_on(connection)
            images = images_of(connection, resolved.model, request.image_ids)
            seconds = time.perf_counter() - started
            return _answered(connection, request, resolved, (images, {}), seconds)
    resolved = request.resolve(engine)
    started = time.perf_counter()
    embedded = _query_images(engine, resolved.model, request, device, load)
    seconds = time.perf_counter() - started
    with engine.begin() as connection, limited(connection, to_the_end=True):
        return _answered(connection, request, resolved, embedded, seconds)


def _answered(
    connection: Connection,
    request: SearchRequest,
    resolved: ResolvedRequest,
    embedded: Embedded,
    embedding_seconds: float,
) -> Answers:
    """Search for each image, or by the filter alone; write the audit rows."""
    scope, question, (images, failed) = resolved.scope, resolved.question, embedded
    queries = as_queries(connection, resolved.model, scope.gallery_ids, images)
    several = request.same_person and len(queries) > 1
    if several:
        queries = one_by_one(queries) if request.nearest else [one_query(queries)]
    if request.has_image:
        approximate, reranking = request.approximate, resolved.reranking
        answers = [
            answer_one(connection, scope, question, query, reranking, approximate=approximate)
            for query in queries
        ]
    else:
        answers = [answer_filter(connection, scope, question)]
    if several and request.nearest:
        answers = [nearest_of(answers, question, answers[0].query)]
    check_centring(connection, resolved.model)
    for answer, names in zip(answers, _numbers(images, len(answers)), strict=True):
        record_answer(connection, request, answer, names)
    seconds = embedding_seconds if request.has_image else None
    explanations = tuple(
        explain(connection, resolved.model, question, answer, seconds) if request.explain else None
        for answer in answers
    )
    shown: list[bytes | None] = [image.thumbnail for image in images[: len(answers)]]
    thumbnails = tuple(shown) if request.has_image else (None,)
    return Answers(tuple(answers), thumbnails, failed, question, explanations)


def check_centring(connection: Connection, model: ModelRow) -> None:
    """After the answers were found: distances of two centrings would stand in one list. Raises
    MeansChanged."""
    if model.centred and current_centring(connection, model.id) != model.centring:
        raise MeansChanged(model.name)


def _query_images(
    engine: Engine, model: ModelRow, request: SearchRequest, device: str | None, load: Load | None
) -> Embedded:
    stored, _ = stored_images(engine, model, request.image_ids)
    images, failed = embed_files(engine, model, request.files, device, load=load)
    return [*stored, *images], failed


def _numbers(images: Sequence[EmbeddedImage], answers: int) -> list[str | list[str] | None]:
    """What each answer was asked with, as the audit log has it: a stored image by its number, since
    a name in that log would outlive the image; a list where one answer is of several."""
    names = [i.name if i.image_id is None else f"id:{i.image_id}" for i in images]
    if not names:
        return [None] * answers
    return list(names) if len(names) == answers else [names]


def record_answer(
    connection: Connection,
    request: SearchRequest,
    answer: Answer,
    names: str | list[str] | None,
) -> None:
    """Write an answer to the audit log."""
    record(
        connection,
        "search",
        {
            "query": answer.query if names is None else names,
            "collections": list(request.collections),
            "filter": answer.filter,
            "max_distance": answer.max_distance,
            "limit": request.limit,
            "rerank": None if answer.rerank is None else answer.rerank.to_json(),
            "plan": answer.plan,
            "model": answer.model,
        },
        purpose=request.purpose,
        result_ids=[match.image_id for match in answer.matches],
        candidates=answer.candidates,
        complete=answer.complete,
    )
