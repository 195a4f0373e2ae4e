"""An archive, opened once for all threads; one of this machine."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock

from errors import ReidError, UsageError
from images.decode import UnreadableImage
from images.listing import Key, Listing, mark_of
from images.sources.base import GoneSource
from images.sources.members import OpenArchive
from images.sources.open_file import OpenFile
from images.sources.tar import BadTar, TarArchive
from images.sources.zip import BadZip, ZipArchive

TARS = (".tar", ".tar.gz", ".tgz")
ARCHIVES = (*TARS, ".zip")
Fetched = tuple[OpenFile, int]


class BadArchive(UsageError):
    """The file is no archive, or nothing of it can be read."""


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

    def let_go(self) -> None:
        """Closes it, and a temporary copy with it, once nobody reads it; a later reader opens it
        again."""
        with self._lock:
            self._archive = self._seen = None

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


def is_archive(name: str) -> bool:
    return name.lower().endswith(ARCHIVES)


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
