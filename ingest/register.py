"""A folder becomes registered work: walk, compare with the manifest, register what is open."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from sqlalchemy import Connection

from db import manifest
from db.collections import CollectionRow, hold, mark_missing
from db.manifest import FileFacts
from images.names import facts_of
from images.walk import FoundFile, file_path, walk

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
    known = manifest.known_files(connection, collection.id, model_id)
    result = Registered(refused=dict(found.refused), ignored=found.ignored)
    fresh = []
    for file in map(_facts, found.files):
        row = known.get(file.key)
        if row and _taken(row, source, file):
            result.refused[file.path] = (
                f"{collection.name!r} has a file of this name from {row.source}; "
                "ingest the folder above both, or into another collection"
            )
        elif row and row.is_settled(file, source) and not overwrite:
            result.known += 1
        else:
            fresh.append(file)
    for start in range(0, len(fresh), _CHUNK):
        result.pending += manifest.register(
            connection,
            collection.id,
            model_id,
            source,
            fresh[start : start + _CHUNK],
            allow_any_shape=allow_any_shape,
            recompute=overwrite,
        )
    present = {(file.path, file.path_raw) for file in found.files}
    gone = [
        row.image_id
        for key, row in known.items()
        if row.source == source
        and not row.missing
        and key not in present
        and not _is_below(key[0], found.refused)
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


def _taken(row: manifest.Known, source: str, file: FileFacts) -> bool:
    """Whether another folder's file has this name here. A folder that was moved is no other."""
    return row.source != source and os.path.lexists(file_path(row.source, file.path, file.path_raw))
