"""Folders and archives behind a URL, by fsspec: `https`, `s3`, `memory` and whatever it knows.

An archive is copied once for each process, into a temporary file without a name: reading its
members one by one over the network would take a request each, and many servers allow none.
"""

import errno
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import IO, Any
from urllib.parse import quote, unquote_to_bytes

from errors import ReidError
from images.decode import MAX_BYTES, UnreadableImage
from images.leftovers import leftover
from images.listing import SUFFIXES, FoundFile, Key, Listing, mark_of, readable, suffix_of
from images.sources.archive import Archive, Fetched
from images.sources.base import GoneSource
from images.sources.open_file import OpenFile
from images.sources.remote_url import RemotePlace, Unreachable, place_of, problem_of

_PIECE = 2**20
_AT_ONCE = 16  # requests
_DEEPEST = 40  # folders in one another: a server may follow a link in a circle
_TRIES, _PAUSE_S = 2, 0.5
PATIENCE_S = 2.0  # so long an archive is taken to be the same, or to be away
_UNMARKED_S = 60  # so long a server that gives no version is taken to have the same
# what another content changes, as the file systems of fsspec call it
_VERSIONS = (
    "ETag", "etag", "e_tag", "Content-MD5", "content_md5", "md5Hash", "Digest", "checksum",
    "generation", "Last-Modified", "LastModified", "last_modified", "modified", "updated", "mtime",
    "created",
)  # fmt: skip


class NoListing(ReidError):
    """The server does not say which files a folder has."""

    http_status = 502


class RemoteFolder:
    """A folder behind a URL. Raises BadUrl, RemoteMissing."""

    def __init__(self, url: str) -> None:
        self._place = place_of(url)
        self.name = self._place.name

    def listing(self, named: Sequence[str] = ()) -> Listing:
        """Raises NoListing (but where `named` are given), GoneSource, Unreachable."""
        result = Listing()
        try:
            infos = list(self._entries(result))
        except NoListing:
            if not named:
                raise
            result.whole = False
            infos = [{"name": self._path(path)} for path in named if suffix_of(path) in SUFFIXES]
        if self._place.web:  # whose lists say names only
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                infos = [info for info in pool.map(self._asked, infos) if info]
        for info in infos:
            self._take(result, info, listed=result.whole)
        result.files.sort(key=lambda file: file.path_raw or file.path.encode())
        result.check_any(self.name)
        return result

    def read(self, key: Key, mark: int | None) -> bytes:  # noqa: ARG002 - what is there counts
        path = self._path(key[0], key[1])
        for attempt in range(_TRIES):
            try:
                with _stream(self._place, path) as file:
                    data = b"".join(_pieces(file, MAX_BYTES + 1))
                break
            except Exception as error:  # whatever a store's client raises
                problem = problem_of(error)
                if problem.gone or attempt + 1 == _TRIES:
                    raise UnreadableImage(f"cannot be read: {problem.words}", "no file") from None
                time.sleep(_PAUSE_S)
        if len(data) > MAX_BYTES:
            raise UnreadableImage(
                f"larger than {MAX_BYTES // 2**20} MiB; expected a person crop", "too large"
            )
        return data

    def _path(self, path: str, raw: bytes | None = None) -> str:
        name = path.encode() if raw is None else raw
        below = quote(name) if self._place.web else name.decode(errors="surrogateescape")
        return f"{self._place.root}/{below}"

    def _entries(self, result: Listing) -> Iterator[dict[str, Any]]:
        """The files below; a folder that cannot be listed is refused, the first one an error."""
        self._place.files.invalidate_cache()
        folders, seen = [""], False
        while folders:
            below = folders.pop()
            try:
                listed = self._place.files.ls(f"{self._place.root}/{below}", detail=True)
            except Exception as error:
                if not below:
                    raise self._unlisted(error) from None
                why = problem_of(error).words
                result.refused[below.rstrip("/")] = f"a folder that cannot be listed: {why}"
                continue
            for info in listed:
                relative = self._relative(str(info["name"]))
                if relative is None or relative in (below, below.rstrip("/")):
                    continue
                seen = True
                if info["type"] != "directory":
                    yield info
                elif relative.count("/") < _DEEPEST:
                    folders.append(relative.rstrip("/") + "/")
        if not seen and self._place.web:
            raise self._no_listing("its page names none")

    def _relative(self, name: str) -> str | None:
        """The name below the root; None for a page's links to elsewhere, and to sort its list."""
        start = f"{self._place.root}/"
        if not name.startswith(start) or (self._place.web and ("?" in name or "#" in name)):
            return None
        relative = name[len(start) :]
        return None if ".." in relative.split("/") else relative

    def _unlisted(self, error: Exception) -> ReidError:
        problem = problem_of(error)
        if self._place.web and (problem.gone or problem.status in (403, 405)):
            return self._no_listing(problem.words)
        if problem.gone:
            return GoneSource(f"{self.name} is not there")
        return Unreachable(f"{self.name} cannot be listed: {problem.words}; try again later")

    def _no_listing(self, why: str) -> NoListing:
        return NoListing(
            f"{self.name} gives no list of files ({why}); name an archive (.tar, .zip) instead, "
            "or say with --manifest FILE which files there are"
        )

    def _asked(self, info: dict[str, Any]) -> dict[str, Any] | None:
        """What the server says of one file; None for what can be no image. Raises Unreachable."""
        if suffix_of(str(info["name"])) not in SUFFIXES:
            return info
        try:
            answer: dict[str, Any] = self._place.files.info(info["name"])
        except Exception as error:
            problem = problem_of(error)
            if problem.status is not None:
                return {**info, "refused": problem}
            raise Unreachable(
                f"{self.name} cannot be listed: {problem.words}; try again later"
            ) from None
        return {**answer, "name": info["name"]}

    def _take(self, result: Listing, info: dict[str, Any], *, listed: bool) -> None:
        name = str(info["name"])[len(self._place.root) + 1 :]
        web = self._place.web
        raw = unquote_to_bytes(name) if web else _bytes_of(name)
        path, path_raw = readable(raw)
        suffix, size, refused = suffix_of(path), info.get("size"), info.get("refused")
        if suffix not in SUFFIXES:
            result.ignore(suffix or "without a suffix")
        elif kind := leftover(path):
            result.ignore(kind)
        elif refused:
            if listed or not refused.gone:
                result.refused[path] = f"cannot be read: {refused.words}"
        elif size is not None and size > MAX_BYTES:
            result.refused[path] = f"larger than {MAX_BYTES // 2**20} MiB; expected a person crop"
        else:
            result.files.append(FoundFile(path, path_raw, size, _mark(info) or time.time_ns()))


