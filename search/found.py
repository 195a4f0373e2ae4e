"""Rows that a statement has proposed, with their exact distances."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

from db.arrays import vectors_from_send
from search.distance import exact_l2
from search.question import QueryPerson


@dataclass(frozen=True)
class Candidate:
    """A row of the gallery with its embedding as `bytes`, and its exact distance to the query."""

    row: Row[Any]
    distance: float
    rerank_distance: float | None = None

    def within(self, max_distance: float, reranked: bool) -> bool:
        """Whether the distance that decides is at most that; who has no re-ranked distance is
        beyond every limit of it."""
        if not reranked:
            return self.distance <= max_distance
        return self.rerank_distance is not None and self.rerank_distance <= max_distance

    @property
    def by_path(self) -> tuple[str, str, int]:
        """What equal distances are ordered by."""
        return self.row.path, self.row.collection, self.row.id


def closest_first(query: QueryPerson, rows: Sequence[Row[Any]]) -> list[Candidate]:
    """The rows by their exact distances, ties by path."""
    embeddings_ND = vectors_from_send([row.bytes for row in rows], len(query.embedding_D))
    distances = exact_l2(query.embedding_D, embeddings_ND).tolist()
    found = [Candidate(row, distance) for row, distance in zip(rows, distances, strict=True)]
    return sorted(found, key=lambda one: (one.distance, one.by_path))
