"""What of a PNG its picture is made of: notes beside the pixels never keep them from being read.

Editors, cameras and generators leave megabytes of text in a PNG, and programs that rewrite such
notes get their checksums wrong. As libpng does, what is optional and damaged is left out.
"""

import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_PROFILE = 16 * 2**20  # bytes of an unpacked colour profile; large ones have three
# optional chunks that say how the pixels look: transparency, rotation and colour
_KEPT = (b"tRNS", b"eXIf", b"iCCP", b"iTXt")
_XMP = b"XML:com.adobe.xmp\0\0"  # unpacked, in which a rotation may stand
_HEAD = struct.Struct(">I4s")


def picture_of(data: bytes) -> bytes:
    """A PNG without what is no part of its picture; anything else, and what is damaged, as it is.

    >>> picture_of(b"no PNG")
    b'no PNG'
    """
    if not data.startswith(SIGNATURE):
        return data
    parts, offset = [SIGNATURE], len(SIGNATURE)
    while offset + _HEAD.size <= len(data):
        length, kind = _HEAD.unpack_from(data, offset)
        end = offset + _HEAD.size + length + 4
        if not kind.isalpha() or end > len(data):
            break
        if kind[:1].isupper() or _is_kept(kind, data[offset + 4 : end]):
            parts.append(data[offset:end])
        offset = end
    return b"".join((*parts, data[offset:]))


def _is_kept(kind: bytes, chunk: bytes) -> bool:
    """Whether an optional chunk (its kind, content and checksum) is wanted and whole."""
    if kind not in _KEPT:
        return False
    content = chunk[4:-4]
    if zlib.crc32(chunk[:-4]) != int.from_bytes(chunk[-4:]):
        return False
    if kind == b"iTXt":
        return content.startswith(_XMP)
    return kind != b"iCCP" or _unpacks(content.partition(b"\0")[2][1:])


def _unpacks(packed: bytes) -> bool:
    """Whether a colour profile can be unpacked, and is of a size that such a thing has."""
    unpacker = zlib.decompressobj()
    try:
        unpacker.decompress(packed, MAX_PROFILE)
    except zlib.error:
        return False
    return unpacker.eof
