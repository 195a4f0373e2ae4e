"""Ingest what arrives in a folder, for as long as somebody wants."""

from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic, sleep, time_ns

from sqlalchemy import Engine

from db.audit import record
from gallery import manifest
from gallery.collections import collection_called, collection_named
from gallery.model_rows import ModelRow
from gallery.models import chosen
from images.listing import Listing, NothingToIngest
from images.sources.folder import LocalFolder
from images.walk import NoSuchFolder
from ingest.arrivals import Arrivals, Changes
from ingest.options import Options
from ingest.reconnect import CONNECTION_ERRORS, wait_for_database
from ingest.register import Registered, note_gone, register_files
from ingest.run import OnBatch, Summary, check_device, end_round, summarise, worker_for
from ingest.worker import Progress, Worker

_SHARE = 4  # a scan takes at most one part of so many and itself


@dataclass
class _Watch:
    """A folder that is being watched, and what has come of it so far."""

    engine: Engine
    source: LocalFolder
    collection: str
    model: ModelRow
    options: Options
    interval_s: float
    on_batch: OnBatch | None
    on_note: Callable[[str], None]
    arrivals: Arrivals = field(init=False)
    total: Registered = field(default_factory=Registered)
    worker: Worker | None = None
    done: Progress = field(default_factory=Progress)  # of the workers whose connections went
    collection_id: int | None = None
    open: bool = False  # work that others hold, or have left
    waiting: bool = False
    first: bool = True

    def __post_init__(self) -> None:
        self.arrivals = Arrivals(self.interval_s)

    def run(self, stack: ExitStack) -> None:
        while True:
            started = monotonic()
            listing = self._listing()
            took = monotonic() - started
            if listing is not None:
                try:
                    self._pass(listing, stack)
                except CONNECTION_ERRORS as error:
                    stack.close()  # the worker's connections are gone
                    wait_for_database(self.engine, error, self.on_note)
                    self._begin_again()
                    continue
            sleep(max(self.interval_s, _SHARE * took))

    def _begin_again(self) -> None:
        """The folder is looked at as at first: what was being registered may be lost."""
        self.first, self.arrivals = True, Arrivals(self.interval_s)
        self.total = replace(self.total, pending=0, known=0)
        if self.worker is not None:
            self.done, self.worker = self.worker.progress, None

    def _listing(self) -> Listing | None:
        """What the folder holds; None, and one note, while there is nothing to be seen."""
        try:
            listing = self.source.listing()
        except (NoSuchFolder, NothingToIngest) as error:
            if not self.waiting:
                self.on_note(f"{error}; waiting")
            self.waiting = True
            return None
        if self.waiting:
            self.on_note(f"{self.source.name} is there again")
        self.waiting = False
        return listing

    def _pass(self, listing: Listing, stack: ExitStack) -> None:
        changes = self.arrivals.look(listing, time_ns())
        refused = {p: why for p, why in listing.refused.items() if p not in self.total.refused}
        if self.first or changes.ready or changes.gone or refused:
            self._register(listing, changes)
        if (self.open or self.total.pending) and not self.options.enqueue:
            self._work(stack)
        self.first = False

    def _register(self, listing: Listing, changes: Changes) -> None:
        if not self.first:
            listing = replace(listing, files=changes.ready, whole=False)
        with self.engine.begin() as connection:
            if self.first:
                row = collection_called(connection, self.collection, self.options.identities)
            else:
                row = collection_named(connection, self.collection)
            found = register_files(
                connection,
                row,
                self.model.id,
                self.source.name,
                listing,
                leave=changes.moving,
                overwrite=self.options.overwrite,
                allow_any_shape=self.options.allow_any_shape,
            )
            if changes.gone:
                found.missing += note_gone(
                    connection, row, self.model.id, self.source.name, changes.gone
                )
            if self.first:
                question = {"source": self.source.name, "collection": self.collection}
                record(connection, "ingest watch", {**question, "model": self.model.name})
                self.open = bool(manifest.open_work(connection, self.model.id, row.id))
            self.collection_id = row.id
        self.total.add(found)

    def _work(self, stack: ExitStack) -> None:
        if self.worker is None:
            self.worker = stack.enter_context(worker_for(self.engine, self.model, self.options))
            self.worker.progress = self.done
        before = replace(self.worker.progress)
        expected = before.settled + self.total.pending
        on_batch = self.on_batch
        report = (lambda progress: on_batch(progress, expected)) if on_batch else None
        now = self.worker.work(self.collection_id, report)
        self.total.pending = 0
        self.open = self.worker.wait_for_others(self.collection_id, pause_s=0)
        if now.settled > before.settled:
            end_round(self.engine, self.model, now.stored - before.stored)
            failed = now.failed - before.failed
            said = f"{now.stored - before.stored} stored" + (f", {failed} failed" if failed else "")
            self.on_note(f"taken in: {said}")


def watch(
    engine: Engine,
    folder: Path,
    collection: str,
    options: Options,
    interval_s: float,
    on_batch: OnBatch | None,
    on_note: Callable[[str], None],
) -> Summary:
    """Takes in what is in a folder and what arrives there, until Ctrl-C; gives what was done.

    `on_note` is told what happens, sentence by sentence.
    """
    model = chosen(engine, options.model)
    if not options.enqueue:
        check_device(options.device)
    watching = _Watch(
        engine, LocalFolder(folder), collection, model, options, interval_s, on_batch, on_note
    )
    started = monotonic()
    # the worker ends its batch and gives back its leases before the counts are made
    with ExitStack() as stack, suppress(KeyboardInterrupt):
        watching.run(stack)
    if watching.collection_id is None:
        raise KeyboardInterrupt
    return summarise(
        engine,
        model,
        watching.collection_id,
        {"source": watching.source.name, "collection": collection},
        watching.total,
        watching.worker.progress if watching.worker else watching.done,
        monotonic() - started,
    )
