"""Embed, then search: what the command line and the page share."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import ARRAY, BigInteger, Connection, Engine, bindparam, text

from actions.ingest import load_network
from actions.models import chosen
from db.arrays import vector_from_send
from db.audit import record
from db.collections import collections_named
from db.models import ModelRow
from errors import UsageError
from images.decode import Decoded, UnreadableImage, content_hash, decode, read_file
from images.names import facts_of
from search.explain import Explanation, explain
from search.filters.leaves import LabelIs
from search.filters.parse import parse
from search.filters.tree import leaves
from search.one import answer_filter, answer_one
from search.question import BadQuestion, QueryPerson, Question, Scope, resolve_max_distance
from search.records import Answer
from search.rerank import Reranking
from search.reranked import reranking
from search.stored import mean_embedding

if TYPE_CHECKING:
    from models.extractor import Extractor

_BATCH = 64


@dataclass(frozen=True)
class Content:
    """An image file's bytes, where there is no file to read: an upload."""

    data: bytes


Source = bytes | str | Content  # a path, or the content itself
Load = Callable[[ModelRow, str | None], "Extractor"]


@dataclass(frozen=True)
class EmbeddedImage:
    """A query image: decoded, with its embedding. `stored` is (image id, pid, camid, identities)
    of an image with the same content that is stored, whose embedding is used."""

    name: str
    content_hash: bytes
    thumbnail: bytes
    embedding_D: "np.ndarray[Any, np.dtype[np.float32]]"
    image_id: int | None
    pid: int | None
    camid: int | None
    identities: str

    def as_query(self) -> QueryPerson:
        return QueryPerson(
            self.name,
            self.embedding_D,
            (self.content_hash,),
            self.pid,
            self.camid,
            self.identities,
        )


Embedded = tuple[list[EmbeddedImage], dict[str, str]]


class NothingAsked(UsageError):
    """Neither an image nor a filter was given."""

    def __init__(self) -> None:
        super().__init__("nothing to look for: give an image, or a filter with --where")


@dataclass(frozen=True)
class Asked:
    """A question in the user's words. `where` is filter text, `max_distance` a number or auto,
    `candidates` how many of the closest images `rerank` puts in a new order."""

    collections: tuple[str, ...]
    where: str | None = None
    max_distance: str | float | None = None
    limit: int | None = None
    not_same_camera: bool = False
    no_duplicates: bool = False
    model: str | None = None
    rerank: bool = False
    candidates: int | None = None
    explain: bool = False

    def check(self, *, with_image: bool) -> None:
        """Raises NothingAsked, or BadQuestion for a distance from nothing."""
        self.reranking(None)
        if with_image:
            return
        if self.where is None:
            raise NothingAsked
        if self.max_distance:
            raise BadQuestion("--max-distance needs an image to measure from")
        if self.rerank:
            raise BadQuestion("--rerank needs an image; a filter alone gives no order to change")

    def question(self, model: ModelRow) -> Question:
        """Raises BadFilter, BadQuestion."""
        return Question(
            filter=None if self.where is None else parse(self.where),
            max_distance=resolve_max_distance(self.max_distance, model),
            limit=self.limit,
            not_same_camera=self.not_same_camera,
            no_duplicates=self.no_duplicates,
            auto_distance=self.max_distance == "auto",
        )

    def reranking(self, limit: int | None) -> Reranking | None:
        """None where none is asked for. Raises BadQuestion."""
        return reranking(limit, self.candidates, wanted=self.rerank)

    def scope(self, connection: Connection, model: ModelRow) -> Scope:
        """Raises UnknownCollection."""
        return Scope(model, tuple(collections_named(connection, self.collections)))


def deciding_fields(question: Question) -> tuple[str, ...]:
    """The readable attributes that the filter speaks of, in its order."""
    if question.filter is None:
        return ()
    fields = [leaf.field for leaf in leaves(question.filter) if isinstance(leaf, LabelIs)]
    return tuple(dict.fromkeys(fields))


def embed_files(
    engine: Engine,
    model: ModelRow,
    files: Sequence[tuple[str, Source]],
    device: str | None,
    on_progress: Callable[[int], object] | None = None,
    load: Load | None = None,
) -> Embedded:
    """(embedded images in order, reasons by name of those that cannot be used).

    What is stored already is not embedded again; torch is imported only when something is left.
    `load` gives the network; without it, one is loaded for this call.
    """
    decoded: dict[str, tuple[bytes, Decoded]] = {}
    failed: dict[str, str] = {}
    for name, source in files:
        try:
            data = source.data if isinstance(source, Content) else read_file(source)
            decoded[name] = content_hash(data), decode(data, any_shape=True)
        except UnreadableImage as error:
            failed[name] = str(error)
        if on_progress:
            on_progress(1)
    with engine.connect() as connection:
        stored = _stored(connection, model, [item[0] for item in decoded.values()])
    fresh = {n: item for n, item in decoded.items() if item[0] not in stored}
    pixels = {n: item[1] for n, item in fresh.items()}
    computed = _embed(model, pixels, device, load or load_network)
    images = [
        _embedded(name, digest, image, stored.get(digest), computed.get(name))
        for name, (digest, image) in decoded.items()
    ]
    return images, failed


