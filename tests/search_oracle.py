"""Made-up galleries, questions to them, and what brute force answers."""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st
from sqlalchemy import Connection

from gallery.collections import CollectionRow
from gallery.model_rows import ModelRow
from search.filters.parse import parse
from search.filters.tree import Filter
from search.question import QueryPerson, Question
from tests.fakes import Stored, store
from tests.filter_oracle import Row, holds
from vocabulary import decide

FILTERS = (
    None,
    "camera = 2",
    "camera != 2",
    "gender = female",
    "pid in (1, 2) or hat",
    'path starts with "a/"',
    "collection = one",
    "not upper_color = unknown and backpack >= 0.5",
    "age = young and age = old",
)
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Case:
    """A gallery from a seed, and a question to it."""

    seed: int
    count: int
    scale: float  # 0: numbers on a coarse grid, whose distances are exact and often equal
    filter: Filter | None
    limit: int | None
    distance: str | None
    not_same_camera: bool
    no_duplicates: bool

    def question(self, max_distance: float | None) -> Question:
        return Question(
            self.filter, max_distance, self.limit, self.not_same_camera, self.no_duplicates
        )


cases = st.builds(
    Case,
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(0, 40),
    scale=st.sampled_from([0.0, 0.0, 1.0, 30.0]),
    filter=st.sampled_from(FILTERS).map(lambda t: parse(t) if t else None),
    limit=st.sampled_from([None, 1, 2, 5, 20, 100]),
    distance=st.sampled_from([None, "of an image", "zero", "random"]),
    not_same_camera=st.booleans(),
    no_duplicates=st.booleans(),
)


def embeddings(rng: np.random.Generator, count: int, scale: float) -> Floats:
    if scale == 0:
        rows = np.zeros((count, 512), np.float32)
        rows[:, :4] = rng.integers(0, 3, (count, 4)) / 2
        return rows
    rows = rng.normal(size=(count, 512)).astype(np.float32)
    rows *= scale / np.linalg.norm(rows, axis=1, keepdims=True)
    for copy in range(0, count - 1, 3):
        rows[copy + 1] = rows[copy]
    return rows


@dataclass(frozen=True)
class Gallery:
    """What is stored, beside the rows that the filter oracle reads."""

    items: list[tuple[int, str, Stored]]  # image id, collection, what is stored

    def passing(self, case: Case, query: QueryPerson) -> list[tuple[int, str, Stored]]:
        return [item for item in self.items if self._passes(case, query, *item)]

    def _passes(self, case: Case, query: QueryPerson, _: int, name: str, item: Stored) -> bool:
        if case.not_same_camera and query.camid is not None and item.camid == query.camid:
            return False
        if case.no_duplicates and item.content_hash in query.content_hashes:
            return False
        row = Row(
            tuple(decide(item.scores)), tuple(item.scores), None, item.camid, item.pid, name,
            item.path, datetime.now(UTC),
        )  # fmt: skip
        return case.filter is None or holds(case.filter, row)


def fill(
    connection: Connection, model: ModelRow, rows: list[CollectionRow], case: Case
) -> tuple[Gallery, list[QueryPerson]]:
    rng = np.random.default_rng(case.seed)
    vectors = embeddings(rng, case.count + 3, case.scale)
    items: list[tuple[int, str, Stored]] = []
    for number, row in enumerate(rows):
        own = [
            Stored(
                # "B" < "a" < "é" by bytes; the same path stands in both collections
                path=f"{('a', 'B', 'é', 'a/b')[n % 4]}/{n // 2}.jpg",
                embedding=vectors[n],
                scores=tuple(float(s) for s in rng.random(56, np.float32)),
                pid=(None, 0, 1, 2)[rng.integers(4)],
                camid=(None, 1, 2)[rng.integers(3)],
                content_hash=bytes([rng.integers(3)]) * 31 + b"\0",
            )
            for n in range(case.count)
            if n % 2 == number or n % 5 == 0
        ]
        ids = store(connection, model, row, own)
        items += [(image_id, row.name, item) for image_id, item in zip(ids, own, strict=True)]
    queries = [
        QueryPerson(
            f"q{n}",
            vector,
            tuple(bytes([value]) * 31 + b"\0" for value in range(n)),
            pid=1,
            camid=(None, 1, 2)[n],
            identities="default",
        )
        for n, vector in enumerate(vectors[-3:])
    ]
    return Gallery(items), queries


def limit_of(case: Case, gallery: Gallery, query: QueryPerson) -> float | None:
    rng = np.random.default_rng(case.seed + 1)
    if case.distance == "of an image" and gallery.items:
        return l2(query.embedding_D, gallery.items[rng.integers(len(gallery.items))][2].embedding)
    if case.distance == "random":
        return float(rng.random() * 2 * max(case.scale, 1))
    return None if case.distance is None else 0.0


def l2(a: Floats, b: Floats) -> float:
    difference = a.astype(np.float64) - b.astype(np.float64)
    return float(np.sqrt(np.einsum("d,d->", difference, difference)))


def brute_force(
    gallery: Gallery, case: Case, query: QueryPerson, question: Question
) -> tuple[list[tuple[int, float]], int, bool]:
    """((image id, distance) in order, candidates, complete)."""
    passing = gallery.passing(case, query)
    near = [
        (l2(query.embedding_D, item.embedding), item.path, name, image_id)
        for image_id, name, item in passing
    ]
    if question.max_distance is not None:
        near = [row for row in near if row[0] <= question.max_distance]
    near.sort()
    limit = question.limit
    if limit is None and question.max_distance is None:
        limit = 50
    ranked = [(image_id, distance) for distance, _, _, image_id in near]
    cut = limit is not None and len(ranked) > limit
    return ranked[:limit], len(passing), not cut
