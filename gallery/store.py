"""The batch store: features and their manifest rows change in one transaction."""

# N images, A=56 scores, D=512 embedding numbers

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, text

from db.arrays import blob_rows, feature_rows
from db.driver import driver_of
from db.faults import reached
from gallery import centring, manifest
from gallery.collections import lock_collections, raise_revision
from gallery.model_rows import current_cutoffs
from metrics.decided import decide_rows

ERASED = "this image was erased; it is not taken in again"


@dataclass(frozen=True)
class ReadImage:
    """What reading a file gave, whether or not a feature is computed for it."""

    image_id: int
    collection_id: int
    camid: int | None
    content_hash: bytes
    width: int
    height: int
    thumbnail: bytes


@dataclass(frozen=True)
class Failure:
    """Why an image cannot be stored: a sentence for a person, and its kind, which is counted."""

    image_id: int
    reason: str
    kind: str


@dataclass(frozen=True)
class Features:
    """Scores and embeddings of images, row by row, and the labels that are decided from them."""

    scores_NA: npt.NDArray[np.float32]
    embeddings_ND: npt.NDArray[np.float32]
    qualities: tuple[float | None, ...]

    def __post_init__(self) -> None:
        count = len(self.qualities)
        if self.scores_NA.shape != (count, 56) or self.embeddings_ND.ndim != 2:
            raise ValueError(f"expected {count} rows of 56 scores, got {self.scores_NA.shape}")
        if len(self.embeddings_ND) != count:
            raise ValueError(f"expected {count} embeddings, got {len(self.embeddings_ND)}")
        if not (np.isfinite(self.scores_NA).all() and np.isfinite(self.embeddings_ND).all()):
            raise ValueError("expected finite scores and embeddings")


@dataclass(frozen=True)
class Batch:
    """What a worker has done with its leases, to be stored at once.

    `computed[i]` has the features in row i; `copied` maps an image to one with the same content
    whose stored features it shares; `unchanged` have their features; `failed` have reasons.
    """

    computed: tuple[ReadImage, ...] = ()
    features: Features | None = None
    copied: tuple[tuple[ReadImage, int], ...] = ()
    unchanged: tuple[int, ...] = ()
    failed: tuple[Failure, ...] = ()

    @property
    def image_ids(self) -> list[int]:
        read = [image.image_id for image in self.read]
        return [*read, *self.unchanged, *(failure.image_id for failure in self.failed)]

    @property
    def read(self) -> list[ReadImage]:
        return [*self.computed, *(image for image, _ in self.copied)]


def store_batch(connection: Connection, worker_id: int, model_id: int, batch: Batch) -> set[int]:
    """Stores a batch in the caller's transaction; gives the image ids that it settled.

    What another worker has taken over meanwhile is left to it. What was erased since it was read
    fails, and is not among them.
    """
    lock_collections(connection, {image.collection_id for image in batch.read}, exclusive=False)
    erased = erased_hashes(connection, [image.content_hash for image in batch.read])
    gone = {image.image_id for image in batch.read if image.content_hash in erased}
    # before any other row: who changes them waits for this batch, or this batch for them
    cutoffs = current_cutoffs(connection, model_id)
    centred = centring.is_centred(connection, model_id)
    ours = manifest.owned(connection, worker_id, model_id, batch.image_ids)
    gone &= ours
    read = [image for image in batch.read if image.image_id in ours - gone]
    _update_images(connection, model_id, read)
    keep = [i for i, image in enumerate(batch.computed) if image.image_id in ours - gone]
    if batch.features is not None and keep:
        images = [batch.computed[i] for i in keep]
        _copy_features(connection, model_id, images, batch.features, keep, cutoffs, centred)
    pairs = [pair for pair in batch.copied if pair[0].image_id in ours - gone]
    shared = _share_features(connection, model_id, pairs)
    if centred and shared:
        twins = centring.raw_of(connection, model_id, [twin for _, twin in pairs])
        raw = {i.image_id: twins[twin] for i, twin in pairs if i.image_id in shared}
        centring.centre_again(connection, model_id, raw)
    done = {batch.computed[i].image_id for i in keep} | shared | (set(batch.unchanged) & ours)
    failed = {bad.image_id: bad.reason for bad in batch.failed if bad.image_id in ours}
    reasons = {**dict.fromkeys(done), **failed, **dict.fromkeys(gone, ERASED)}
    manifest.finish_tasks(connection, model_id, list(reasons), list(reasons.values()))
    # a twin that vanished or changed meanwhile left these without: they are computed next time
    manifest.reopen(
        connection, model_id, [i.image_id for i, _ in pairs if i.image_id not in shared]
    )
    for collection_id in sorted({image.collection_id for image in read}):
        raise_revision(connection, collection_id)
    return set(reasons) - gone


