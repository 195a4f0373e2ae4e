"""Many queries with one question, answered at once: stored images by their ids, or embeddings."""

# Q queries, D=512 embedding numbers

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, Engine

from db.limits import limited
from errors import ReidError, UsageError
from gallery.collections import UNNAMED_SPACE
from gallery.model_rows import ModelRow
from gallery.stored_images import UnknownImage
from query_sets.batch_search import (
    RankedImages,
    load_gallery,
    match_facts,
    question_reranking,
    rank_many,
)
from search.answer import Answer
from search.answering import Answers, check_centring, record_answer
from search.exact import answer_one, make_answer, match_from
from search.query_images import EmbeddedImage, as_queries, images_by_id, not_embedded
from search.question import BadQuestion, QueryPerson, Question, Scope
from search.request import ResolvedRequest, SearchRequest
from search.statement import count_unsearched

MAX_QUERIES = 1_000
MAX_MATCHES = 500_000  # of one batch, some 200 MB of JSON
FEW = 8  # so many are found one by one before the whole gallery would have been read

PATIENCE_S = 60.0
# a batch reads the gallery into memory: two at once would only hold it twice
_ONE_AT_A_TIME = Lock()


class TooManyMatches(UsageError):
    """A batch finds more than one answer can hold."""

    http_status = 413


class BatchesWait(ReidError):
    """Another batch is being answered."""

    http_status = 503


@dataclass(frozen=True)
class SearchBatch:
    """What is looked for: stored images, then embeddings, as they come. `request` has no images."""

    request: SearchRequest
    image_ids: tuple[int, ...] = ()
    embeddings: tuple[Sequence[float], ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.size <= MAX_QUERIES:
            raise BadQuestion(
                f"a batch has {self.size:,} queries; expected 1 to {MAX_QUERIES:,} images and "
                "embeddings"
            )

    @property
    def size(self) -> int:
        return len(set(self.image_ids)) + len(self.embeddings)


def search_batch(engine: Engine, batch: SearchBatch) -> Answers:
    """Answer every query of a batch, and write each answer to the audit log.

    The answers are equal to those of one search each. Stored images that the model has not embedded
    stand in `failed`. Raises as `SearchRequest.resolve`, UnknownImage where none is known,
    BadQuestion for an embedding that is none of the model, TooManyMatches, BatchesWait.
    """
    resolved = batch.request.resolve(engine)
    given = _images(batch.embeddings, resolved.model)
    with _turn(batch), engine.begin() as connection, limited(connection):
        found = images_by_id(connection, resolved.model, batch.image_ids, with_thumbnails=False)
        wanted = dict.fromkeys(batch.image_ids)
        failed = {f"image {i}": not_embedded(i, resolved.model) for i in wanted if i not in found}
        stored = [found[image_id] for image_id in wanted if image_id in found]
        if not (stored or given):
            raise UnknownImage("; ".join(failed.values()))
        scope, model = resolved.scope, resolved.model
        queries = as_queries(connection, model, scope.gallery_ids, [*stored, *given])
        answers = _answers(connection, resolved, queries)
        check_centring(connection, model)
        names = [*(f"id:{image.image_id}" for image in stored), *(image.name for image in given)]
        for answer, name in zip(answers, names, strict=True):
            record_answer(connection, batch.request, answer, name)
    nothing = (None,) * len(answers)
    return Answers(tuple(answers), nothing, failed, resolved.question, nothing)


@contextmanager
def _turn(batch: SearchBatch) -> Iterator[None]:
    """Before a connection is taken: who waits keeps none from others. Raises BatchesWait."""
    if batch.size <= FEW:
        yield
        return
    if not _ONE_AT_A_TIME.acquire(timeout=PATIENCE_S):
        raise BatchesWait("another batch is being answered; try again in a moment")
    try:
        yield
    finally:
        _ONE_AT_A_TIME.release()


def _answers(
    connection: Connection, resolved: ResolvedRequest, queries: list[QueryPerson]
) -> list[Answer]:
    """Raises TooManyMatches."""
    scope, question = resolved.scope, resolved.question
    if len(queries) > FEW:
        return answer_many(connection, scope, question, queries, check_number=_check_number)
    answers = [answer_one(connection, scope, question, query) for query in queries]
    _check_number(sum(len(answer.matches) for answer in answers))
    return answers


def answer_many(
    connection: Connection,
    scope: Scope,
    question: Question,
    queries: Sequence[QueryPerson],
    *,
    check_number: Callable[[int], None] = lambda _matches: None,
) -> list[Answer]:
    """The answers in the order of the queries, equal to `answer_one`'s. `check_number` is told how
    many matches they have before these are looked up, and may refuse them."""
    unsearched = count_unsearched(connection, scope)  # first: see `search.exact`
    gallery = load_gallery(connection, scope, question)
    lists = list(rank_many(gallery, question, queries))
    check_number(sum(len(ranked.image_ids) for ranked in lists))
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


def _check_number(matches: int) -> None:
    if matches > MAX_MATCHES:
        raise TooManyMatches(
            f"the batch finds {matches:,} matches, and one answer holds {MAX_MATCHES:,}; set a "
            "limit, a smaller max_distance, or send fewer queries"
        )


def _images(embeddings: Sequence[Sequence[float]], model: ModelRow) -> list[EmbeddedImage]:
    """Of nobody known, taken by no known camera. Raises BadQuestion."""
    return [
        EmbeddedImage(
            name=f"embedding {number}",
            content_hash=b"",
            thumbnail=b"",
            embedding_D=_embedding(numbers, number, model),
            image_id=None,
            pid=None,
            camid=None,
            identities=UNNAMED_SPACE,
        )
        for number, numbers in enumerate(embeddings, start=1)
    ]


def _embedding(numbers: Sequence[float], number: int, model: ModelRow) -> npt.NDArray[np.float32]:
    if len(numbers) != model.dimension:
        raise BadQuestion(
            f"embedding {number} has {len(numbers)} numbers; model {model.name!r} has "
            f"{model.dimension}"
        )
    with np.errstate(over="ignore"):
        embedding_D = np.asarray(numbers, np.float32)
    if not np.isfinite(embedding_D).all():
        raise BadQuestion(f"embedding {number} holds what is no number of 32 bits")
    return embedding_D
