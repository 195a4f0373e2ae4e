"""The few parts of protobuf's wire format that an ONNX file needs, so that no package writes it.

Source: protobuf.dev, "Encoding". A message is its fields one after the other, each a number and a
kind, then the value.
"""

import struct
from collections.abc import Iterable

_VARINT, _BYTES, _FLOAT = 0, 2, 5
_UINT64 = 1 << 64


def _varint(value: int) -> bytes:
    value %= _UINT64  # a negative number is its two's complement in 64 bits
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def integer(field: int, value: int) -> bytes:
    """An `int32` or `int64` field."""
    return _varint(field << 3 | _VARINT) + _varint(value)


def integers(field: int, values: Iterable[int]) -> bytes:
    """A repeated `int64` field."""
    return b"".join(integer(field, value) for value in values)


def real(field: int, value: float) -> bytes:
    """A `float` field."""
    return _varint(field << 3 | _FLOAT) + struct.pack("<f", value)


def data(field: int, value: bytes) -> bytes:
    """A `bytes` field, or another message."""
    return _varint(field << 3 | _BYTES) + _varint(len(value)) + value


def string(field: int, value: str) -> bytes:
    """A `string` field."""
    return data(field, value.encode())
