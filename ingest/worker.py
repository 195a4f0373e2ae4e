"""The worker: claim, hash, skip what is known, decode, infer, store - one transaction a batch.

While the network runs over one batch, the next is read, and decoded in other processes,
and the last is stored. The
manifest is the truth: killed anywhere, the next run takes over the leases and stores what is left.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from threading import Lock

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from db.faults import reached
from gallery import manifest
from gallery.manifest import Claim
from gallery.store import Batch, Failure
from images.decoder_pool import Decoders
from images.sources.open import let_go
from ingest import pipeline
from ingest.heartbeat import Heartbeat
from ingest.pipeline import BatchNetwork, Prepared, Recent
from ingest.reader import FileBytes, Ready, chunks, decode_guarded, read


@dataclass
class Progress:
    """Counts of a worker so far. `copied` are stored without inference, by equal content;
    `inference` is what runs the network, None where nothing had to be inferred."""

    stored: int = 0
    known: int = 0
    failed: int = 0
    copied: int = 0
    inference: str | None = None

    @property
    def settled(self) -> int:
        return self.stored + self.known + self.failed

    def add(self, batch: Batch, settled: set[int]) -> None:
        """Counts a batch of which these images were settled."""
        copied = sum(image.image_id in settled for image, _ in batch.copied)
        self.stored += sum(image.image_id in settled for image in batch.computed) + copied
        self.copied += copied
        self.known += sum(image_id in settled for image_id in batch.unchanged)
        self.failed += sum(failure.image_id in settled for failure in batch.failed)


class Observer:
    """Callbacks for worker events; the default does nothing. May be called from any thread."""

    def waits(self, step: str, images: int) -> None:
        """So many images more, or fewer, are ready for "inference" or for "store"."""

    def took(self, step: str, seconds: float) -> None:
        """A batch's "read", "decode", "inference" or "store"."""

    def settled(self, batch: Batch, settled: set[int]) -> None:
        """Called when images of a batch are done; the default does nothing."""


class Worker:
    """Works through a model's tasks. One object a process; `close` gives back its leases.

    `workers` threads read files and wait for decoder processes, as many as there are threads.
    `decoders` that may have been started already are the worker's from then on.
    """

    def __init__(
        self,
        engine: Engine,
        network: BatchNetwork,
        model_id: int,
        *,
        batch_size: int = 64,
        workers: int = 2,
        decoders: Decoders | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.network, self.model_id = network, model_id
        self.batch_size = batch_size
        self.progress = Progress(inference=network.name)
        self.observer = observer or Observer()
        self._counting = Lock()
        self._recent = Recent()
        with ExitStack() as stack:
            # one connection lives as long as the worker: its advisory lock says that we are alive;
            # the engine's pool would keep both
            self._reading = stack.enter_context(engine.connect())
            self._reading.detach()
            self._writing = stack.enter_context(engine.connect())
            self.id = manifest.become_worker(self._reading)
            stack.enter_context(Heartbeat(engine, self.id))
            self._loader = stack.enter_context(ThreadPoolExecutor(1, "load"))
            self._writer = stack.enter_context(ThreadPoolExecutor(1, "store"))
            self._threads = stack.enter_context(ThreadPoolExecutor(workers, "decode"))
            self._decoders = stack.enter_context(decoders or Decoders())
            self._stack = stack.pop_all()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Waits for the batch being stored, gives back the leases, ends the connections."""
        self._decoders.close()  # first: what is being decoded now is for nobody
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
        let_go()
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
        reached("after_claim")
        prepared = pipeline.prepare(
            connection,
            self.model_id,
            claims,
            read=self._read,
            decode=self._decode,
            recent=self._recent,
        )
        self.observer.waits("inference", len(claims))
        return prepared

    def _read(self, claims: Sequence[Claim]) -> list[FileBytes | Failure]:
        with self._timed("read"):
            return list(self._threads.map(read, claims))

    def _decode(self, files: Sequence[FileBytes]) -> list[Ready | Failure]:
        def decode(chunk: Sequence[FileBytes]) -> list[Ready | Failure]:
            return decode_guarded(chunk, self.network.preprocessing, self._decoders)

        with self._timed("decode"):
            return [found for part in self._threads.map(decode, chunks(files)) for found in part]

    def _infer(self, prepared: Prepared) -> Batch:
        self.observer.waits("inference", -prepared.size)
        with self._timed("inference"):
            batch = pipeline.infer(self.network, prepared)
        self.observer.waits("store", prepared.size)
        return batch

    def _store(self, batch: Batch) -> None:
        self.observer.waits("store", -len(batch.image_ids))
        with self._timed("store"):
            settled = pipeline.store(self._writing, self.id, self.model_id, batch)
        self.observer.settled(batch, settled)
        with self._counting:
            self.progress.add(batch, settled)
        self._recent.forget_unshared(batch, settled)

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.observer.took(step, time.perf_counter() - started)
