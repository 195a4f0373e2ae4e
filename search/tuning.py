"""How broadly the index must be searched so that it finds what an exact scan finds.

Measured when it is built: for queries like new images of its people, the breadth is raised until
the closest fifty are found nearly all. What is measured is remembered with the index, and shown by
`index status`.
"""

# D=512 embedding numbers

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import Connection, text

from db.arrays import vectors_from_send
from db.schema import Feature
from gallery.model_rows import feature_counts
from gallery.vector_index import IndexRow
from search.approximate import MOST_BREADTH, closest_by_index
from search.exact import answer_one
from search.question import QueryPerson, Question, Scope
from search.statement import passing
from search.work import Route, Work

AIM = 0.995  # of the closest fifty; with few queries 0.99 would be missed as often as met
TOP = 50
QUERIES = 24
_BREADTHS = (40, 64, 100, 150, 200, 300, 400, 600, 800, MOST_BREADTH)
_NEIGHBOUR = 3  # an image and its neighbour differ as two images of a person do
_SEED = 50


def tuned(
    connection: Connection,
    scope: Scope,
    index: IndexRow,
    on_progress: Callable[[str, float], object] | None = None,
) -> dict[str, Any]:
    """`{"breadth", "recall", "queries", "rows", "measured_at"}` for the images of the scope.

    `recall` is the share of an exact scan's fifty closest that the index gives, in [0, 1], None
    where there are no more images than that. The breadth is the smallest that reaches `AIM`, or the
    largest there is.
    """
    question = Question(limit=TOP)
    queries = _queries(connection, scope, index)
    wanted = []
    for position, query in enumerate(queries):
        if on_progress:
            on_progress("measures its recall", position / len(queries))
        wanted.append({m.image_id for m in answer_one(connection, scope, question, query).matches})
    recall, held = None, _BREADTHS[0]
    for held in _BREADTHS if wanted else ():
        recall = _recall(connection, scope, _held(index, held), queries, wanted)
        if recall >= AIM:
            break
    return {
        "breadth": held,
        "recall": recall,
        "queries": len(queries),
        "rows": feature_counts(connection).get(scope.model.id, 0),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _held(index: IndexRow, breadth: int) -> IndexRow:
    return replace(index, facts={"breadth": breadth})


def _recall(
    connection: Connection,
    scope: Scope,
    index: IndexRow,
    queries: Sequence[QueryPerson],
    wanted: Sequence[set[int]],
) -> float:
    """The share that the graph finds. Where it gives up, an exact scan would answer: all of it."""
    shares = []
    for query, images in zip(queries, wanted, strict=True):
        found = _near(connection, scope, index, query, TOP)
        given = images if found is None else {one.row.id for one in found[:TOP]}
        shares.append(len(images & given) / len(images))
    return float(np.mean(shares))


def _near(
    connection: Connection, scope: Scope, index: IndexRow, query: QueryPerson, number: int
) -> Any:
    stmt = passing(scope, Question(), Feature.image_id)
    return closest_by_index(connection, Work(stmt, route=Route(index=index)), query, None, number)


def _queries(connection: Connection, scope: Scope, index: IndexRow) -> list[QueryPerson]:
    """As far from an image as another image is from its neighbour; none where rows are few."""
    rows = connection.execute(
        text(
            "SELECT image_id, vector_send(embedding) AS bytes FROM feature"
            " WHERE model_id = :model ORDER BY hashint8extended(image_id, :seed) LIMIT :number"
        ),
        {"model": scope.model.id, "seed": _SEED, "number": QUERIES},
    ).all()
    images = [vectors_from_send([row.bytes], scope.model.dimension)[0] for row in rows]
    queries = []
    for number, image_D in enumerate(images):
        found = _near(connection, scope, index, QueryPerson("", image_D), _NEIGHBOUR + TOP)
        if found is not None:
            (near_D,) = vectors_from_send([found[_NEIGHBOUR].row.bytes], len(image_D))
            # another person's difference, so that the place is new in every direction
            new_D = images[number - 1] + image_D - near_D
            unit_D = new_D / np.linalg.norm(new_D)
            queries.append(QueryPerson(str(number), unit_D.astype(np.float32)))
    return queries
