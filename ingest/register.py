"""A source's files become registered work: compare with the manifest, register what is open."""

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import TypeVar

from sqlalchemy import Connection, Engine

from db.each import plain_text, store_each
from db.spelling import one_form
from errors import ReidError
from gallery import last_look, manifest
from gallery.collections import (
    CollectionRow,
    UnknownCollection,
    collection_named,
    lock_collections,
    mark_missing,
)
from gallery.image_facts import ToldFacts, correct
from gallery.manifest import FileFacts, Known
from images.facts_file import Told
from images.leftovers import leftover
from images.listing import KINDS, SUFFIXES, FoundFile, Key, Listing, NothingToIngest, suffix_of
from images.names import facts_of
from images.sources.base import GoneSource
from images.sources.open import is_folder, opened
from images.walk import NoSuchFolder, file_path

_CHUNK = 2_000
T = TypeVar("T")


@dataclass
class Registered:
    """What a source came to. `refused` maps paths to reasons: they never became work. `corrected`
    are stored images of which something else is told now, `unlisted` files that the table of facts
    does not name; they were passed over."""

    pending: int = 0
    known: int = 0
    missing: int = 0
    corrected: int = 0
    unlisted: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    ignored: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, later: "Registered") -> None:
        """Counts what a later look at the same source came to."""
        self.pending += later.pending
        self.known += later.known
        self.missing += later.missing
        self.refused.update(later.refused)
        self.ignored = later.ignored


def register_files(
    connection: Connection,
    collection: CollectionRow,
    model_id: int,
    source: str,
    listing: Listing,
    *,
    told: Mapping[str, Told] | None = None,
    elsewhere: "Elsewhere | None" = None,
    leave: Collection[Key] = (),
    overwrite: bool = False,
    allow_any_shape: bool = False,
) -> Registered:
    """Registers every file of a source that is not stored and unchanged, or all to `overwrite`.

    With `told` only what it names. Those in `leave` are there, but not taken in yet. Files of this
    source that a whole listing lacks are marked missing.
    """
    lock_collections(connection, [collection.id], exclusive=True)
    listing, elsewhere = _holdable(listing), dict(elsewhere or {})
    paths = None if listing.whole else [file.path for file in listing.files]
    known = manifest.known_files(connection, collection.id, model_id, paths)
    result = Registered(
        refused=dict(listing.refused), ignored=listing.ignored, notes=list(listing.notes)
    )
    files = [file for file in listing.files if file.key not in leave]
    if told is not None:
        files, told = _named(files, told, source, result)
    fresh, taken_in = [], []
    for file in (_facts(file, told) for file in files):
        row = known.get(file.key)
        if row and _taken(row, source, file, elsewhere):
            result.refused[file.path] = _other(collection.name, row.source, source)
            continue
        taken_in.append(file)
        if row is None or overwrite or not row.is_settled(file, source):
            fresh.append(file)
    result.known = len(taken_in) - len(fresh)

    def store(chunk: Sequence[FileFacts]) -> None:
        result.pending += manifest.register(
            connection,
            collection.id,
            model_id,
            source,
            chunk,
            allow_any_shape=allow_any_shape,
            recompute=overwrite,
        )

    for chunk in _chunks(fresh):
        for file, why in store_each(connection, chunk, store):
            result.refused[file.path] = f"the database cannot hold it: {why}"
    if told is not None:
        taken_in = [file for file in taken_in if file.path not in result.refused]
        result.corrected = _correct(connection, collection.id, taken_in, told)
    if listing.whole:
        result.missing = _mark_gone(connection, known, source, listing)
    part = None if listing.whole else [file.path for file in taken_in]
    last_look.remember(
        connection, collection.id, source, result.ignored, result.refused, taken_in=part
    )
    return result


def note_gone(
    connection: Connection,
    collection: CollectionRow,
    model_id: int,
    source: str,
    keys: Collection[Key],
) -> int:
    """Marks files of a source missing; gives their number."""
    lock_collections(connection, [collection.id], exclusive=True)
    paths = [path for path, _ in keys]
    rows = manifest.known_files(connection, collection.id, model_id, paths)
    return _mark(
        connection, [row for key, row in rows.items() if key in keys and row.source == source]
    )


def _mark_gone(
    connection: Connection, known: Mapping[Key, Known], source: str, listing: Listing
) -> int:
    present = {file.key for file in listing.files}
    return _mark(
        connection,
        [
            row
            for key, row in known.items()
            if row.source == source and key not in present and not is_below(key[0], listing.refused)
        ],
    )


def _mark(connection: Connection, rows: Iterable[Known]) -> int:
    gone = [row.image_id for row in rows if not row.missing]
    mark_missing(connection, gone)
    return len(gone)


def is_below(path: str, refused: Mapping[str, str]) -> bool:
    """Whether a file or a folder of its path may not be read: then nobody knows that it is gone."""
    return path in refused or any(str(parent) in refused for parent in PurePosixPath(path).parents)


_YEAR_NS = 365.2425 * 86_400e9


