"""Many queries with one question: the bulk path, for stored queries and evaluation.

The gallery is read once by binary COPY and compared by matrix products; filter and distance are
those of the statement path, and a test proves the answers equal.
"""

# Q queries, G gallery images, D=512 embedding numbers

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import ARRAY, BigInteger, Connection, Row, func, literal, select

from db.arrays import embeddings_from_copy
from db.schema import Collection, Feature, Image
from metrics.reid import JUNK
from search.distance import nearest
from search.question import QueryPerson, Question, Scope, stacked
from search.rerank import Reranking, alone
from search.reranked import reranking
from search.statement import MATCH_COLUMNS, copy_out, passing

_BLOCK = 256


@dataclass(frozen=True)
class Gallery:
    """Images that pass a filter, in the order of path, collection, id: ties keep this order."""

    ids_G: npt.NDArray[np.int64]
    embeddings_GD: npt.NDArray[np.float32]
    camids_G: npt.NDArray[np.int64]  # -1 where unknown
    pids_G: npt.NDArray[np.int64]  # -2 where unknown
    hashes_G: npt.NDArray[np.object_]
    identities_G: npt.NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.ids_G)

    @cached_property
    def rows_by_hash(self) -> dict[bytes, list[int]]:
        """Rows by content. NumPy cannot compare the hashes: its bytes lose zeros at their end."""
        rows: dict[bytes, list[int]] = {}
        for row, content_hash in enumerate(self.hashes_G.tolist()):
            rows.setdefault(content_hash, []).append(row)
        return rows

    def people_in(self, identities: str) -> npt.NDArray[np.int64]:
        """The pids in one identity space; of another they are nobody known. Junk stays junk."""
        known = (self.identities_G == identities) | (self.pids_G == JUNK)
        return np.where(known, self.pids_G, UNKNOWN_PERSON)


UNKNOWN_CAMERA, UNKNOWN_PERSON = -1, -2


_FACTS: tuple[Any, ...] = (
    Image.id,
    func.coalesce(Image.camid, UNKNOWN_CAMERA),
    func.coalesce(Image.pid, UNKNOWN_PERSON),
    Image.content_hash,
    Collection.identities,
)
_BY_PATH: tuple[Any, ...] = (Image.path.collate("C"), Collection.name.collate("C"), Image.id)


def load_gallery(connection: Connection, scope: Scope, question: Question) -> Gallery:
    """Reads every row that passes the question's filter."""
    copied = copy_out(connection, passing(scope, question, Feature.image_id, Feature.embedding))
    ids, embeddings = embeddings_from_copy(copied, scope.model.dimension)
    passed = Image.id.in_(passing(scope, question, Feature.image_id))
    stmt = select(*_FACTS).select_from(Image).join(Collection).where(passed).order_by(*_BY_PATH)
    facts = connection.execute(stmt).all()
    places = {image_id: place for place, image_id in enumerate(ids.tolist())}
    # what came or went between the two statements is left out
    rows = [row for row in facts if row[0] in places]
    order = np.array([places[row[0]] for row in rows], np.int64)
    return Gallery(
        ids_G=ids[order],
        embeddings_GD=embeddings[order],
        camids_G=np.array([row[1] for row in rows], np.int64),
        pids_G=np.array([row[2] for row in rows], np.int64),
        hashes_G=np.array([row[3] for row in rows], object),
        identities_G=np.array([row[4] for row in rows], object),
    )


@dataclass(frozen=True)
class RankedImages:
    """One query's list, closest first. `cut` says that a limit left matches out."""

    query: QueryPerson
    candidates: int
    image_ids: npt.NDArray[np.int64]
    distances: npt.NDArray[np.float64]
    cut: bool
    rerank_distances: npt.NDArray[np.float64] | None = None


