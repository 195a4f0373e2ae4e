"""Erasing pictures: what it comes to, the erasing itself, and what it cannot reach."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine

from db.audit import record, written_since
from db.pooler import own_sessions
from errors import UsageError
from gallery import erase_rows, last_look, scrub
from gallery.centre_models import refresh_due
from gallery.collections import CollectionRow, all_collections, collections_named
from gallery.erase_rows import Contents, Extent, Named
from gallery.model_rows import seen_by
from gallery.retention_rows import REASON
from gallery.sent_images import is_sent, remove_kept, stays, sweep
from images.decode import content_hash, read_file
from images.sources.open import is_folder
from images.walk import file_path

OnStep = Callable[[str, float], object]  # what is done, and its share done in [0, 1]


class NothingNamed(UsageError):
    """Images were named that are not there."""

    http_status = 404


@dataclass(frozen=True)
class ErasureRequest:
    """What to erase: images, collections, a person of some collections, or contents of files. With
    nothing named: whatever has a tombstone already."""

    image_ids: tuple[int, ...] = ()
    collections: tuple[str, ...] = ()
    pid: int | None = None
    files: tuple[Path, ...] = ()
    reason: str | None = None

    def __post_init__(self) -> None:
        kinds = [bool(self.image_ids), bool(self.collections), bool(self.files)]
        if sum(kinds) > 1:
            raise UsageError("name images, collections or files, one kind in a command")
        if self.pid is not None and not self.collections:
            raise UsageError("a person's number means something in a collection: add --collection")
        if self.reason and len(self.reason) > 500:
            raise UsageError("the reason is longer than 500 characters")
        if self.reason and self.reason.startswith(REASON):
            raise UsageError(f"a reason that begins with {REASON!r} is that of `reid retention`")

    @property
    def names_something(self) -> bool:
        return bool(self.image_ids or self.collections or self.files)

    def question(self) -> dict[str, Any]:
        """Describe the request for the audit log, which outlives what is erased: no file name, no
        hash."""
        said = {
            "images": len(self.image_ids),
            "collections": list(self.collections),
            "files": len(self.files),
        }
        given = {name: value for name, value in said.items() if value}
        return given if self.pid is None else {**given, "pid": self.pid}


@dataclass(frozen=True)
class ErasurePlan:
    """What an erasure comes to. `copies` have the bytes of an image that was named, in this or
    another collection; `pending` says that an earlier one is to be finished."""

    contents: Contents
    extent: Extent
    collections: tuple[CollectionRow, ...]
    pending: bool

    @property
    def copies(self) -> int:
        return self.extent.images - self.contents.named if self.contents.named else 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing is stored of it, and there is nothing to keep out either."""
        whole = bool(self.collections) and not self.extent.images
        return not (self.extent.images or self.extent.queries or self.contents.hashes or whole)

    def to_json(self) -> dict[str, int]:
        extent = self.extent
        return {
            "images": extent.images,
            "copies": self.copies,
            "unread": len(self.contents.unread),
            "features": extent.features,
            "matches": extent.matches,
            "verdicts": extent.verdicts,
            "queries": extent.queries,
            "query_sets": extent.query_sets,
            "runs": extent.runs,
            "contents": len(self.contents.hashes),
        }


@dataclass(frozen=True)
class Remains:
    """Where copies may be that this database cannot reach: files by folder, those written since the
    first of the images was taken in; and `models` that have learned from them, with how many."""

    folders: dict[str, int]
    written: tuple[dict[str, Any], ...]
    models: dict[str, int]


def plan(engine: Engine, asked: ErasureRequest) -> tuple[ErasurePlan, Remains]:
    """What `erase` would do, without doing it.

    Raises NothingNamed, UnknownCollection, UnreadableImage.
    """
    with engine.connect() as connection:
        found = _plan(connection, asked)
        folders = _folders(connection, found.contents)
        written = _written(connection, found.extent.since)
        models = seen_by(connection, found.contents.hashes)
    return found, Remains(folders, written, models)


def erase(
    engine: Engine, asked: ErasureRequest, *, quick: bool = False, on_step: OnStep | None = None
) -> tuple[ErasurePlan, list[str]]:
    """Erases; gives what it came to, and the approximate indexes that were dropped.

    With `quick` the tables are not written anew: nobody waits, and bytes of what is erased stay in
    their files for a while. Raises as `plan`; BytesLeft; NeedsSession before anything is removed.
    """
    with own_sessions(engine, "erasing"):
        return _erase(engine, asked, quick, on_step)


def _erase(
    engine: Engine, asked: ErasureRequest, quick: bool, on_step: OnStep | None
) -> tuple[ErasurePlan, list[str]]:
    with engine.begin() as connection:
        erase_rows.lock_everything(connection)
        found = _plan(connection, asked)
        if not found.is_empty:
            _begin(connection, asked, found)
    _remove(engine, found.contents, on_step)
    with engine.begin() as connection:
        if asked.pid is None:
            for row in found.collections:
                erase_rows.remove_if_empty(connection, row.id)
    return found, _leave_files(engine, quick, on_step)