def _update_images(connection: Connection, model_id: int, images: Sequence[ReadImage]) -> None:
    if not images:
        return
    ids = [image.image_id for image in images]
    connection.execute(
        text(
            "UPDATE image SET content_hash = f.hash, width = f.width, height = f.height,"
            " ingested_at = now(), missing_since = NULL"
            " FROM unnest(:ids ::bigint[], :hashes ::bytea[], :widths ::int[], :heights ::int[])"
            " AS f(id, hash, width, height) WHERE image.id = f.id"
        ),
        {
            "ids": ids,
            "hashes": [image.content_hash for image in images],
            "widths": [image.width for image in images],
            "heights": [image.height for image in images],
        },
    )
    # the rows of `image` are locked now: of two workers that store one image the second waits above
    connection.execute(_REMOVE_OLD, {"model": model_id, "ids": ids})
    write_thumbnails(connection, blob_rows(ids, [image.thumbnail for image in images]))


_REMOVE_OLD = text("""
    WITH gone AS (DELETE FROM thumbnail WHERE image_id = ANY(:ids))
    DELETE FROM feature WHERE model_id = :model AND image_id = ANY(:ids)
""")


def write_thumbnails(connection: Connection, rows: bytes) -> None:
    """A whole binary COPY into the table `thumbnail`, as `db.arrays.blob_rows` packs it."""
    with driver_of(connection).cursor() as cursor, cursor.copy(_COPY_THUMBNAILS) as copy:
        copy.write(rows)


_COPY_THUMBNAILS = "COPY thumbnail (image_id, jpeg) FROM STDIN (FORMAT binary)"


def _copy_features(
    connection: Connection,
    model_id: int,
    images: Sequence[ReadImage],
    features: Features,
    keep: Sequence[int],
    cutoffs: dict[str, float],
    centred: bool,
) -> None:
    scores_NA = features.scores_NA[list(keep)]
    labels_NC = decide_rows(scores_NA, cutoffs)
    by_collection: dict[int, list[int]] = {}
    for position, image in enumerate(images):
        by_collection.setdefault(image.collection_id, []).append(position)
    for collection_id, positions in by_collection.items():
        embeddings_ND = features.embeddings_ND[[keep[p] for p in positions]]
        if centred:
            means = centring.means_of(connection, model_id, [collection_id])
            camids_N = centring.cameras(images[p].camid for p in positions)
            embeddings_ND = means.centred(embeddings_ND, camids_N)
        data = feature_rows(
            model_id,
            collection_id,
            [images[p].image_id for p in positions],
            [images[p].camid for p in positions],
            labels_NC[positions],
            scores_NA[positions],
            [features.qualities[keep[p]] for p in positions],
            embeddings_ND,
        )
        write_features(connection, data)


def write_features(connection: Connection, rows: bytes) -> None:
    """A whole binary COPY into the table `feature`, as `db.arrays.feature_rows` packs it."""
    with driver_of(connection).cursor() as cursor, cursor.copy(_COPY) as copy:
        half = len(rows) // 2
        copy.write(memoryview(rows)[:half])
        reached("in_copy")
        copy.write(memoryview(rows)[half:])


_COPY = (
    "COPY feature (model_id, image_id, collection_id, camid, labels, scores, quality, embedding)"
    " FROM STDIN (FORMAT binary)"
)


def _share_features(
    connection: Connection, model_id: int, pairs: Sequence[tuple[ReadImage, int]]
) -> set[int]:
    if not pairs:
        return set()
    rows = connection.execute(
        text(
            "INSERT INTO feature (model_id, image_id, collection_id, camid, labels, scores,"
            " quality, embedding)"
            " SELECT f.model_id, t.id, t.collection_id, t.camid, f.labels, f.scores, f.quality,"
            " f.embedding"
            " FROM unnest(:ids ::bigint[], :collections ::bigint[], :camids ::smallint[],"
            " :twins ::bigint[], :hashes ::bytea[]) AS t(id, collection_id, camid, twin, hash)"
            " JOIN feature f ON f.image_id = t.twin AND f.model_id = :model"
            " JOIN image i ON i.id = t.twin AND i.content_hash = t.hash RETURNING image_id"
        ),
        {
            "model": model_id,
            "ids": [image.image_id for image, _ in pairs],
            "collections": [image.collection_id for image, _ in pairs],
            "camids": [image.camid for image, _ in pairs],
            "twins": [twin for _, twin in pairs],
            "hashes": [image.content_hash for image, _ in pairs],
        },
    )
    return {row[0] for row in rows}


def stored_twins(
    connection: Connection, model_id: int, hashes: Sequence[bytes]
) -> dict[bytes, int]:
    """Return, by content hash, an image whose features for this model are stored."""
    rows = connection.execute(
        text(
            "SELECT DISTINCT ON (i.content_hash) i.content_hash, i.id FROM image i"
            " JOIN feature f ON f.image_id = i.id AND f.model_id = :model"
            " WHERE i.content_hash = ANY(:hashes) ORDER BY i.content_hash, i.id"
        ),
        {"model": model_id, "hashes": list(hashes)},
    )
    return {row[0]: row[1] for row in rows}


def erased_hashes(connection: Connection, hashes: Sequence[bytes]) -> set[bytes]:
    """Which of these contents were erased and must not be taken in again."""
    rows = connection.execute(
        text("SELECT content_hash FROM tombstone WHERE content_hash = ANY(:hashes)"),
        {"hashes": list(hashes)},
    )
    return {row[0] for row in rows}