def rank_many(
    gallery: Gallery, question: Question, queries: Sequence[QueryPerson]
) -> Iterator[RankedImages]:
    """The ordered list of each query, in the order of the queries."""
    limit = question.effective_limit
    how = question_reranking(question)
    squares_G = np.einsum("gd,gd->g", gallery.embeddings_GD, gallery.embeddings_GD)
    largest = float(squares_G.max(initial=0))
    for start in range(0, len(queries), _BLOCK):
        block = queries[start : start + _BLOCK]
        embeddings_QD = stacked(block)
        own_Q = np.einsum("qd,qd->q", embeddings_QD, embeddings_QD)
        # -2qg, and row by row what makes it the expanded square: a row stays in the cache
        expanded_QG = (-2 * embeddings_QD) @ gallery.embeddings_GD.T
        for query, own, expanded_G in zip(block, own_Q.tolist(), expanded_QG, strict=True):
            expanded_G += squares_G
            expanded_G += own
            allowed_G = _allowed(gallery, question, query)
            passed = len(gallery) if allowed_G is None else int(allowed_G.sum())
            if how is not None:
                rows, distances = nearest(
                    query.embedding_D, expanded_G, gallery.embeddings_GD, allowed_G,
                    None, how.candidates, own + largest,
                )  # fmt: skip
                yield _reranked(gallery, question, query, how, rows, distances, passed)
                continue
            rows, distances = nearest(
                query.embedding_D,
                expanded_G,
                gallery.embeddings_GD,
                allowed_G,
                question.max_distance,
                None if limit is None else limit + 1,
                own + largest,
            )
            yield RankedImages(
                query,
                passed,
                gallery.ids_G[rows[:limit]],
                distances[:limit],
                limit is not None and len(rows) > limit,
            )


def question_reranking(question: Question) -> Reranking | None:
    """How the lists of a question are re-ranked: as a search with the same limits."""
    limited = question.max_distance is not None
    return reranking(question.effective_limit, None, wanted=question.reranked, limited=limited)


def _reranked(
    gallery: Gallery,
    question: Question,
    query: QueryPerson,
    how: Reranking,
    rows_C: npt.NDArray[np.int64],
    distances_C: npt.NDArray[np.float64],
    passed: int,
) -> RankedImages:
    """The list of a query by the re-ranked distance, from its closest rows."""
    by_path_C = np.argsort(rows_C)
    rows_C, distances_C = rows_C[by_path_C], distances_C[by_path_C]
    new_C = np.zeros(0)
    if len(rows_C):
        new_C = alone(query.embedding_D, gallery.embeddings_GD[rows_C], how)
    order = np.argsort(new_C, kind="stable")
    count, limit = passed, question.effective_limit
    if question.max_distance is not None:
        order = order[new_C[order] <= question.max_distance]
        count = len(order)
    order = order[:limit]
    cut = limit is not None and count > limit
    return RankedImages(
        query, passed, gallery.ids_G[rows_C[order]], distances_C[order], cut, new_C[order]
    )


def _allowed(
    gallery: Gallery, question: Question, query: QueryPerson
) -> npt.NDArray[np.bool_] | None:
    """Which gallery images this query may match; None means all."""
    allowed: npt.NDArray[np.bool_] | None = None
    if question.not_same_camera and query.camid is not None:
        allowed = gallery.camids_G != query.camid
    if question.no_duplicates and query.content_hashes:
        differs = ~same_content(gallery, query)
        allowed = differs if allowed is None else allowed & differs
    return allowed


def same_content(gallery: Gallery, query: QueryPerson) -> npt.NDArray[np.bool_]:
    """Which gallery images are byte-identical to an image of the query."""
    same = np.zeros(len(gallery), bool)
    for content_hash in query.content_hashes:
        same[gallery.rows_by_hash.get(content_hash, [])] = True
    return same


def match_facts(connection: Connection, scope: Scope, ids: list[int]) -> dict[int, Row[Any]]:
    """What a match shows of its image, by image id."""
    stmt = (
        select(*MATCH_COLUMNS)
        .select_from(Image)
        .join(Collection)
        .join(Feature, (Feature.image_id == Image.id) & (Feature.model_id == scope.model.id))
        .where(Image.id == func.any_(literal(ids, ARRAY(BigInteger))))
    )
    facts: dict[int, Any] = {row.id: row for row in connection.execute(stmt)}
    return facts
