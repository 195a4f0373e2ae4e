"""Stored queries: a set keeps each query's images, embeddings, filter and limits."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sqlalchemy import ARRAY, Connection, Row, Text, delete, func, insert, literal, select
from sqlalchemy.dialects.postgresql import insert as upsert

from db.arrays import vector_from_send
from db.schema import (
    Feature,
    Query,
    QueryEmbedding,
    QueryImage,
    QuerySet,
    QuestionGallery,
    Run,
)
from db.schema import Question as QuestionTable
from db.spelling import as_stored, one_form, spellings
from errors import UsageError, did_you_mean
from gallery.centring import cameras, means_of, raw_of
from gallery.collections import CollectionRow, all_collections, lock_collections
from gallery.model_rows import ModelRow
from gallery.store import erased_hashes
from metrics.centring import Means
from query_sets.export_names import exported
from search.distance import Floats32
from search.filters.text import to_text
from search.filters.tree import from_json
from search.question import MAX_DISTANCE, QueryPerson, Question, mean_embedding


class UnknownQuerySet(UsageError):
    """No query set of that name exists."""

    http_status = 404


class ErasedQuery(UsageError):
    """An image was erased; it is not stored as a query."""


class QueryExists(UsageError):
    """A set has a query of that name already."""

    http_status = 409


NAME_BYTES = 1_600  # of a query: an index of the database holds little more


@dataclass(frozen=True)
class NewImage:
    """An image of a query to store. `image_id` is its row where it is in a collection too."""

    content_hash: bytes
    thumbnail: bytes
    embedding: "np.ndarray[Any, np.dtype[np.float32]]"
    image_id: int | None


@dataclass(frozen=True)
class NewQuery:
    """`name` is as exports write it (see `query_sets.export_names`)."""

    name: str
    images: tuple[NewImage, ...]
    pid: int | None
    camid: int | None

    def __post_init__(self) -> None:
        plain = self.name.replace("%", "")  # what an escape starts with
        if not plain or exported(plain) != plain:
            raise ValueError(f"expected an exported name, got {self.name!r}")


@dataclass(frozen=True)
class StoredQuestion:
    """One `query add`: its queries share galleries, filter and limits."""

    id: int
    question: Question
    auto_distance: bool
    gallery_ids: tuple[int, ...]
    gallery_count: int

    @property
    def lacks_gallery(self) -> bool:
        """Whether a collection that it asks in was removed since."""
        return len(self.gallery_ids) < self.gallery_count


def add_queries(
    connection: Connection,
    set_name: str,
    model: ModelRow,
    galleries: Sequence[CollectionRow],
    question: Question,
    *,
    auto_distance: bool,
    queries: Sequence[NewQuery],
) -> int:
    """Adds queries to a set, made where there is none; gives its number of queries.

    Raises QueryExists where a name is taken, ErasedQuery, UsageError for a set name that is none.
    """
    if not set_name.strip() or len(set_name) > 200:
        raise UsageError("a query set needs a name of 1 to 200 characters")
    _check_erased(connection, galleries, queries)
    if _set_called(connection, set_name) is None:
        stmt = upsert(QuerySet).values(name=one_form(set_name))
        connection.execute(stmt.on_conflict_do_nothing())
    set_id = query_set_id(connection, set_name)
    taken = _taken(connection, set_id, [query.name for query in queries])
    if taken:
        raise QueryExists(
            f"query set {set_name!r} has {taken[0]!r} already ({len(taken)} of {len(queries)} are "
            f"there); use another set, or `reid query remove {set_name}` first"
        )
    queries = _as_the_network_gave_them(connection, model, queries)
    question_id = _add_question(connection, set_id, galleries, question, auto_distance)
    query_ids = connection.scalars(
        insert(Query).returning(Query.id, sort_by_parameter_order=True),
        [
            {
                "query_set_id": set_id,
                "question_id": question_id,
                "name": query.name,
                "pid": query.pid,
                "camid": query.camid,
            }
            for query in queries
        ],
    ).all()
    images = [
        (query_id, position, image)
        for query_id, query in zip(query_ids, queries, strict=True)
        for position, image in enumerate(query.images)
    ]
    image_ids = connection.scalars(
        insert(QueryImage).returning(QueryImage.id, sort_by_parameter_order=True),
        [
            {
                "query_id": query_id,
                "position": position,
                "content_hash": image.content_hash,
                "image_id": image.image_id,
                "thumbnail": image.thumbnail,
            }
            for query_id, position, image in images
        ],
    ).all()
    connection.execute(
        insert(QueryEmbedding),
        [
            {
                "model_id": model.id,
                "query_image_id": query_image_id,
                "embedding": image.embedding.tolist(),
            }
            for query_image_id, (_, _, image) in zip(image_ids, images, strict=True)
        ],
    )
    return len(query_ids)


def _as_the_network_gave_them(
    connection: Connection, model: ModelRow, queries: Sequence[NewQuery]
) -> Sequence[NewQuery]:
    """What a set keeps of a stored image is the network's own embedding: its means may change."""
    if not model.centred:
        return queries
    ids = [i.image_id for query in queries for i in query.images if i.image_id is not None]
    raw = raw_of(connection, model.id, ids)
    return [
        replace(
            query,
            images=tuple(
                replace(i, embedding=raw[i.image_id]) if i.image_id in raw else i
                for i in query.images
            ),
        )
        for query in queries
    ]