def _begin(connection: Connection, asked: ErasureRequest, found: ErasurePlan) -> None:
    erase_rows.add_tombstones(connection, found.contents.hashes, asked.reason)
    scrub.set_pending(connection)
    last_look.forget_names(connection, [row.id for row in all_collections(connection)])
    record(
        connection,
        "erase",
        {**asked.question(), "erased": found.to_json()},
        purpose=asked.reason,
        result_ids=erase_rows.image_ids_of(connection, found.contents),
    )


def _plan(connection: Connection, asked: ErasureRequest) -> ErasurePlan:
    rows = tuple(collections_named(connection, asked.collections))
    if asked.names_something:
        hashes = tuple(content_hash(read_file(os.fsencode(file))) for file in asked.files)
        ids = tuple(row.id for row in rows)
        named = Named(tuple(dict.fromkeys(asked.image_ids)), ids, asked.pid, hashes)
        contents = erase_rows.contents_of(connection, named)
        _check_named(connection, asked, contents)
    else:
        contents = erase_rows.left_over(connection)
    return ErasurePlan(
        contents, erase_rows.extent(connection, contents), rows, scrub.is_pending(connection)
    )


def _check_named(connection: Connection, asked: ErasureRequest, contents: Contents) -> None:
    """Raises NothingNamed for what was never there; what is erased already is no mistake."""
    if unknown := erase_rows.never_seen(connection, asked.image_ids):
        raise NothingNamed(
            f"no image {unknown[0]} ({len(unknown)} of {len(asked.image_ids)} are not there); "
            "a search prints the numbers of its matches"
        )
    if asked.pid is not None and not (contents.hashes or contents.unread):
        where = ", ".join(map(repr, asked.collections))
        raise NothingNamed(f"{where} holds no image of person {asked.pid}, nor a query for them")


def _remove(engine: Engine, contents: Contents, on_step: OnStep | None) -> None:
    """Removes these, then whatever else has a tombstone: what was stored while they were written,
    and what an earlier run has left."""
    while True:
        with engine.connect() as connection:
            images = erase_rows.image_ids_of(connection, contents)
            queries = erase_rows.query_ids_of(connection, contents)
        done, total = 0, len(images) + len(queries)
        for remove, ids in erase_rows.chunks(images, queries):
            with engine.begin() as connection:
                erase_rows.lock_everything(connection)
                if remove is erase_rows.remove_images:
                    remove_uploads(connection, ids)
                remove(connection, ids)
            done += len(ids)
            if on_step:
                on_step("remove rows", done / total)
        with engine.begin() as connection:
            erase_rows.lock_everything(connection)
            contents = erase_rows.left_over(connection)
            sweep(connection)
        if not contents.hashes:
            break
    # a mean of a camera holds a trace of everybody in it
    refresh_due(engine, grown=False)


def remove_uploads(connection: Connection, image_ids: Sequence[int]) -> Counter[str]:
    """Removes the files of images that were sent, which this program keeps: before their rows, by
    which alone they are found. Gives those that stay, in homes out of reach, by folder."""
    left: Counter[str] = Counter()
    for source, path, _ in erase_rows.files_of(connection, image_ids):
        if is_sent(source, path):
            left[source] += stays(source, path)
            remove_kept(source, path)
    return +left


def _leave_files(engine: Engine, quick: bool, on_step: OnStep | None) -> list[str]:
    with engine.connect() as connection:
        if not scrub.is_pending(connection):
            return []
    if quick:
        scrub.vacuum(engine)
        return []
    done = 0

    def on_table(_: str) -> None:
        nonlocal done
        done += 1
        if on_step:
            on_step("write the tables anew", done / len(scrub.TABLES))

    return scrub.rewrite(engine, on_table)


def _folders(connection: Connection, contents: Contents) -> dict[str, int]:
    """The files that stay where they were taken in, by folder; nobody looks into archives and at
    other machines, where they are taken to be. What was sent and is kept here goes too."""
    ids = erase_rows.image_ids_of(connection, contents)
    there = Counter(
        source
        for source, path, raw in erase_rows.files_of(connection, ids)
        if _stays(source, path, raw)
    )
    return dict(sorted(there.items()))


def _stays(source: str, path: str, raw: bytes | None) -> bool:
    if is_sent(source, path):
        return stays(source, path)
    return not is_folder(source) or os.path.lexists(file_path(source, path, raw))


def _written(connection: Connection, since: datetime | None) -> tuple[dict[str, Any], ...]:
    return () if since is None else tuple(written_since(connection, since))


def allow_again(engine: Engine, words: Sequence[str]) -> int:
    """Takes tombstones away, each named by its SHA-256 in hexadecimal; gives their number.

    Raises UsageError for what is none.
    """
    hashes = []
    for word in words:
        if len(word) != 64 or not set(word.lower()) <= set("0123456789abcdef"):
            raise UsageError(f"{word!r} is no SHA-256; `sha256sum FILE` prints a file's")
        hashes.append(bytes.fromhex(word))
    with engine.begin() as connection:
        count = erase_rows.remove_tombstones(connection, hashes)
        record(connection, "erase lift", {"contents": count})
    return count
