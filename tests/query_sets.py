"""Query sets without pictures: a gallery on a line, and queries to it."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sqlalchemy import Engine

from gallery.collections import CollectionRow
from gallery.model_rows import ModelRow
from query_sets.export import reid_test
from query_sets.runs import RunSummary, latest_run, run_set
from query_sets.set_rows import (
    NewImage,
    NewQuery,
    add_queries,
)
from search.question import Question

Floats = npt.NDArray[np.float32]


def at(position: float) -> Floats:
    vector = np.zeros(512, np.float32)
    vector[3] = position
    return vector


def query(name: str, *positions: float, content: bytes = b"", camid: int | None = None) -> NewQuery:
    images = tuple(NewImage(content or b"?", b"jpeg", at(p), None) for p in positions)
    return NewQuery(name, images, 1, camid)


def add(
    engine: Engine,
    model: ModelRow,
    galleries: Sequence[CollectionRow],
    queries: Sequence[NewQuery],
    question: Question | None = None,
    *,
    name: str = "set",
    auto: bool = False,
) -> int:
    with engine.begin() as connection:
        return add_queries(
            connection,
            name,
            model,
            galleries,
            question or Question(max_distance=1.0),
            auto_distance=auto,
            queries=queries,
        )


def run(engine: Engine, model: ModelRow, name: str = "set") -> RunSummary:
    with engine.begin() as connection:
        return run_set(connection, name, model)


def exported(engine: Engine, name: str = "set") -> str:
    with engine.connect() as connection:
        return reid_test(connection, latest_run(connection, name)).text
