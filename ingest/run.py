"""Ingest: register a source's files, then work through it with a model."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from db.audit import record
from gallery import collections, manifest
from gallery.centre_models import refresh_due
from gallery.model_rows import ModelRow
from gallery.models import chosen, load_network
from images.decoder_pool import Decoders
from images.facts_file import read_facts
from images.sources.open import let_go, opened
from inference.engines import need_torch
from ingest.options import Options
from ingest.ray import cluster
from ingest.ray.work import work_on_ray
from ingest.reconnect import CONNECTION_ERRORS, wait_for_database
from ingest.register import Registered, other_sources, register_files
from ingest.worker import Observer, Progress, Worker

OnBatch = Callable[[Progress, int], None]


@dataclass(frozen=True)
class Summary:
    """What an ingest did; `failed` counts refused files too. Failures are listed by path.
    `inference` is what ran the network, None where nothing had to be inferred. For the rest see
    `ingest.register.Registered`."""

    stored: int
    known: int
    failed: int
    copied: int
    missing: int
    corrected: int
    unlisted: int
    pending: int
    seconds: float
    model: str
    inference: str | None
    ignored: dict[str, int]
    failures: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]

    @property
    def images_per_second(self) -> float:
        return self.stored / self.seconds if self.seconds > 0 else 0.0

    def to_json(self) -> dict[str, Any]:
        return {**self.counts(), "passed_over": self.ignored}

    def counts(self) -> dict[str, Any]:
        """Without anything that could be a part of a file's name."""
        return {
            "stored": self.stored,
            "known": self.known,
            "failed": self.failed,
            "images_per_second": round(self.images_per_second, 2),
            "seconds": round(self.seconds, 3),
            "copied": self.copied,
            "missing": self.missing,
            "corrected": self.corrected,
            "unlisted": self.unlisted,
            "pending": self.pending,
            "model": self.model,
            "inference": self.inference,
        }


def check_device(name: str | None) -> None:
    """Raises UnknownDevice before anything is changed; the usual devices need no torch for it."""
    if name not in (None, "", "auto", "cpu"):
        need_torch(f"--device {name}")
        from models.extractor import choose_device

        choose_device(name)


def ingest(
    engine: Engine,
    source: Path | str,
    collection_name: str,
    options: Options,
    on_batch: OnBatch | None = None,
) -> Summary:
    """Files -> rows. Safe to run again: what is stored is not read again.

    `source` is a folder, an archive or a URL. `on_batch` is called with the counts so far and the
    number of items to settle.
    """
    model = chosen(engine, options.model)
    if options.engine == "ray":
        cluster.check_installed()
        cluster.check_address(options.address)
        cluster.check_device(options.device)
    elif not options.enqueue:
        check_device(options.device)
    started = time.monotonic()
    told = None if options.manifest is None else read_facts(options.manifest)
    found = opened(str(source))
    listing = found.listing(tuple(told or ()))
    question = {"source": found.name, "collection": collection_name}
    elsewhere = other_sources(engine, collection_name, model.id, found.name, listing)
    with engine.begin() as connection:
        collection = collections.collection_called(connection, collection_name, options.identities)
        registered = register_files(
            connection,
            collection,
            model.id,
            found.name,
            listing,
            told=told,
            elsewhere=elsewhere,
            overwrite=options.overwrite,
            allow_any_shape=options.allow_any_shape,
        )
        # what ends here or is broken off has changed something too
        about = {**question, "model": model.name, "pending": registered.pending}
        record(connection, "ingest start", about)
    progress = Progress()
    if options.enqueue:
        let_go()
    else:
        progress = _work(engine, model, collection.id, registered, options, on_batch)
    collections.analyze_after(engine, registered.pending)
    _let_go(engine)
    seconds = time.monotonic() - started
    return summarise(engine, model, collection.id, question, registered, progress, seconds)


