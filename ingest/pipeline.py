"""The steps of an ingest as plain functions: prepare what is claimed, infer, store.

`ingest.worker` runs them beside each other on threads; whatever engine runs them, the batch store
and the manifest are the same.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Protocol

import numpy as np
from sqlalchemy import Connection

from db.faults import reached
from gallery import manifest
from gallery.manifest import Claim
from gallery.store import (
    ERASED,
    Batch,
    Failure,
    Features,
    ReadImage,
    erased_hashes,
    store_batch,
    stored_twins,
)
from images.preprocessing import Pixels, Preprocessing
from ingest.reader import FileBytes, Ready
from models.outputs import Outputs

_REMEMBERED = 10_000
_NOT_FINITE = "the model gave numbers that are not finite"

Read = Callable[[Sequence[Claim]], Iterable[FileBytes | Failure]]
Decode = Callable[[Sequence[FileBytes]], Iterable[Ready | Failure]]


class BatchNetwork(Protocol):
    """What an ingest needs of a model. `name` says which engine runs it, `"openvino bf16"`."""

    @property
    def name(self) -> str: ...

    @property
    def preprocessing(self) -> Preprocessing: ...

    def __call__(self, pixels_NHWC: Pixels) -> Outputs: ...


@dataclass
class Prepared:
    """A claimed batch, read and decoded."""

    images: list[ReadImage] = field(default_factory=list)
    pixels: list[Pixels] = field(default_factory=list)
    copied: list[tuple[ReadImage, int]] = field(default_factory=list)
    unchanged: list[int] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    twins: dict[bytes, int] = field(default_factory=dict)  # stored images, by content

    @property
    def size(self) -> int:
        """How many images were claimed for it."""
        return len(self.images) + len(self.copied) + len(self.unchanged) + len(self.failed)


class Recent:
    """The newest images of this run by content: what is being stored is no twin in the database
    yet, and its copies cost no inference either."""

    def __init__(self) -> None:
        self._ids: dict[bytes, int] = {}
        self._lock = Lock()  # one thread remembers while another forgets

    def get(self, content_hash: bytes) -> int | None:
        with self._lock:
            return self._ids.get(content_hash)

    def remember(self, image: ReadImage) -> None:
        with self._lock:
            self._ids[image.content_hash] = image.image_id
            while len(self._ids) > _REMEMBERED:
                del self._ids[next(iter(self._ids))]

    def forget_unshared(self, batch: Batch, settled: set[int]) -> None:
        """Of a copy that was not stored its twin has gone, or changed: the next try must compute,
        not copy again."""
        with self._lock:
            for image, _ in batch.copied:
                if image.image_id not in settled:
                    self._ids.pop(image.content_hash, None)


def prepare(
    connection: Connection,
    model_id: int,
    claims: Sequence[Claim],
    *,
    read: Read,
    decode: Decode,
    recent: Recent,
) -> Prepared:
    """Reads each file once, sets aside what needs no inference, and decodes the rest."""
    prepared = Prepared()
    files = []
    for outcome in read(claims):
        if isinstance(outcome, Failure):
            prepared.failed.append(outcome)
        else:
            files.append(outcome)
    fresh = _without_known(connection, model_id, files, prepared)
    for file, ready in zip(fresh, decode(fresh), strict=True):
        if isinstance(ready, Failure):
            prepared.failed.append(ready)
            continue
        image, pixels = ready
        twin = recent.get(image.content_hash)
        if twin is None and not file.claim.recompute:
            twin = prepared.twins.get(image.content_hash)
        if twin is not None:
            prepared.copied.append((image, twin))
            continue
        recent.remember(image)
        prepared.images.append(image)
        prepared.pixels.append(pixels)
    reached("after_decode")
    return prepared


def _without_known(
    connection: Connection, model_id: int, files: Sequence[FileBytes], prepared: Prepared
) -> list[FileBytes]:
    """The files that are new; unchanged, erased ones are noted, stored content is shared."""
    hashes = [file.content_hash for file in files]
    with connection.begin():
        erased = erased_hashes(connection, hashes)
        prepared.twins = stored_twins(connection, model_id, hashes)
        own = manifest.with_features(
            connection,
            model_id,
            [file.claim.image_id for file in files if not file.claim.recompute],
        )
    fresh = []
    for file in files:
        claim = file.claim
        if file.content_hash in erased:
            prepared.failed.append(Failure(claim.image_id, ERASED, "erased"))
        elif claim.content_hash == file.content_hash and claim.image_id in own:
            prepared.unchanged.append(claim.image_id)
        else:
            fresh.append(file)
    return fresh


def infer(network: BatchNetwork, prepared: Prepared) -> Batch:
    """What is to be stored. An image for which the model gives no finite numbers has failed."""
    images, failed = prepared.images, list(prepared.failed)
    features = None
    if images:
        scores_NA, embeddings_ND, quality_N = network(np.stack(prepared.pixels))
        known = [scores_NA, embeddings_ND, *([] if quality_N is None else [quality_N[:, None]])]
        finite = [bool(np.isfinite(row).all()) for row in np.hstack(known)]
        keep = [i for i, whole in enumerate(finite) if whole]
        failed += [
            Failure(image.image_id, _NOT_FINITE, "not finite")
            for image, whole in zip(images, finite, strict=True)
            if not whole
        ]
        images = [images[i] for i in keep]
        quality = (None,) * len(keep) if quality_N is None else quality_N[keep].tolist()
        features = Features(scores_NA[keep], embeddings_ND[keep], tuple(quality))
    reached("after_inference")
    return Batch(
        computed=tuple(images),
        features=features,
        copied=tuple(prepared.copied),
        unchanged=tuple(prepared.unchanged),
        failed=tuple(failed),
    )


def store(connection: Connection, worker_id: int, model_id: int, batch: Batch) -> set[int]:
    """Stores a batch in a transaction of its own; gives the image ids that it settled."""
    with connection.begin():
        settled = store_batch(connection, worker_id, model_id, batch)
        reached("before_commit")
    reached("after_commit")
    return settled
