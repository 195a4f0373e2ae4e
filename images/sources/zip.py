"""A zip of images: its list of files is read once, then each is read where it lies.

`zipfile` reads the list. The members are read here: from any thread, never more than the list says,
and also where the list, which stands at the end, has been cut off.
"""

import struct
import zipfile
import zlib
from typing import NamedTuple

from images.decode import MAX_BYTES, UnreadableImage
from images.listing import Key, Listing, mark_of
from images.sources.members import LINK, Members
from images.sources.open_file import OpenFile

# signature, version, flags, method, time, date, CRC, packed size, size, lengths of name and extra
_LOCAL = struct.Struct("<4s5H3I2H")
_LOCAL_MARK = b"PK\x03\x04"
_ENCRYPTED, _SIZES_LATER, _UTF8 = 0x1, 0x8, 0x800
_LINK, _REGULAR, _KIND = 0o120000, 0o100000, 0o170000  # of a file's mode
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DAMAGED = (zipfile.BadZipFile, OSError, ValueError, EOFError, NotImplementedError, struct.error)


class BadZip(Exception):
    """No zip, or nothing of one; the message says what is wrong in a few words."""


class _ZipMember(NamedTuple):
    header: int  # offset of the local header
    packed: int
    size: int
    crc: int
    method: int


class ZipArchive:
    """Raises BadZip where `file` is no zip at all."""

    def __init__(self, file: OpenFile, name: str) -> None:
        self._file = file
        self._members: Members[_ZipMember] = Members()
        damage = None
        try:
            with zipfile.ZipFile(file.plain()) as listed:
                for info in listed.infolist():
                    _take(self._members, info)
        except _DAMAGED as error:
            if file.at(0, len(_LOCAL_MARK)) != _LOCAL_MARK:
                raise BadZip(str(error)) from None
            self._members = Members()
            _recover(file, self._members)
            damage = "cut off (its list of files, which stands at its end, is missing)"
        self._listing = self._members.finish(name, damage)

    @property
    def listing(self) -> Listing:
        return self._listing

    def mark(self, key: Key) -> int | None:
        return self._members.mark(key)

    def read(self, key: Key) -> bytes:
        place = self._members.places[key]
        header = self._file.at(place.header, _LOCAL.size)
        if len(header) < _LOCAL.size or not header.startswith(_LOCAL_MARK):
            raise UnreadableImage("damaged in its archive: it is not where it should be", "damaged")
        *_, name_length, extra_length = _LOCAL.unpack(header)
        start = place.header + _LOCAL.size + name_length + extra_length
        data = _unpacked(self._file.at(start, place.packed), place)
        if len(data) != place.size or zlib.crc32(data) != place.crc:
            raise UnreadableImage("damaged in its archive: its checksum is wrong", "damaged")
        return data


def _unpacked(packed: bytes, place: _ZipMember) -> bytes:
    if place.method == zipfile.ZIP_STORED:
        return packed
    try:  # never more than it says, whatever comes out
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, place.size + 1)
    except zlib.error as error:
        raise UnreadableImage(f"damaged in its archive: {error}", "damaged") from None


def _take(members: Members[_ZipMember], info: zipfile.ZipInfo) -> None:
    name = _name_of(info)
    if name.endswith(b"/"):
        return
    place = _ZipMember(
        info.header_offset, info.compress_size, info.file_size, info.CRC, info.compress_type
    )
    kind = (info.external_attr >> 16) & _KIND
    if kind == _LINK:
        refused: str | None = LINK
    elif kind not in (0, _REGULAR):
        refused = "no regular file"
    else:
        refused = _why_not(info.flag_bits, place)
    members.add(name, place.size, mark_of(place.crc), place, refused)


def _name_of(info: zipfile.ZipInfo) -> bytes:
    """A member's name with "/" between its folders: some programs of Windows write "\\", which
    stands in no name there."""
    name = info.orig_filename
    raw = name.encode("utf-8" if info.flag_bits & _UTF8 else "cp437", errors="surrogateescape")
    return _utf8(raw.partition(b"\0")[0], info.flag_bits).replace(b"\\", b"/")


def _utf8(raw: bytes, flags: int) -> bytes:
    """A name's bytes; macOS writes UTF-8 without the flag that says so."""
    try:
        raw.decode()
    except UnicodeDecodeError:
        return raw if flags & _UTF8 else raw.decode("cp437").encode()
    return raw


def _why_not(flags: int, place: _ZipMember) -> str | None:
    if flags & _ENCRYPTED:
        return "encrypted; unpack the archive with its password and ingest the folder"
    if place.method not in _METHODS:
        return f"packed by method {place.method}; expected stored or deflated"
    if place.packed > MAX_BYTES:
        return f"larger than {MAX_BYTES // 2**20} MiB; expected a person crop"
    return None


def _recover(file: OpenFile, members: Members[_ZipMember]) -> None:
    """Takes the members from their own headers, one after the other, as far as they are whole."""
    offset = 0
    while len(header := file.at(offset, _LOCAL.size)) == _LOCAL.size:
        mark, _, flags, method, _, _, crc, packed, size, length, extra = _LOCAL.unpack(header)
        end = offset + _LOCAL.size + length + extra + packed
        if mark != _LOCAL_MARK or flags & _SIZES_LATER or end > file.size:
            return
        name = _utf8(file.at(offset + _LOCAL.size, length), flags).replace(b"\\", b"/")
        place = _ZipMember(offset, packed, size, crc, method)
        if not name.endswith(b"/"):
            members.add(name, size, mark_of(crc), place, _why_not(flags, place))
        offset = end