def _holdable(listing: Listing) -> Listing:
    """The list with the files refused whose facts no column can hold."""
    files, refused = [], dict(listing.refused)
    for file in listing.files:
        year = int(1970 + file.mtime_ns / _YEAR_NS)
        if "\0" in file.path:
            refused[file.path] = "a name with a zero byte, which no file can have"
        elif plain_text(file.path) != file.path:
            refused[file.path] = "a name with half a character, which is no text; rename it"
        elif file.mtime_ns not in manifest.MTIMES_NS:
            refused[file.path] = (
                f"dated to the year {year}, which the database cannot hold; give it another time "
                "with touch"
            )
        else:
            files.append(file)
    return (
        listing
        if len(files) == len(listing.files)
        else replace(listing, files=files, refused=refused)
    )


def _named(
    files: Sequence[FoundFile], told: Mapping[str, Told], source: str, result: Registered
) -> tuple[list[FoundFile], dict[str, Told]]:
    """The files that the table names, and what it tells by their own paths; what it names in vain
    is refused."""
    own = {file.path for file in files}
    # as another system writes the same name: an accent on its own, a backslash between folders
    alike = {_any_system(path): path for path in told if path not in own}
    named, by_path, seen = [], {}, set()
    for file in files:
        path = file.path if file.path in told else alike.get(_any_system(file.path))
        if path is None:
            result.unlisted += 1
            continue
        named.append(file)
        by_path[file.path] = told[path]
        seen.add(path)
    for path in told.keys() - seen - result.refused.keys():
        result.refused[path] = (
            f"named in line {told[path].line} of the manifest, but {_why_not(path, source)}"
        )
    return named, by_path


def _any_system(path: str) -> str:
    return one_form(path.replace("\\", "/"))


def _why_not(path: str, source: str) -> str:
    if path.startswith("/"):
        return "is an absolute path; it must be relative to the source"
    if suffix_of(path) not in SUFFIXES:
        return f"is no image by its name; expected {KINDS}"
    if kind := leftover(path):
        return f"is passed over ({kind})"
    return f"is not in {source}"


def _correct(
    connection: Connection,
    collection_id: int,
    files: Sequence[FileFacts],
    told: Mapping[str, Told],
) -> int:
    facts = [
        ToldFacts(
            file.path,
            file.path_raw,
            told[file.path].columns,
            file.pid,
            file.camid,
            file.captured_at,
        )
        for file in files
    ]
    return sum(correct(connection, collection_id, chunk) for chunk in _chunks(facts))


def _facts(file: FoundFile, told: Mapping[str, Told] | None) -> FileFacts:
    pid, camid = facts_of(PurePosixPath(file.path).name)
    time = None
    if told is not None:
        said = told[file.path]
        pid = said.pid if "pid" in said.columns else pid
        camid = said.camid if "camid" in said.columns else camid
        time = said.time
    return FileFacts(file.path, file.path_raw, file.size_bytes, file.mtime_ns, pid, camid, time)


Elsewhere = dict[str, "frozenset[str] | None"]


def other_sources(
    engine: Engine, collection_name: str, model_id: int, source: str, listing: Listing
) -> Elsewhere:
    """The paths that other sources have now of which the collection has files with these names;
    None for one that nobody can ask. Each is listed once, and nobody waits for its answer."""
    with engine.connect() as connection:
        try:
            row = collection_named(connection, collection_name)
        except UnknownCollection:
            return {}
        known = manifest.known_files(
            connection, row.id, model_id, [f.path for f in _holdable(listing).files]
        )
    paths: dict[str, list[str]] = {}
    for (path, _), file in known.items():
        if file.source != source and not is_folder(file.source):
            paths.setdefault(file.source, []).append(path)
    return {name: _paths_of(name, named) for name, named in paths.items()}


def _paths_of(source: str, named: Sequence[str]) -> frozenset[str] | None:
    try:
        listing = opened(source).listing(named)
    except (NoSuchFolder, GoneSource, NothingToIngest):
        return frozenset()
    except ReidError:
        return None
    return frozenset(file.path for file in listing.files).union(listing.refused)


def _taken(row: Known, source: str, file: FileFacts, elsewhere: Elsewhere) -> bool:
    """Whether another source's file has this name here. A source that was moved is no other."""
    if row.source == source:
        return False
    if is_folder(row.source):
        return os.path.lexists(file_path(row.source, *file.key))
    if row.source not in elsewhere:  # it came in between
        elsewhere[row.source] = _paths_of(row.source, [file.path])
    there = elsewhere[row.source]
    # where nobody can tell, nobody's image is given up for a guess
    return there is None or file.path in there


def _other(collection: str, source: str, new: str) -> str:
    above = (
        "ingest the folder above both, or " if is_folder(source) and is_folder(new) else "ingest "
    )
    return f"{collection!r} has a file of this name from {source}; {above}into another collection"


def _chunks(items: Sequence[T]) -> Iterable[Sequence[T]]:
    return (items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK))
