"""The worker: claim, hash, skip what is known, decode, infer, store - one transaction a batch.

While the network runs over one batch, the next is read and decoded and the last is stored. The
manifest is the truth: killed anywhere, the next run takes over the leases and stores what is left.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import Protocol

import numpy as np
from PIL import Image
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from db import manifest
from db.manifest import Claim
from db.store import Batch, Features, ReadImage, erased_hashes, store_batch, stored_twins
from ingest.reader import Failure, FileBytes, read, to_pixels
from models.outputs import Outputs
from models.transforms import Pixels

_REMEMBERED = 10_000
_NOT_FINITE = "the model gave numbers that are not finite"


class Network(Protocol):
    """What the worker needs of a model."""

    def pixels_of(self, image: Image.Image) -> Pixels: ...

    def __call__(self, pixels_NHWC: Pixels) -> Outputs: ...


@dataclass
class Progress:
    """Counts of a worker so far. `copied` are stored without inference, by equal content."""

    stored: int = 0
    known: int = 0
    failed: int = 0
    copied: int = 0

    @property
    def settled(self) -> int:
        return self.stored + self.known + self.failed


@dataclass
class Prepared:
    """A claimed batch, read and decoded."""

    images: list[ReadImage] = field(default_factory=list)
    pixels: list[Pixels] = field(default_factory=list)
    copied: list[tuple[ReadImage, int]] = field(default_factory=list)
    unchanged: list[int] = field(default_factory=list)
    failed: list[tuple[int, str]] = field(default_factory=list)
    twins: dict[bytes, int] = field(default_factory=dict)  # stored images, by content


class Worker:
    """Works through a model's tasks. One object a process; `close` gives back its leases."""

    def __init__(
        self,
        engine: Engine,
        network: Network,
        model_id: int,
        *,
        batch_size: int = 64,
        decoders: int = 2,
    ) -> None:
        self.network, self.model_id = network, model_id
        self.batch_size = batch_size
        self.progress = Progress()
        self._counting = Lock()
        self._recent: dict[bytes, int] = {}
        with ExitStack() as stack:
            # one connection lives as long as the worker: its advisory lock says that we are alive;
            # the engine's pool would keep both
            self._reading = stack.enter_context(engine.connect())
            self._reading.detach()
            self._writing = stack.enter_context(engine.connect())
            self.id = manifest.become_worker(self._reading)
            self._loader = stack.enter_context(ThreadPoolExecutor(1, "load"))
            self._writer = stack.enter_context(ThreadPoolExecutor(1, "store"))
            self._decoders = stack.enter_context(ThreadPoolExecutor(decoders, "decode"))
            self._stack = stack.pop_all()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Waits for the batch being stored, gives back the leases, ends the connections."""
        self._loader.shutdown(cancel_futures=True)
        self._writer.shutdown()
        # without a connection nothing can be given back, nor need it be: our lock has gone with it
        with self._stack, suppress(DBAPIError):
            if not self._writing.invalidated and not self._writing.closed:
                self._writing.rollback()
                manifest.release(self._writing, self.id)
                self._writing.commit()

    def work(
        self, collection_id: int | None = None, on_batch: Callable[[Progress], None] | None = None
    ) -> Progress:
        """Claims and stores until nothing is left to claim."""
        loading = self._loader.submit(self._prepare, collection_id)
        storing: Future[None] | None = None
        while prepared := loading.result():
            loading = self._loader.submit(self._prepare, collection_id)
            batch = self._infer(prepared)
            if storing:
                storing.result()
                self._report(on_batch)
            storing = self._writer.submit(self._store, batch)
        if storing:
            storing.result()
            self._report(on_batch)
        return self.progress

    def wait_for_others(self, collection_id: int | None, pause_s: float = 0.5) -> bool:
        """False when nothing is open; else waits a moment for whoever holds the rest."""
        with self._reading.begin():
            self._give_up(collection_id)
            left = manifest.open_work(self._reading, self.model_id, collection_id)
        if left:
            time.sleep(pause_s)
        return bool(left)

    def _give_up(self, collection_id: int | None) -> None:
        given_up = manifest.give_up_exhausted(self._reading, self.model_id, collection_id)
        with self._counting:
            self.progress.failed += given_up

    def _report(self, on_batch: Callable[[Progress], None] | None) -> None:
        if on_batch:
            on_batch(self.progress)

    def _prepare(self, collection_id: int | None) -> Prepared | None:
        connection = self._reading
        with connection.begin():
            claims = manifest.claim(
                connection, self.id, self.model_id, self.batch_size, collection_id
            )
            if not claims:
                self._give_up(collection_id)
        if not claims:
            return None
        prepared = Prepared()
        files = self._read(claims, prepared)
        fresh = self._without_known(connection, files, prepared)
        outcomes = self._decoders.map(lambda f: to_pixels(f, self.network.pixels_of), fresh)
        for file, outcome in zip(fresh, outcomes, strict=True):
            if isinstance(outcome, Failure):
                prepared.failed.append((outcome.image_id, outcome.reason))
                continue
            image, pixels = outcome
            twin = self._recent.get(image.content_hash)
            if twin is None and not file.claim.recompute:
                twin = prepared.twins.get(image.content_hash)
            if twin is not None:
                prepared.copied.append((image, twin))
                continue
            self._remember(image)
            prepared.images.append(image)
            prepared.pixels.append(pixels)
        return prepared

    def _read(self, claims: list[Claim], prepared: Prepared) -> list[FileBytes]:
        files = []
        for outcome in self._decoders.map(read, claims):
            if isinstance(outcome, Failure):
                prepared.failed.append((outcome.image_id, outcome.reason))
            else:
                files.append(outcome)
        return files

    def _without_known(
        self, connection: Connection, files: list[FileBytes], prepared: Prepared
    ) -> list[FileBytes]:
        """The files that are new; unchanged, erased ones are noted, stored content is shared."""
        hashes = [file.content_hash for file in files]
        with connection.begin():
            erased = erased_hashes(connection, hashes)
            prepared.twins = stored_twins(connection, self.model_id, hashes)
            own = manifest.with_features(
                connection,
                self.model_id,
                [file.claim.image_id for file in files if not file.claim.recompute],
            )
        fresh = []
        for file in files:
            claim = file.claim
            if file.content_hash in erased:
                reason = "this image was erased; it is not taken in again"
                prepared.failed.append((claim.image_id, reason))
            elif claim.content_hash == file.content_hash and claim.image_id in own:
                prepared.unchanged.append(claim.image_id)
            else:
                fresh.append(file)
        return fresh

    def _remember(self, image: ReadImage) -> None:
        self._recent[image.content_hash] = image.image_id
        while len(self._recent) > _REMEMBERED:
            del self._recent[next(iter(self._recent))]

    def _infer(self, prepared: Prepared) -> Batch:
        images, failed = prepared.images, list(prepared.failed)
        features = None
        if images:
            scores_NA, embeddings_ND, quality_N = self.network(np.stack(prepared.pixels))
            known = [scores_NA, embeddings_ND, *([] if quality_N is None else [quality_N[:, None]])]
            keep = [i for i, row in enumerate(np.hstack(known)) if np.isfinite(row).all()]
            bad = sorted(set(range(len(images))) - set(keep))
            failed += [(images[i].image_id, _NOT_FINITE) for i in bad]
            images = [images[i] for i in keep]
            quality = (None,) * len(keep) if quality_N is None else quality_N[keep].tolist()
            features = Features(scores_NA[keep], embeddings_ND[keep], tuple(quality))
        return Batch(
            computed=tuple(images),
            features=features,
            copied=tuple(prepared.copied),
            unchanged=tuple(prepared.unchanged),
            failed=tuple(failed),
        )

    def _store(self, batch: Batch) -> None:
        with self._writing.begin():
            settled = store_batch(self._writing, self.id, self.model_id, batch)
        progress = self.progress
        copied = sum(image.image_id in settled for image, _ in batch.copied)
        with self._counting:
            progress.stored += sum(i.image_id in settled for i in batch.computed) + copied
            progress.copied += copied
            progress.known += sum(image_id in settled for image_id in batch.unchanged)
            progress.failed += sum(image_id in settled for image_id, _ in batch.failed)
        for image, _ in batch.copied:
            if image.image_id not in settled:
                # its twin has gone, or changed: the next try must compute, not copy again
                self._recent.pop(image.content_hash, None)