def _embedded(
    name: str, digest: bytes, image: Decoded, stored: Any, computed: Any
) -> EmbeddedImage:
    pid, camid = facts_of(name.rsplit("/", 1)[-1])
    return EmbeddedImage(
        name=name,
        content_hash=digest,
        thumbnail=image.thumbnail,
        embedding_D=computed if stored is None else vector_from_send(stored.bytes),
        image_id=None if stored is None else stored.id,
        pid=pid if pid is not None or stored is None else stored.pid,
        camid=camid if camid is not None or stored is None else stored.camid,
        identities="default" if stored is None else stored.identities,
    )


def _stored(connection: Connection, model: ModelRow, hashes: list[bytes]) -> dict[bytes, Any]:
    rows = connection.execute(
        text(
            "SELECT DISTINCT ON (i.content_hash) i.content_hash, i.id, i.pid, i.camid,"
            " c.identities, vector_send(f.embedding) AS bytes FROM image i"
            " JOIN collection c ON c.id = i.collection_id"
            " JOIN feature f ON f.image_id = i.id AND f.model_id = :model"
            " WHERE i.content_hash = ANY(:hashes)"
            " ORDER BY i.content_hash, i.pid NULLS LAST, i.id"
        ),
        {"model": model.id, "hashes": hashes},
    )
    return {row.content_hash: row for row in rows}


def _embed(
    model: ModelRow, images: dict[str, Decoded], device: str | None, load: Load
) -> dict[str, Any]:
    if not images:
        return {}
    network = load(model, device)
    names = list(images)
    result: dict[str, Any] = {}
    for start in range(0, len(names), _BATCH):
        batch = names[start : start + _BATCH]
        pixels = np.stack([network.pixels_of(images[name].image) for name in batch])
        result.update(zip(batch, network(pixels)[1], strict=True))
    return result


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
    files: Sequence[tuple[str, bytes | str]],
    *,
    device: str | None = None,
    purpose: str | None = None,
    same_person: bool = False,
) -> Found:
    """Answers each image, or the filter alone; every answer is written to the audit log.

    With `same_person` the images are one query: the mean of their embeddings.
    """

    def embed(model: ModelRow) -> Embedded:
        return embed_files(engine, model, files, device)

    return search_people(engine, asked, embed if files else None, purpose, same_person)


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
    if same_person and len(queries) > 1:
        queries = [one_query(queries)]
    with engine.begin() as connection:
        if embed:
            answers = [answer_one(connection, scope, question, query, rerank) for query in queries]
        else:
            answers = [answer_filter(connection, scope, question)]
        for answer in answers:
            _audit(connection, asked, answer, purpose)
        explanations = [
            explain(connection, model, question, answer, embedding_seconds)
            if asked.explain
            else None
            for answer in answers
        ]
    thumbnails = tuple(image.thumbnail for image in images[: len(queries)]) if embed else (None,)
    return Found(tuple(answers), thumbnails, failed, question, tuple(explanations))


def one_query(queries: Sequence[QueryPerson]) -> QueryPerson:
    """Several images of one person as one query; what they disagree on is unknown."""

    def agreed(values: set[Any]) -> Any:
        return values.pop() if len(values) == 1 else None

    first = queries[0]
    return QueryPerson(
        f"{first.name} and {len(queries) - 1} more",
        mean_embedding([query.embedding_D for query in queries]),
        tuple(digest for query in queries for digest in query.content_hashes),
        agreed({query.pid for query in queries}),
        agreed({query.camid for query in queries}),
        agreed({query.identities for query in queries}),
    )


def _audit(connection: Connection, asked: Asked, answer: Answer, purpose: str | None) -> None:
    record(
        connection,
        "search",
        {
            "query": answer.query,
            "collections": list(asked.collections),
            "filter": answer.filter,
            "max_distance": answer.max_distance,
            "limit": asked.limit,
            "rerank": None if answer.rerank is None else answer.rerank.to_json(),
            "model": answer.model,
        },
        purpose=purpose,
        result_ids=[match.image_id for match in answer.matches],
        candidates=answer.candidates,
        complete=answer.complete,
    )


def thumbnails_of(engine: Engine, image_ids: Iterable[int]) -> dict[int, bytes]:
    """The stored JPEGs of images, by image id."""
    stmt = text("SELECT image_id, jpeg FROM thumbnail WHERE image_id = ANY(:ids)").bindparams(
        bindparam("ids", type_=ARRAY(BigInteger))
    )
    with engine.connect() as connection:
        rows = connection.execute(stmt, {"ids": sorted(set(image_ids))})
        return {row[0]: bytes(row[1]) for row in rows}
