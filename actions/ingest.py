"""Ingest: register a folder, then work through it with a model."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine

from actions.models import checkpoint_of, chosen
from db import collections, manifest
from db.audit import record
from db.models import ModelRow
from ingest.register import Registered, register_folder
from ingest.worker import Progress, Worker

if TYPE_CHECKING:
    from models.extractor import Extractor

OnBatch = Callable[[Progress, int], None]


@dataclass(frozen=True)
class Options:
    """How a folder is taken in. `workers` threads read and decode beside the network."""

    model: str | None = None
    identities: str | None = None
    overwrite: bool = False
    allow_any_shape: bool = False
    enqueue: bool = False
    workers: int = 2
    batch_size: int = 64
    device: str | None = None


@dataclass(frozen=True)
class Summary:
    """What an ingest did; `failed` counts refused files too. Failures are listed by path."""

    stored: int
    known: int
    failed: int
    copied: int
    missing: int
    pending: int
    seconds: float
    model: str
    ignored: dict[str, int]
    failures: tuple[tuple[str, str], ...]

    @property
    def images_per_second(self) -> float:
        return self.stored / self.seconds if self.seconds > 0 else 0.0

    def to_json(self) -> dict[str, Any]:
        return {
            "stored": self.stored,
            "known": self.known,
            "failed": self.failed,
            "images_per_second": round(self.images_per_second, 2),
            "seconds": round(self.seconds, 3),
            "copied": self.copied,
            "missing": self.missing,
            "pending": self.pending,
            "model": self.model,
        }


def load_network(model: ModelRow, device: str | None) -> "Extractor":
    """The model's network, ready on a device. This is where torch is imported."""
    path = checkpoint_of(model)
    from models.extractor import Extractor

    return Extractor(path, device)


def check_device(name: str | None) -> None:
    """Raises UnknownDevice before anything is changed; the usual devices need no torch for it."""
    if name not in (None, "", "auto", "cpu"):
        from models.extractor import choose_device

        choose_device(name)


def ingest(
    engine: Engine,
    folder: Path,
    collection_name: str,
    options: Options,
    on_batch: OnBatch | None = None,
) -> Summary:
    """Files -> rows. Safe to run again: what is stored is not read again.

    `on_batch` is called with the counts so far and the number of items to settle.
    """
    model = chosen(engine, options.model)
    if not options.enqueue:
        check_device(options.device)
    started = time.monotonic()
    with engine.begin() as connection:
        collection = collections.collection_called(connection, collection_name, options.identities)
        registered = register_folder(
            connection,
            collection,
            model.id,
            folder,
            overwrite=options.overwrite,
            allow_any_shape=options.allow_any_shape,
        )
    progress = Progress()
    if not options.enqueue:
        progress = _work(engine, model, collection.id, registered, options, on_batch)
    collections.tidy(engine, registered.pending)
    with engine.begin() as connection:
        failures = _failures(manifest.failed_items(connection, collection.id), registered)
        summary = Summary(
            stored=progress.stored,
            known=registered.known + progress.known,
            failed=progress.failed + len(registered.refused),
            copied=progress.copied,
            missing=registered.missing,
            pending=manifest.open_work(connection, model.id, collection.id),
            seconds=time.monotonic() - started,
            model=model.name,
            ignored=registered.ignored,
            failures=failures,
        )
        record(
            connection,
            "ingest",
            {"folder": str(folder), "collection": collection_name, **summary.to_json()},
        )
    return summary


def _failures(items: list[dict[str, Any]], registered: Registered) -> tuple[tuple[str, str], ...]:
    recorded = [(str(item["path"]), str(item["reason"])) for item in items]
    return tuple(sorted([*recorded, *registered.refused.items()]))


def _work(
    engine: Engine,
    model: ModelRow,
    collection_id: int,
    registered: Registered,
    options: Options,
    on_batch: OnBatch | None,
) -> Progress:
    with engine.begin() as connection:
        if not manifest.open_work(connection, model.id, collection_id):
            return Progress()  # nothing to do: spare the user the seconds that torch takes
    total = registered.pending
    with worker_for(engine, model, options) as worker:
        report = (lambda progress: on_batch(progress, total)) if on_batch else None
        worker.work(collection_id, report)
        while worker.wait_for_others(collection_id):
            worker.work(collection_id, report)
        return worker.progress


def worker_for(engine: Engine, model: ModelRow, options: Options) -> Worker:
    """A worker for one model, its network loaded."""
    return Worker(
        engine,
        load_network(model, options.device),
        model.id,
        batch_size=options.batch_size,
        decoders=options.workers,
    )


def run_worker(
    engine: Engine,
    options: Options,
    *,
    until_empty: bool,
    on_batch: Callable[[Progress], None] | None = None,
) -> Progress:
    """Works through what is registered for a model, by whomever; for ever unless `until_empty`."""
    model = chosen(engine, options.model)
    with worker_for(engine, model, options) as worker:
        tidied = 0
        while True:
            worker.work(None, on_batch)
            waiting = worker.wait_for_others(None)
            if not waiting and worker.progress.stored > tidied:
                collections.tidy(engine, worker.progress.stored - tidied)
                tidied = worker.progress.stored
            if not waiting and until_empty:
                return worker.progress
            if not waiting:
                time.sleep(1.0)
