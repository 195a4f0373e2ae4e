"""People in the database: who is in which group, how sure that is, and what it was made of."""

# N images, D=512 embedding numbers

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, text

from db.arrays import embeddings_from_copy, plain_rows
from db.driver import driver_of
from errors import UsageError
from gallery.collections import CollectionRow
from gallery.model_rows import ModelRow
from metrics.groups import NOBODY
from people.grouping import Said

Ints = npt.NDArray[np.int64]


class NothingFound(UsageError):
    """People were not found yet, where they are asked for."""


@dataclass(frozen=True)
class GroupedImages:
    """What is grouped, in the order of path, collection and id. `persons_N` has each image's person
    of the grouping before, `NOBODY` for none; `pids_N` is -2 where nobody is named."""

    ids_N: Ints
    embeddings_ND: npt.NDArray[np.float32]
    persons_N: Ints
    pids_N: Ints
    identities: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ids_N)


def images_of(
    connection: Connection, model: ModelRow, collections: Sequence[CollectionRow], quality: float
) -> GroupedImages:
    """The images of some collections that the model has embedded, but for those whose crop quality
    is below `quality`."""
    ids = sorted(row.id for row in collections)
    passing = (
        f"FROM feature f WHERE f.model_id = {int(model.id)} AND f.collection_id ="
        f" ANY('{{{','.join(map(str, ids))}}}'::bigint[])"
        f" AND coalesce(f.quality, 1) >= {float(quality)!r}"
    )
    stmt = f"COPY (SELECT f.image_id, f.embedding {passing}) TO STDOUT (FORMAT binary)"
    with driver_of(connection).cursor() as cursor, cursor.copy(stmt.encode()) as copy:
        read_ids, embeddings = embeddings_from_copy(b"".join(copy), model.dimension)
    facts = connection.execute(
        text(
            "SELECT i.id, coalesce(p.person_id, -1) AS person, coalesce(i.pid, -2) AS pid,"
            f" c.identities {passing.replace('FROM feature f', _JOINED)}"
            ' ORDER BY i.path COLLATE "C", c.name COLLATE "C", i.id'
        )
    ).all()
    places = {image_id: place for place, image_id in enumerate(read_ids.tolist())}
    rows = [row for row in facts if row.id in places]
    order = np.array([places[row.id] for row in rows], np.int64)
    return GroupedImages(
        read_ids[order],
        embeddings[order],
        np.array([row.person for row in rows], np.int64),
        np.array([row.pid for row in rows], np.int64),
        tuple(row.identities for row in rows),
    )


_JOINED = (
    "FROM feature f JOIN image i ON i.id = f.image_id"
    " JOIN collection c ON c.id = f.collection_id"
    " LEFT JOIN person_image p ON p.image_id = i.id"
)


def said_of(connection: Connection, ids_N: Ints) -> Said:
    """What reviewers said of these images: a query with a stored image and another image were
    confirmed or rejected as one person; all stored images of one query are one."""
    places = {image_id: place for place, image_id in enumerate(ids_N.tolist())}
    rows = connection.execute(
        text(
            "SELECT x.image_id AS first, v.image_id AS second, v.verdict FROM verdict v"
            " JOIN query_image x ON x.query_id = v.query_id AND x.image_id IS NOT NULL"
            " WHERE x.image_id <> v.image_id"
            " UNION SELECT a.image_id, b.image_id, 'confirm' FROM query_image a"
            " JOIN query_image b ON b.query_id = a.query_id AND a.position < b.position"
            " WHERE a.image_id IS NOT NULL AND b.image_id IS NOT NULL AND a.image_id <> b.image_id"
            " ORDER BY 1, 2, 3"
        )
    ).all()
    found: dict[str, list[tuple[int, int]]] = {"confirm": [], "reject": []}
    for row in rows:
        if row.first in places and row.second in places:
            found[row.verdict].append((places[row.first], places[row.second]))
    return Said(tuple(found["confirm"]), tuple(found["reject"]))


def new_persons(connection: Connection, count: int) -> list[int]:
    """Numbers that no person had before, in order."""
    rows = connection.scalars(
        text(
            "INSERT INTO person (found_at) SELECT now() FROM generate_series(1, :count)"
            " RETURNING id"
        ),
        {"count": count},
    )
    return sorted(rows)


def keep(connection: Connection, ids_N: Ints, persons_N: Ints, sure_N: Any) -> None:
    """Puts images into their persons, out of those that they were in; a person without an image is
    no more, and its number is never given again."""
    connection.execute(
        text("DELETE FROM person_image WHERE image_id = ANY(:ids)"), {"ids": ids_N.tolist()}
    )
    named = persons_N != NOBODY
    rows = plain_rows(ids_N[named], persons_N[named], np.asarray(sure_N, np.float64)[named])
    stmt = b"COPY person_image (image_id, person_id, confidence) FROM STDIN (FORMAT binary)"
    with driver_of(connection).cursor() as cursor, cursor.copy(stmt) as copy:
        copy.write(rows)
    remove_empty(connection)


def remove_empty(connection: Connection) -> None:
    """Removes persons without an image."""
    connection.execute(
        text(
            "DELETE FROM person p"
            " WHERE NOT EXISTS (SELECT FROM person_image i WHERE i.person_id = p.id)"
        )
    )


def outside(connection: Connection, collection_ids: Sequence[int]) -> None:
    """Takes the images of collections out of their persons."""
    connection.execute(
        text(
            "DELETE FROM person_image p USING image i"
            " WHERE i.id = p.image_id AND i.collection_id = ANY(:ids)"
        ),
        {"ids": list(collection_ids)},
    )


def listed(connection: Connection, collection_ids: Sequence[int]) -> list[dict[str, Any]]:
    """`{"person", "images", "cameras", "confidence", "first", "last", "best_image_id"}` of each
    person of some collections, the largest first."""
    rows = connection.execute(
        text(
            "SELECT p.person_id AS person, count(*) AS images,"
            " count(DISTINCT i.camid) AS cameras, avg(p.confidence) AS confidence,"
            " min(i.captured_at) AS first, max(i.captured_at) AS last,"
            " (array_agg(i.id ORDER BY f.quality DESC NULLS LAST, p.confidence DESC, i.id))[1]"
            " AS best_image_id"
            " FROM person_image p JOIN image i ON i.id = p.image_id"
            " LEFT JOIN feature f ON f.image_id = i.id"
            " AND f.model_id = (SELECT id FROM model WHERE active)"
            " WHERE i.collection_id = ANY(:ids) GROUP BY p.person_id ORDER BY 2 DESC, 1"
        ),
        {"ids": list(collection_ids)},
    )
    return [dict(row._mapping) for row in rows]


def members(connection: Connection, collection_ids: Sequence[int]) -> list[Any]:
    """`person, confidence, image_id, collection, path, source, path_raw, pid, camid, captured_at,
    labels` of each image that is in a person, by person, then path."""
    stmt = text(
        "SELECT p.person_id AS person, p.confidence, i.id AS image_id, c.name AS collection,"
        " i.path, i.source, i.path_raw, i.pid, i.camid, i.captured_at, f.labels"
        " FROM person_image p JOIN image i ON i.id = p.image_id"
        " JOIN collection c ON c.id = i.collection_id"
        " LEFT JOIN feature f ON f.image_id = i.id"
        " AND f.model_id = (SELECT id FROM model WHERE active)"
        ' WHERE i.collection_id = ANY(:ids) ORDER BY p.person_id, i.path COLLATE "C", i.id'
    )
    return list(connection.execute(stmt, {"ids": list(collection_ids)}))
