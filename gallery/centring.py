"""Each camera's own mean, kept with what is stored: see `metrics.centring` for what it is.

`feature.embedding` is what is compared: of a centred model the centred embedding, of another the
network's own. So a search, a run, an evaluation, a calibration, an index and the view read one
column, and there is one definition of distance; a model is centred as a whole or not at all, and
its two calibrated limits change with it. `camera_mean` holds what was subtracted, so that the
network's embedding follows from both (`raw`). What comes is centred by the means that are there;
`refresh` makes them anew and writes the collection's embeddings again, alone, in one transaction
that raises the model's `centring`: who has read before it and after it sees another number.
"""

# N images of a block, D=512 embedding numbers

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, text

from db.arrays import embeddings_from_copy, vector_rows, vectors_from_send
from db.driver import driver_of
from gallery.collections import lock_collections, raise_revision
from metrics.centring import ANY, Means, Sums, due

_BLOCK = 20_000  # images whose embeddings are held at once: 40 MiB
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


def is_centred(connection: Connection, model_id: int) -> bool:
    """Whether the model's embeddings are centred; stays so until the transaction ends."""
    stmt = text("SELECT centred FROM model WHERE id = :model FOR SHARE")
    centred: bool = connection.execute(stmt, {"model": model_id}).scalar_one()
    return centred


def centred_models(connection: Connection) -> list[int]:
    """The ids of the models whose embeddings are centred."""
    return list(connection.scalars(text("SELECT id FROM model WHERE centred ORDER BY id")))


def current_centring(connection: Connection, model_id: int) -> int:
    """The number that every refresh of one of the model's collections raises."""
    stmt = text("SELECT centring FROM model WHERE id = :model")
    number: int = connection.execute(stmt, {"model": model_id}).scalar_one()
    return number


def means_of(connection: Connection, model_id: int, collection_ids: Iterable[int]) -> Means:
    """The means of several collections as one: those of each camera weighed by their numbers of
    images. Of one collection, its own; where nothing is kept, none."""
    rows = connection.execute(
        text(
            "SELECT camid, images, vector_send(mean) AS mean FROM camera_mean"
            " WHERE model_id = :model AND collection_id = ANY(:ids) AND images > 0"
            " ORDER BY collection_id, camid"
        ),
        {"model": model_id, "ids": sorted(set(collection_ids))},
    ).all()
    found: dict[int, list[Any]] = {}
    for row in rows:
        found.setdefault(row.camid, []).append(row)
    return Means({camid: _weighed(own) for camid, own in found.items()})


