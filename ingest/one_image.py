"""One file into the manifest and through the worker's steps at once, whatever else waits there."""

import time
from dataclasses import dataclass

from sqlalchemy import Connection, Engine

from errors import ReidError
from gallery import manifest, sent_images
from gallery.collections import CollectionRow, lock_collections
from gallery.manifest import Claim, FileFacts, Known
from gallery.store import Batch
from ingest import pipeline
from ingest.pipeline import BatchNetwork, Recent
from ingest.reader import read, to_pixels

PATIENCE_S = 60.0
_PAUSE_S = 0.05
_TRIES = 3  # a twin whose features are shared may go meanwhile; then they are computed


class StillInWork(ReidError):
    """Somebody else works on the same file; it will be stored, or reported as failed."""

    http_status = 409


@dataclass(frozen=True)
class Outcome:
    """`reason` says why the image was not taken in, None where it was."""

    image_id: int
    reason: str | None


def ingest_one(
    engine: Engine,
    network: BatchNetwork,
    model_id: int,
    collection: CollectionRow,
    source: str,
    file: FileFacts,
    *,
    allow_any_shape: bool = False,
) -> Outcome:
    """Registers, leases, embeds and stores a file that lies in `source`. Killed in between, it is
    pending work like any other. Raises StillInWork."""
    with engine.connect() as connection:
        connection.detach()  # its advisory lock says that we are alive: the pool would keep it
        worker_id = manifest.become_worker(connection)
        with connection.begin():
            lock_collections(connection, [collection.id], exclusive=True)
            manifest.register(
                connection, collection.id, model_id, source, [file],
                allow_any_shape=allow_any_shape,
            )  # fmt: skip
            image_id = _found(connection, collection, model_id, file).image_id
            claims = _claim(connection, worker_id, model_id, image_id)
        if not claims:
            return _wait(connection, collection, model_id, file)
        for _ in range(_TRIES):
            batch = _embed(connection, network, model_id, claims)
            pipeline.store(connection, worker_id, model_id, batch)
            with connection.begin():
                claims = _claim(connection, worker_id, model_id, image_id)
            if not claims:
                break
        return Outcome(image_id, next((failure.reason for failure in batch.failed), None))


def _claim(connection: Connection, worker_id: int, model_id: int, image_id: int) -> list[Claim]:
    return manifest.claim(connection, worker_id, model_id, 1, image_id=image_id)


def _embed(
    connection: Connection, network: BatchNetwork, model_id: int, claims: list[Claim]
) -> Batch:
    prepared = pipeline.prepare(
        connection,
        model_id,
        claims,
        read=lambda claims: map(read, claims),
        decode=lambda files: [to_pixels(file, network.preprocessing) for file in files],
        recent=Recent(),
    )
    return pipeline.infer(network, prepared)


def _found(
    connection: Connection, collection: CollectionRow, model_id: int, file: FileFacts
) -> Known:
    known = sent_images.find(connection, collection.id, model_id, file.path)
    assert known is not None
    return known


def _wait(
    connection: Connection, collection: CollectionRow, model_id: int, file: FileFacts
) -> Outcome:
    """Another worker has the same file in hand: the same content under the same name."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        with connection.begin():
            known = _found(connection, collection, model_id, file)
        if known.state not in ("pending", "leased"):
            stored = sent_images.is_stored(known)
            reason = None if stored else "another request for the same image failed"
            return Outcome(known.image_id, reason)
        time.sleep(_PAUSE_S)
    raise StillInWork("the same image is being taken in by somebody else; `reid status` says more")
