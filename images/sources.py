"""Where images come from: a folder, an archive or a URL. Each lists its files and reads one.

A source is known by its name alone, which stands with every image: a worker on another machine
opens it again from there.
"""

import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Protocol

from errors import ReidError, UsageError
from images.decode import UnreadableImage, read_file
from images.listing import Key, Listing, mark_of
from images.members import OpenArchive
from images.open_file import OpenFile
from images.tar_archive import BadTar, TarArchive
from images.walk import NoSuchFolder, file_path, walk
from images.zip_archive import BadZip, ZipArchive

TARS = (".tar", ".tar.gz", ".tgz")
ARCHIVES = (*TARS, ".zip")
_URL = re.compile(r"[a-z][\w+.-]*(::[\w+.-]+)*://", re.ASCII | re.IGNORECASE)


class BadArchive(UsageError):
    """The file is no archive, or nothing of it can be read."""


class GoneSource(UsageError):
    """The source is not there any more."""


class Source(Protocol):
    @property
    def name(self) -> str:
        """What stands with each image; opens the source again."""
        ...

    def listing(self, named: Sequence[str] = ()) -> Listing:
        """What it holds now. `named` are the paths to look for where a server gives no list.

        Raises NothingToIngest, and a ReidError where it cannot be listed.
        """
        ...

    def read(self, key: Key, mark: int | None) -> bytes:
        """One file's bytes; `mark` is its `mtime_ns` in the listing. Raises UnreadableImage."""
        ...

    def has(self, key: Key) -> bool:
        """Whether the file is there; True where nobody can tell."""
        ...


def is_url(text: str) -> bool:
    return _URL.match(text) is not None


def is_archive(name: str) -> bool:
    return name.lower().endswith(ARCHIVES)


def is_folder(name: str) -> bool:
    """Whether a source's name means a folder of this machine, there or not."""
    return not is_url(name) and not (is_archive(name) and not Path(name).is_dir())


def source_of(text: str) -> Source:
    """The source that a person or an image names; its files are not looked at yet.

    Raises NoSuchFolder, BadUrl, RemoteMissing.
    """
    if text.startswith(("file://", "local://")):
        text = text.partition("://")[2]
    if is_url(text):
        from images.remote import RemoteFolder, remote_archive

        return remote_archive(text) if is_archive(text.rstrip("/")) else RemoteFolder(text)
    path = Path(text)
    if path.is_dir():
        return LocalFolder(path)
    if not path.exists():
        raise NoSuchFolder(f"{path} is not there")
    if not is_archive(path.name) or not path.is_file():
        raise NoSuchFolder(f"{path} is a file; expected a folder, or one of {', '.join(ARCHIVES)}")
    return local_archive(path)


_OPENED: dict[str, Source] = {}
_OPENING = Lock()


def opened(name: str) -> Source:
    """The source of that name; what must be opened, once for the process. Raises as `source_of`."""
    with _OPENING:
        if name in _OPENED:
            return _OPENED[name]
        found = source_of(name)
        if isinstance(found, LocalFolder):
            return found
        return _OPENED.setdefault(found.name, found)


class LocalFolder:
    """A folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.name = str(folder.resolve())

    def listing(self, named: Sequence[str] = ()) -> Listing:  # noqa: ARG002 - it can be listed
        return walk(self._folder)

    def read(self, key: Key, mark: int | None) -> bytes:  # noqa: ARG002 - what is there counts
        return read_file(file_path(self.name, *key))

    def has(self, key: Key) -> bool:
        return os.path.lexists(file_path(self.name, *key))


Fetched = tuple[OpenFile, int]


class Archive:
    """An archive that is opened once for all threads, and again when it is another one.

    `fetch` gives its file and a number for its version, `version` something that changes with it
    and costs less. For `patience_s` seconds after either was asked, nothing is asked again.
    """

    def __init__(
        self,
        name: str,
        fetch: Callable[[], Fetched],
        version: Callable[[], object],
        patience_s: float = 0,
    ) -> None:
        self.name, self._fetch, self._version = name, fetch, version
        self._patience_s = patience_s
        self._lock = Lock()
        self._archive: OpenArchive | None = None
        self._seen: object = None
        self._checked = 0.0
        self._failed: ReidError | None = None

    def listing(self, named: Sequence[str] = ()) -> Listing:  # noqa: ARG002 - it can be listed
        with self._lock:
            listing = self._open().listing
        listing.check_any(self.name)
        return listing

    def read(self, key: Key, mark: int | None) -> bytes:
        try:
            return self._current(key, mark).read(key)
        except KeyError:
            raise UnreadableImage(f"is not in {self.name} any more", "no file") from None
        except ReidError as error:
            if isinstance(error, UnreadableImage):
                raise
            raise UnreadableImage(f"cannot be read: {error}", "no file") from None
        except OSError as error:
            raise UnreadableImage(f"cannot be read: {error.strerror}", "no file") from None

    def has(self, key: Key) -> bool:
        try:
            return self._current(key, None).mark(key) is not None
        except GoneSource:
            return False
        except ReidError:
            return True

    def _current(self, key: Key, mark: int | None) -> OpenArchive:
        """The archive as it is, if this member is not the one that was listed."""
        with self._lock:
            now = time.monotonic()
            fresh = now < self._checked + self._patience_s
            if self._failed and fresh:
                raise self._failed
            if self._archive and (self._archive.mark(key) == mark or fresh):
                return self._archive
            if self._archive and self._version() == self._seen:
                self._checked = now
                return self._archive
            return self._open()

    def _open(self) -> OpenArchive:
        self._archive = self._failed = None
        try:
            self._seen = self._version()
            file, stamp = self._fetch()
            self._archive = _archive(self.name, file, stamp)
        except ReidError as error:
            self._failed = error
            raise
        finally:
            self._checked = time.monotonic()
        return self._archive


def _archive(name: str, file: OpenFile, stamp: int) -> OpenArchive:
    if not file.size:
        raise BadArchive(f"{name} is an empty file")
    try:
        tar = name.lower().endswith(TARS)
        return TarArchive(file, name, stamp) if tar else ZipArchive(file, name)
    except (BadTar, BadZip) as error:
        kind = "tar" if isinstance(error, BadTar) else "zip"
        raise BadArchive(f"{name} is no {kind} that can be read ({error}); copy it again") from None


def local_archive(path: Path) -> Archive:
    resolved = path.resolve()

    def version() -> object:
        try:
            facts = resolved.stat()
        except OSError:
            raise GoneSource(f"{resolved} is not there") from None
        return facts.st_size, facts.st_mtime_ns, facts.st_ino

    def fetch() -> Fetched:
        try:
            with resolved.open("rb") as file:
                opened = OpenFile(file.fileno())
        except OSError as error:
            raise BadArchive(f"{resolved} cannot be read: {error.strerror}") from None
        facts = resolved.stat()
        return opened, mark_of(facts.st_size, facts.st_mtime_ns)

    return Archive(str(resolved), fetch, version)