def _weighed(rows: Sequence[Any]) -> Floats:
    means_KD = vectors_from_send([row.mean for row in rows], (len(rows[0].mean) - 4) // 4)
    if len(rows) == 1:
        only: Floats = means_KD[0]
        return only
    images_K = np.array([row.images for row in rows], np.float64)
    weighed: Floats = (images_K @ means_KD.astype(np.float64) / images_K.sum()).astype(np.float32)
    return weighed


def raw_of(connection: Connection, model_id: int, image_ids: Sequence[int]) -> dict[int, Floats]:
    """The network's own embeddings of stored images, by image id."""
    rows = connection.execute(
        text(
            "SELECT image_id, collection_id, camid, vector_send(embedding) AS bytes FROM feature"
            " WHERE model_id = :model AND image_id = ANY(:ids)"
        ),
        {"model": model_id, "ids": list(image_ids)},
    ).all()
    found: dict[int, Floats] = {}
    for collection_id in {row.collection_id for row in rows}:
        own = [row for row in rows if row.collection_id == collection_id]
        stored_ND = vectors_from_send([row.bytes for row in own], (len(own[0].bytes) - 4) // 4)
        means = means_of(connection, model_id, [collection_id])
        raw_ND = means.raw(stored_ND, cameras(row.camid for row in own))
        found.update(zip((row.image_id for row in own), raw_ND, strict=True))
    return found


def centre_again(connection: Connection, model_id: int, raw: dict[int, Floats]) -> None:
    """Writes the embeddings of stored images from the network's own, as their collection and camera
    are now."""
    rows = connection.execute(
        text(
            "SELECT image_id, collection_id, camid FROM feature"
            " WHERE model_id = :model AND image_id = ANY(:ids)"
        ),
        {"model": model_id, "ids": list(raw)},
    ).all()
    for collection_id in {row.collection_id for row in rows}:
        own = [row for row in rows if row.collection_id == collection_id]
        means = means_of(connection, model_id, [collection_id])
        raw_ND = np.stack([raw[row.image_id] for row in own])
        ids_N = np.array([row.image_id for row in own], np.int64)
        _write(connection, model_id, ids_N, means.centred(raw_ND, cameras(r.camid for r in own)))


def cameras(camids: Iterable[int | None]) -> Ints:
    """Cameras as `metrics.centring` has them: an unknown one is `ANY`."""
    return np.array([ANY if camid is None else camid for camid in camids], np.int64)


def refresh(connection: Connection, model_id: int, collection_id: int, *, centred: bool) -> int:
    """Makes the means of a collection anew of what it holds, or takes them away, and writes its
    embeddings by them; gives the number of images. Holds the collection alone."""
    lock_collections(connection, [collection_id], exclusive=True)
    known, sums, number = means_of(connection, model_id, [collection_id]), Sums(), 0
    for _, camids_N, stored_ND in _blocks(connection, model_id, collection_id):
        sums.add(known.raw(stored_ND, camids_N), camids_N)
        number += len(camids_N)
    means = sums.means() if centred else Means()
    for ids_N, camids_N, stored_ND in _blocks(connection, model_id, collection_id):
        new_ND = means.centred(known.raw(stored_ND, camids_N), camids_N)
        _write(connection, model_id, ids_N, new_ND)
    _keep(connection, model_id, collection_id, means, sums.images)
    connection.execute(
        text("UPDATE model SET centring = centring + 1 WHERE id = :model"), {"model": model_id}
    )
    raise_revision(connection, collection_id)
    return number


def _blocks(
    connection: Connection, model_id: int, collection_id: int
) -> Iterator[tuple[Ints, Ints, Floats]]:
    """(ids, cameras, embeddings) of a collection, in the order of ids."""
    after = 0
    while True:
        of_block = (
            f"FROM feature WHERE model_id = {int(model_id)}"
            f" AND collection_id = {int(collection_id)} AND image_id > {after}"
            f" ORDER BY image_id LIMIT {_BLOCK}"
        )
        stmt = f"COPY (SELECT image_id, embedding {of_block}) TO STDOUT (FORMAT binary)"
        with driver_of(connection).cursor() as cursor, cursor.copy(stmt.encode()) as copy:
            data = b"".join(copy)
        camids = connection.scalars(text(f"SELECT camid {of_block}")).all()
        if not camids:
            return
        ids_N, stored_ND = embeddings_from_copy(data, 512)
        yield ids_N, cameras(camids), stored_ND
        after = int(ids_N[-1])


def _write(connection: Connection, model_id: int, ids_N: Ints, new_ND: Floats) -> None:
    connection.execute(text("CREATE TEMP TABLE IF NOT EXISTS centred_rows"
                            " (image_id bigint, embedding vector) ON COMMIT DROP"))  # fmt: skip
    stmt = b"COPY centred_rows (image_id, embedding) FROM STDIN (FORMAT binary)"
    with driver_of(connection).cursor() as cursor, cursor.copy(stmt) as copy:
        copy.write(vector_rows(ids_N, new_ND))
    connection.execute(
        text(
            "UPDATE feature SET embedding = r.embedding FROM centred_rows r"
            " WHERE feature.model_id = :model AND feature.image_id = r.image_id"
        ),
        {"model": model_id},
    )
    connection.execute(text("TRUNCATE centred_rows"))


def _keep(
    connection: Connection, model_id: int, collection_id: int, means: Means, images: dict[int, int]
) -> None:
    values = {"model": model_id, "collection": collection_id}
    connection.execute(
        text("DELETE FROM camera_mean WHERE model_id = :model AND collection_id = :collection"),
        values,
    )
    counts = {**images, ANY: sum(images.values())}
    rows = [
        {**values, "camid": camid, "images": counts[camid], "mean": str(mean.tolist())}
        for camid, mean in means.of_camera.items()
    ]
    if rows:
        connection.execute(
            text(
                "INSERT INTO camera_mean (model_id, collection_id, camid, images, mean)"
                " VALUES (:model, :collection, :camid, :images, CAST(:mean AS vector))"
            ),
            rows,
        )


def forget_soon(connection: Connection, collection_ids: Iterable[int]) -> None:
    """Notes that means hold a trace of images that were removed: `due_collections` names them."""
    connection.execute(
        text("UPDATE camera_mean SET stale = true WHERE collection_id = ANY(:ids)"),
        {"ids": list(collection_ids)},
    )


def due_collections(connection: Connection, *, grown: bool) -> list[tuple[int, int]]:
    """(model, collection) whose means are to be made anew: images were removed, or with `grown`
    their numbers are others than those that the means were made of (`metrics.centring.due`)."""
    stale = connection.execute(
        text("SELECT DISTINCT model_id, collection_id FROM camera_mean WHERE stale ORDER BY 1, 2")
    )
    found = {(row.model_id, row.collection_id) for row in stale}
    if not grown:
        return sorted(found)
    now = connection.execute(
        text(
            "SELECT f.model_id, f.collection_id, f.camid, count(*) AS images FROM feature f"
            " JOIN model m ON m.id = f.model_id AND m.centred GROUP BY 1, 2, 3"
        )
    )
    counted = _by_camera(now)
    known = _by_camera(
        connection.execute(text("SELECT model_id, collection_id, camid, images FROM camera_mean"))
    )
    for key, cameras in counted.items():
        cameras[ANY] = sum(cameras.values())
        if due(known.get(key, {}), cameras):
            found.add(key)
    return sorted(found)


def _by_camera(rows: Iterable[Any]) -> dict[tuple[int, int], dict[int, int]]:
    found: dict[tuple[int, int], dict[int, int]] = {}
    for row in rows:
        camid = ANY if row.camid is None else row.camid
        found.setdefault((row.model_id, row.collection_id), {})[camid] = row.images
    return found
