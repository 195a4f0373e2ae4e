"""A tar of images, packed by gzip or not: listed once, then each member is read where it lies.

A packed one can be read in order only: what is passed over on the way to a member is kept for a
while, since threads ask for neighbours in any order.
"""

import gzip
import io
import tarfile
import zlib
from bisect import bisect_left
from collections.abc import Iterator
from threading import Lock
from typing import IO, Any, NamedTuple, cast

from images.decode import UnreadableImage
from images.listing import Key, Listing, mark_of
from images.sources.members import LINK, Members, key_of
from images.sources.open_file import OpenFile

_BLOCK = tarfile.BLOCKSIZE
_LONGEST_HEADER = 2**20  # names and times; a header may claim any length
_KEPT = 64 * 2**20  # bytes of members that were passed over
_DAMAGED = (tarfile.TarError, EOFError, zlib.error, OSError, ValueError)


class _TarMember(NamedTuple):
    offset: int
    size: int


class TarArchive:
    """Raises BadTar where `file` is no tar at all. `stamp` is the version of the whole archive: a
    tar knows no checksums, so that in another one every member counts as changed until it is
    read."""

    def __init__(self, file: OpenFile, name: str, stamp: int) -> None:
        self._source = _Packed(file) if file.at(0, 2) == b"\x1f\x8b" else file
        self._members: Members[_TarMember] = Members()
        damage = _index(self._source.plain(), self._members, stamp)
        self._listing = self._members.finish(name, damage)
        if isinstance(self._source, _Packed):
            self._source.expect(sorted(self._members.places.values()))

    @property
    def listing(self) -> Listing:
        return self._listing

    def mark(self, key: Key) -> int | None:
        return self._members.mark(key)

    def read(self, key: Key) -> bytes:
        place = self._members.places[key]
        try:
            data = self._source.at(place.offset, place.size)
        except _DAMAGED as error:
            raise UnreadableImage(f"damaged in its archive: {error}", "damaged") from None
        if len(data) < place.size:
            raise UnreadableImage("cut off in its archive", "damaged")
        return data


class BadTar(Exception):
    """No tar, or nothing of one; the message says what is wrong in a few words."""


class _Packed:
    """The unpacked bytes of a gzip file, by offset."""

    def __init__(self, file: OpenFile) -> None:
        self._file = file
        self._stream = self.plain()
        self._lock = Lock()
        self._kept: dict[int, bytes] = {}
        self._kept_bytes = 0
        self._places: list[_TarMember] = []

    def plain(self) -> gzip.GzipFile:
        """The unpacked bytes for a reader of its own, from the beginning."""
        return gzip.GzipFile(fileobj=self._file.plain(), mode="rb")

    def expect(self, places: list[_TarMember]) -> None:
        """These, in the order of their offsets, will be asked for."""
        self._places = places

    def at(self, offset: int, size: int) -> bytes:
        with self._lock:
            data = self._kept.pop(offset, None)
            if data is not None:
                self._kept_bytes -= len(data)
                return data
            for place in self._between(max(self._stream.tell(), offset - _KEPT), offset):
                self._keep(place)
            return self._read(offset, size)

    def _between(self, start: int, end: int) -> Iterator[_TarMember]:
        first = bisect_left(self._places, (start, 0))
        last = bisect_left(self._places, (end, 0))
        yield from self._places[first:last]

    def _keep(self, place: _TarMember) -> None:
        self._kept[place.offset] = self._read(*place)
        self._kept_bytes += place.size
        while self._kept_bytes > _KEPT:
            self._kept_bytes -= len(self._kept.pop(next(iter(self._kept))))

    def _read(self, offset: int, size: int) -> bytes:
        self._stream.seek(offset)
        return self._stream.read(size)


class _Headers:
    """What tarfile reads headers from: none is read that claims to be huge."""

    def __init__(self, file: io.BufferedIOBase) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _LONGEST_HEADER:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return self._file.read(size)


def _index(plain: io.BufferedIOBase, members: Members[_TarMember], stamp: int) -> str | None:
    """Fills `members`; gives what is wrong with the archive."""
    headers = cast(IO[bytes], _Headers(plain))
    last: tarfile.TarInfo | None = None
    try:
        tar = tarfile.open(fileobj=headers, mode="r:", encoding="utf-8", errors="surrogateescape")  # noqa: SIM115
    except _DAMAGED as error:
        raise BadTar(_said(error)) from None
    try:
        while member := tar.next():
            if last and member.offset <= last.offset:
                raise tarfile.ReadError("its headers run in a circle")
            last = member
            _take(members, member, stamp)
            cast(Any, tar).members.clear()  # tarfile would keep each header for ever
        plain.seek(tar.offset)
        ended = plain.read(_BLOCK) == bytes(_BLOCK)
    except _DAMAGED as error:
        if last and not _reaches(plain, last.offset_data + last.size):
            members.drop(key_of(_bytes_of(last.name)))
        return f"cut off or damaged ({_said(error)})"
    return None if ended else "cut off or damaged (without an end mark)"


def _take(members: Members[_TarMember], member: tarfile.TarInfo, stamp: int) -> None:
    if member.isdir():
        return
    name, refused = _bytes_of(member.name), None
    place = _TarMember(member.offset_data, member.size)
    if member.islnk():  # a second name of a file before it
        target = members.place_of(_bytes_of(member.linkname))
        place, refused = target or place, None if target else LINK
    elif member.issym():
        refused = LINK
    elif not member.isreg():
        refused = "no regular file"
    elif member.issparse():
        refused = "a sparse file; pack it as an ordinary one"
    members.add(name, place.size, mark_of(member.mtime, stamp), place, refused)


def _bytes_of(name: str) -> bytes:
    return name.encode(errors="surrogateescape")


def _reaches(plain: io.BufferedIOBase, end: int) -> bool:
    """Whether there are that many bytes."""
    try:
        plain.seek(max(0, end - 1))
        return end == 0 or len(plain.read(1)) == 1
    except _DAMAGED:
        return False


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:100] or type(error).__name__
