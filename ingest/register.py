"""A folder becomes registered work: walk, compare with the manifest, register what is open."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from sqlalchemy import Connection

from db import manifest
from db.collections import CollectionRow, hold, mark_missing
from db.manifest import FileFacts
from images.names import facts_of
from images.walk import FoundFile, walk

_CHUNK = 2_000


@dataclass
class Registered:
    """What a folder came to. `refused` maps paths to reasons: they never became work."""

    pending: int = 0
    known: int = 0
    missing: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    ignored: dict[str, int] = field(default_factory=dict)


def register_folder(
    connection: Connection,
    collection: CollectionRow,
    model_id: int,
    folder: Path,
    *,
    overwrite: bool = False,
    allow_any_shape: bool = False,
) -> Registered:
    """Registers every file of `folder` that is not stored and unchanged, or all to `overwrite`.

    Files of this folder that are gone are marked missing. Raises NoSuchFolder, NothingToIngest.
    """
    found = walk(folder)
    source = str(folder.resolve())
    hold(connection, [collection.id], alone=True)
    known = manifest.known_files(connection, collection.id, model_id, source)
    files = [_facts(file) for file in found.files]
    fresh = [
        file
        for file in files
        if overwrite or file.key not in known or not known[file.key].is_settled(file)
    ]
    result = Registered(known=len(files) - len(fresh), refused=found.refused, ignored=found.ignored)
    for chunk in _chunks(fresh):
        result.pending += manifest.register(
            connection, collection.id, model_id, source, chunk, allow_any_shape=allow_any_shape
        )
    present = {file.key for file in files}
    gone = [
        row.image_id
        for key, row in known.items()
        if row.here and key not in present and not _is_below(key[0], found.refused)
    ]
    mark_missing(connection, gone)
    result.missing = len(gone)
    return result


def _is_below(path: str, refused: Mapping[str, str]) -> bool:
    """Whether a file or a folder of its path may not be read: then nobody knows that it is gone."""
    return path in refused or any(str(parent) in refused for parent in PurePosixPath(path).parents)


def _facts(file: FoundFile) -> FileFacts:
    pid, camid = facts_of(PurePosixPath(file.path).name)
    return FileFacts(file.path, file.path_raw, file.size_bytes, file.mtime_ns, pid, camid)


def _chunks(files: list[FileFacts]) -> Iterator[list[FileFacts]]:
    for start in range(0, len(files), _CHUNK):
        yield files[start : start + _CHUNK]