def _check_erased(
    connection: Connection, galleries: Sequence[CollectionRow], queries: Sequence[NewQuery]
) -> None:
    """An erasure holds every collection alone: it comes before this, or finds what is stored."""
    lock_collections(connection, [gallery.id for gallery in galleries], exclusive=False)
    hashes = [image.content_hash for query in queries for image in query.images]
    erased = erased_hashes(connection, hashes)
    names = [q.name for q in queries if any(i.content_hash in erased for i in q.images)]
    if names:
        raise ErasedQuery(f"{names[0]!r} was erased and is not stored again, not as a query either")


def _taken(connection: Connection, set_id: int, names: list[str]) -> list[str]:
    listed = func.any_(literal(names, ARRAY(Text)))  # of any length, unlike IN
    stmt = select(Query.name).where(Query.query_set_id == set_id, Query.name == listed)
    return sorted(connection.scalars(stmt))


def _add_question(
    connection: Connection,
    set_id: int,
    galleries: Sequence[CollectionRow],
    question: Question,
    auto_distance: bool,
) -> int:
    stmt = insert(QuestionTable).values(
        query_set_id=set_id,
        filter=None if question.filter is None else question.filter.to_json(),
        auto_distance=auto_distance,
        max_distance=None if auto_distance else question.max_distance,
        match_limit=question.limit,
        gallery_count=len(galleries),
        not_same_camera=question.not_same_camera,
        no_duplicates=question.no_duplicates,
        rerank=question.reranked,
    )
    question_id: int = connection.execute(stmt.returning(QuestionTable.id)).scalar_one()
    connection.execute(
        insert(QuestionGallery),
        [{"question_id": question_id, "collection_id": gallery.id} for gallery in galleries],
    )
    return question_id


def query_set_id(connection: Connection, name: str) -> int:
    """Raises UnknownQuerySet, suggesting the nearest name."""
    found = _set_called(connection, name)
    if found is not None:
        return found
    names = list(connection.scalars(select(QuerySet.name).order_by(QuerySet.name)))
    known = f"; there are {', '.join(names)}" if names else "; see `reid query add --help`"
    raise UnknownQuerySet(f"no query set {name!r}{did_you_mean(name, names) or known}")


def _set_called(connection: Connection, name: str) -> int | None:
    stmt = select(QuerySet.name, QuerySet.id).where(QuerySet.name.in_(spellings(name)))
    found = {row.name: row.id for row in connection.execute(stmt)}
    return found.get(as_stored(name, found) or "")


def questions_of(
    connection: Connection, set_id: int, model: ModelRow | None
) -> list[StoredQuestion]:
    """The questions of a set in the order they were added, `auto` resolved by the model's limits;
    without a model it stays unknown."""
    galleries: dict[int, list[int]] = {}
    stmt = select(QuestionGallery.question_id, QuestionGallery.collection_id)
    for question_id, collection_id in connection.execute(
        stmt.order_by(QuestionGallery.question_id, QuestionGallery.collection_id)
    ):
        galleries.setdefault(question_id, []).append(collection_id)
    rows = connection.execute(
        select(*QuestionTable.__table__.columns)
        .where(QuestionTable.query_set_id == set_id)
        .order_by(QuestionTable.id)
    )
    return [
        StoredQuestion(
            id=row.id,
            question=Question(
                filter=None if row.filter is None else from_json(row.filter),
                max_distance=_limit(row, model),
                auto_distance=row.auto_distance,
                limit=row.match_limit,
                not_same_camera=row.not_same_camera,
                no_duplicates=row.no_duplicates,
                reranked=row.rerank,
            ),
            auto_distance=row.auto_distance,
            gallery_ids=tuple(galleries.get(row.id, ())),
            gallery_count=row.gallery_count,
        )
        for row in rows
    ]