def summarise(
    engine: Engine,
    model: ModelRow,
    collection_id: int,
    question: dict[str, Any],
    registered: Registered,
    progress: Progress,
    seconds: float,
) -> Summary:
    """What was done, written to the audit log with its `question` too."""
    with engine.begin() as connection:
        failures = _failures(manifest.failed_items(connection, collection_id), registered)
        summary = Summary(
            stored=progress.stored,
            known=registered.known + progress.known,
            failed=progress.failed + len(registered.refused),
            copied=progress.copied,
            missing=registered.missing,
            corrected=registered.corrected,
            unlisted=registered.unlisted,
            pending=manifest.open_work(connection, model.id, collection_id),
            seconds=seconds,
            model=model.name,
            inference=progress.inference,
            ignored=registered.ignored,
            failures=failures,
            notes=tuple(registered.notes),
        )
        record(connection, "ingest", {**question, **summary.counts()})
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
    report = (lambda progress: on_batch(progress, total)) if on_batch else None
    if options.engine == "ray":
        return work_on_ray(engine, model, collection_id, options, report)
    with worker_for(engine, model, options) as worker:
        worker.work(collection_id, report)
        while worker.wait_for_others(collection_id):
            worker.work(collection_id, report)
        return worker.progress


def worker_for(
    engine: Engine, model: ModelRow, options: Options, observer: Observer | None = None
) -> Worker:
    """A worker for one model, its network loaded."""
    with ExitStack() as stack:
        decoders = stack.enter_context(Decoders())
        decoders.start(options.workers)  # they get ready while the network is loaded
        worker = Worker(
            engine,
            load_network(model, options.device),
            model.id,
            batch_size=options.batch_size,
            workers=options.workers,
            decoders=decoders,
            observer=observer,
        )
        stack.pop_all()
    return worker


def end_round(engine: Engine, model: ModelRow, stored: int) -> None:
    """After a worker has done all that there was to do."""
    collections.analyze_after(engine, stored)
    with engine.begin() as connection:
        record(connection, "worker", {"model": model.name, "stored": stored})
    _let_go(engine)


def _let_go(engine: Engine) -> None:
    """Images that are older than their term go, where one is set; what is centred keeps up."""
    from gallery.retention import remove_old  # which knows uploads, which know how to ingest

    remove_old(engine)
    refresh_due(engine)


def run_worker(
    engine: Engine,
    options: Options,
    *,
    until_empty: bool,
    on_batch: Callable[[Progress, Callable[[], int]], None] | None = None,
    observer: Observer | None = None,
    on_note: Callable[[str], None] = lambda _: None,
) -> Progress:
    """Works through what is registered for a model, by whomever; for ever unless `until_empty`, and
    then a database that is away for a while is waited for.

    `on_batch` is called with the counts so far and a function that counts what there will be,
    `on_note` with sentences.
    """
    model = chosen(engine, options.model)
    rounds = _Rounds(engine, model, options, until_empty, on_batch, observer)
    while True:
        try:
            return rounds.run()
        except CONNECTION_ERRORS as error:
            if until_empty:
                raise
            wait_for_database(engine, error, on_note)


@dataclass
class _Rounds:
    """A worker's rounds; `before` is what the workers before it did, whose connections went."""

    engine: Engine
    model: ModelRow
    options: Options
    until_empty: bool
    on_batch: Callable[[Progress, Callable[[], int]], None] | None
    observer: Observer | None
    before: Progress = field(default_factory=Progress)

    def run(self) -> Progress:
        """Returns when nothing is left and that is enough."""
        with worker_for(self.engine, self.model, self.options, self.observer) as worker:
            worker.progress = self.before
            tidied = worker.progress.stored
            while True:
                worker.work(None, self._report)
                waiting = worker.wait_for_others(None)
                if not waiting and worker.progress.stored > tidied:
                    end_round(self.engine, self.model, worker.progress.stored - tidied)
                    tidied = worker.progress.stored
                if not waiting and self.until_empty:
                    return worker.progress
                if not waiting:
                    time.sleep(1.0)

    def _report(self, progress: Progress) -> None:
        def total() -> int:
            with self.engine.connect() as connection:
                left = manifest.open_work(connection, self.model.id, None)
            return progress.settled + left

        if self.on_batch:
            self.on_batch(progress, total)
