"""A folder's image files in sorted order, each by its path relative to the folder."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from errors import UsageError
from images.leftovers import leftover
from images.listing import SUFFIXES, FoundFile, Listing, readable, suffix_of


class NoSuchFolder(UsageError):
    """The folder to read is not there, or is no folder."""

    http_status = 404


def file_path(source: str, path: str, path_raw: bytes | None) -> bytes:
    """Return where the file is on this machine."""
    return os.path.join(os.fsencode(source), path_raw if path_raw is not None else path.encode())


def walk(folder: Path) -> Listing:
    """Every image file below `folder`, sorted by its path's bytes.

    A symbolic link is followed only to a file inside the folder. Raises NoSuchFolder, and
    NothingToIngest where there is nothing to read at all.
    """
    if not folder.is_dir():
        what = "is a file; expected a folder" if folder.exists() else "is not there"
        raise NoSuchFolder(f"{folder} {what}")
    root = os.fsencode(folder.resolve())
    if readable(root)[1] is not None:
        raise NoSuchFolder(f"{readable(root)[0]} is no UTF-8 name; rename this folder")
    result = Listing()
    for found in sorted(_entries(root, b""), key=lambda found: found.relative):
        _take(result, root, found)
    if "." in result.refused:
        raise NoSuchFolder(f"{folder}: {result.refused['.']}")
    result.check_any(folder)
    return result


@dataclass(frozen=True)
class _Entry:
    """A name in a folder; `refused` says why a folder could not be looked into."""

    relative: bytes
    entry: os.DirEntry[bytes] | None
    refused: str | None = None


def _entries(root: bytes, below: bytes) -> Iterator[_Entry]:
    folders = [below]
    while folders:
        below = folders.pop()
        try:
            with os.scandir(os.path.join(root, below)) as entries:
                for entry in entries:
                    relative = os.path.join(below, entry.name)
                    try:
                        is_folder = entry.is_dir(follow_symlinks=False)
                    except OSError:  # the system does not say; reading it will
                        is_folder = False
                    if is_folder:
                        folders.append(relative)
                    else:
                        yield _Entry(relative, entry)
        except PermissionError:
            reason = "a folder that may not be read; change its permissions"
            yield _Entry(below or b".", None, reason)
        except OSError as error:
            yield _Entry(below or b".", None, f"a folder that cannot be read: {error.strerror}")


def _take(result: Listing, root: bytes, found: _Entry) -> None:
    path, raw = readable(found.relative)
    entry = found.entry
    suffix, kind = suffix_of(path), leftover(path if entry else f"{path}/what lies in it")
    if kind and (entry is None or suffix in SUFFIXES):
        result.ignore(kind)
        return
    if entry is None:
        result.refused[path] = found.refused or ""
        return
    if (suffix in SUFFIXES or _is_folder(entry)) and _leads_out(root, entry):
        result.refused[path] = (
            "a symbolic link that leads out of the folder; ingest the folder it leads to"
        )
        return
    if suffix not in SUFFIXES:
        result.ignore(suffix or "without a suffix")
        return
    try:
        facts = entry.stat()
    except OSError as error:
        result.refused[path] = f"cannot be read: {error.strerror}"
        return
    if not stat.S_ISREG(facts.st_mode):
        result.refused[path] = "no regular file"
        return
    result.files.append(FoundFile(path, raw, facts.st_size, facts.st_mtime_ns))


def _is_folder(entry: os.DirEntry[bytes]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a loop of links
        return False


def _leads_out(root: bytes, entry: os.DirEntry[bytes]) -> bool:
    return entry.is_symlink() and not os.path.realpath(entry.path).startswith(
        os.path.join(root, b"")
    )