def _limit(row: Row[Any], model: ModelRow | None) -> float | None:
    if row.auto_distance:
        return None if model is None else model.limit(reranked=row.rerank)
    # earlier versions stored any number: what is beyond every distance leaves out nobody
    return None if row.max_distance is None else min(row.max_distance, MAX_DISTANCE)


def people_of(
    connection: Connection, stored: StoredQuestion, model: ModelRow
) -> tuple[list[tuple[int, QueryPerson]], int]:
    """((query id, query) in the order of adding, number of queries without this model's
    embedding). Several images of a query count as their mean, normalised as they are; each is
    compared as in a search (`search.query_images.as_queries`)."""
    means = means_of(connection, model.id, stored.gallery_ids) if model.centred else Means()
    rows = connection.execute(
        select(
            Query.id, Query.name, Query.pid, Query.camid, QueryImage.content_hash,
            func.vector_send(QueryEmbedding.embedding).label("bytes"),
            func.vector_send(Feature.embedding).label("stored"),
        )
        .outerjoin(QueryImage, QueryImage.query_id == Query.id)
        .outerjoin(
            QueryEmbedding,
            (QueryEmbedding.query_image_id == QueryImage.id)
            & (QueryEmbedding.model_id == model.id),
        )
        .outerjoin(
            Feature, (Feature.image_id == QueryImage.image_id) & (Feature.model_id == model.id)
        )
        .where(Query.question_id == stored.id)
        .order_by(Query.id, QueryImage.position)
    ).all()  # fmt: skip
    grouped: dict[int, list[Any]] = {}
    for row in rows:
        grouped.setdefault(row.id, []).append(row)
    people, without = [], 0
    for query_id, own in grouped.items():
        if any(row.bytes is None for row in own):
            without += 1
            continue
        person = QueryPerson(
            own[0].name,
            mean_embedding([_compared(row, model, means) for row in own]),
            tuple(row.content_hash for row in own),
            own[0].pid,
            own[0].camid,
        )
        people.append((query_id, person))
    return people, without


def _compared(row: Row[Any], model: ModelRow, means: Means) -> Floats32:
    if model.centred and row.stored is not None:
        return vector_from_send(row.stored)
    raw_D = vector_from_send(row.bytes)
    compared_D: Floats32 = means.centred(raw_D[None], cameras([row.camid]))[0]
    return compared_D


def all_sets(connection: Connection) -> list[dict[str, Any]]:
    """`{"name", "queries", "runs", "last_run"}` of each set, by name."""
    queries = select(func.count()).where(Query.query_set_id == QuerySet.id).scalar_subquery()
    runs = select(func.count()).where(Run.query_set_id == QuerySet.id).scalar_subquery()
    last = select(func.max(Run.finished_at)).where(Run.query_set_id == QuerySet.id)
    stmt = select(
        QuerySet.name,
        queries.label("queries"),
        runs.label("runs"),
        last.scalar_subquery().label("last_run"),
    ).order_by(QuerySet.name)
    return [dict(row._mapping) for row in connection.execute(stmt)]


def describe_set(connection: Connection, name: str) -> list[dict[str, Any]]:
    """Each question of a set: its queries, galleries, filter and limits."""
    set_id = query_set_id(connection, name)
    names = {row.id: row.name for row in all_collections(connection)}
    counted = connection.execute(
        select(Query.question_id, func.count())
        .where(Query.query_set_id == set_id)
        .group_by(Query.question_id)
    )
    counts = {row[0]: row[1] for row in counted}
    return [
        {
            "queries": counts.get(stored.id, 0),
            "galleries": [names[i] for i in stored.gallery_ids],
            "filter": None if stored.question.filter is None else to_text(stored.question.filter),
            "max_distance": "auto" if stored.auto_distance else stored.question.max_distance,
            # `auto` is a distance too, known only when the set is run
            "limit": stored.question.limit
            if stored.auto_distance
            else stored.question.effective_limit,
            "not_same_camera": stored.question.not_same_camera,
            "no_duplicates": stored.question.no_duplicates,
            "rerank": stored.question.reranked,
        }
        for stored in questions_of(connection, set_id, None)
    ]


def remove_set(connection: Connection, name: str) -> None:
    """Removes a set with its queries, runs and verdicts. Raises UnknownQuerySet."""
    connection.execute(delete(QuerySet).where(QuerySet.id == query_set_id(connection, name)))