def _bytes_of(name: str) -> bytes:
    try:
        return name.encode(errors="surrogateescape")
    except UnicodeEncodeError:  # half a character, which a store may have in its own names
        return name.encode(errors="surrogatepass")


def remote_archive(url: str) -> Archive:
    """Raises BadUrl, RemoteMissing."""
    place = place_of(url)

    def version() -> object:
        try:
            info = place.files.info(place.root)
        except Exception as error:
            raise _failed(place, error) from None
        return _mark(info) or time.monotonic() // _UNMARKED_S

    return Archive(place.name, lambda: _copied(place), version, PATIENCE_S)


def _copied(place: RemotePlace) -> Fetched:
    """The archive in a temporary file, and the hash of its bytes as a number."""
    digest = sha256()
    with tempfile.TemporaryFile(prefix="reid-") as copy:
        try:
            with _stream(place, place.root) as remote:
                for piece in _pieces(remote):
                    digest.update(piece)
                    copy.write(piece)
            copy.flush()
        except Exception as error:
            if isinstance(error, OSError) and error.errno == errno.ENOSPC:
                free = shutil.disk_usage(tempfile.gettempdir()).free // 2**20
                raise Unreachable(
                    f"{place.name} does not fit into {tempfile.gettempdir()} ({free} MiB free); "
                    "name a larger folder by TMPDIR"
                ) from None
            raise _failed(place, error) from None
        return OpenFile(copy.fileno()), mark_of(digest.digest())


def _failed(place: RemotePlace, error: Exception) -> ReidError:
    problem = problem_of(error)
    if problem.gone:
        return GoneSource(f"{place.name} is not there")
    return Unreachable(f"{place.name} cannot be read: {problem.words}; try again later")


def _stream(place: RemotePlace, path: str) -> IO[bytes]:
    """The file from its beginning to its end, in one request where it is of the web."""
    # a size keeps fsspec from asking for it; it is not used
    options = {"block_size": 0, "size": 1} if place.web else {}
    opened: IO[bytes] = place.files.open(path, "rb", **options)
    return opened


def _pieces(file: IO[bytes], most: int | None = None) -> Iterator[bytes]:
    """The bytes of a file, at most `most`."""
    left = _PIECE if most is None else most
    while left and (piece := file.read(min(_PIECE, left))):
        yield piece
        left -= len(piece) if most is not None else 0


def _mark(info: dict[str, Any]) -> int | None:
    """The version of a file as a number; None where the server does not say."""
    known = [(key, str(info[key])) for key in _VERSIONS if info.get(key)]
    return mark_of(*known) if known else None
