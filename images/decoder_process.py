"""A decoder process: image files in, what is kept of them out, until its input ends.

It may crash or hang without taking anybody along: `images.decoder_pool` starts it, waits for it and
replaces it. Nothing heavy is imported here but Pillow and NumPy, and replies are plain bytes: what
comes from a process that decoded a stranger's file is never unpickled.
"""

# H and W pixels

import os
import signal
import struct
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from images.decode import UnreadableImage, decode
from images.preprocessing import Pixels, Preprocessing

GROWTH_BYTES = 2 * 2**30  # more memory than this no image within the limits needs
_LET_GO_S = 10.0  # after the time limit, when nobody is left to enforce it

_BUFFER = 2**18  # a reply goes in one write, several files come in one read
_REQUEST = struct.Struct("<dIII")  # seconds an image, height, width, number of images
_IMAGE = struct.Struct("<Q?")  # length of the file, any shape
_REPLY = struct.Struct("<?IIII")  # is a crop; width and height; lengths of the two parts


@dataclass(frozen=True)
class Crop:
    """What is kept of a decoded file: its size in pixels, its small JPEG, and what a network looks
    at, (H, W, 3)."""

    width: int
    height: int
    thumbnail: bytes
    pixels: Pixels


@dataclass(frozen=True)
class Encoded:
    """An image file's bytes, and whether it may be something else than a person crop."""

    data: bytes
    any_shape: bool


def crop(image: Encoded, preprocessing: Preprocessing) -> Crop:
    """Decodes a file and stretches it for a network. Raises UnreadableImage."""
    decoded = decode(image.data, any_shape=image.any_shape)
    pixels_HWC = preprocessing.resize(decoded.image)
    return Crop(decoded.width, decoded.height, decoded.thumbnail, pixels_HWC)


# --- what the two sides say to each other


def request(images: Sequence[Encoded], preprocessing: Preprocessing, seconds: float) -> list[bytes]:
    """The parts of a request; `seconds` is the time limit an image."""
    size = preprocessing.height, preprocessing.width
    parts = [_REQUEST.pack(seconds, *size, len(images))]
    for image in images:
        parts += [_IMAGE.pack(len(image.data), image.any_shape), image.data]
    return parts


def _requests(source: BinaryIO) -> Iterator[tuple[float, Preprocessing, list[Encoded]]]:
    while head := source.read(_REQUEST.size):
        seconds, height, width, count = _REQUEST.unpack(head)
        images = []
        for _ in range(count):
            length, any_shape = _IMAGE.unpack(source.read(_IMAGE.size))
            images.append(Encoded(source.read(length), any_shape))
        yield seconds, Preprocessing(height, width), images


def _reply(found: Crop | UnreadableImage) -> list[bytes]:
    if isinstance(found, UnreadableImage):
        first, second = str(found).encode(errors="replace"), found.kind.encode()
        return [_REPLY.pack(False, 0, 0, len(first), len(second)), first, second]
    pixels = found.pixels.tobytes()
    head = _REPLY.pack(True, found.width, found.height, len(found.thumbnail), len(pixels))
    return [head, found.thumbnail, pixels]


REPLY_BYTES = _REPLY.size


def reply_length(head: bytes) -> int:
    """How many bytes follow the first REPLY_BYTES of a reply."""
    *_, first, second = _REPLY.unpack(head)
    return int(first + second)


def parse_reply(
    head: bytes, body: bytearray, preprocessing: Preprocessing
) -> Crop | UnreadableImage:
    """What a reply says. Raises ValueError for what no decoder of ours says."""
    is_crop, width, height, first, _ = _REPLY.unpack(head)
    one, two = bytes(body[:first]), memoryview(body)[first:]
    if not is_crop:
        return UnreadableImage(one.decode(), bytes(two).decode())
    shape = preprocessing.height, preprocessing.width, 3
    return Crop(width, height, one, np.frombuffer(two, np.uint8).reshape(shape))


# --- the process


def serve() -> None:
    """Answers requests on standard input, which is a socket, until it ends."""
    source = open(0, "rb", _BUFFER, closefd=False)  # noqa: SIM115
    sink = open(os.dup(0), "wb", _BUFFER)  # noqa: SIM115, PTH123
    _limit_memory()
    with suppress(BrokenPipeError), sink:
        sink.write(b"\0")  # ready
        sink.flush()
        # what libraries say about damaged files is for nobody; what kept us from starting was
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, 2)
        for seconds, preprocessing, images in _requests(source):
            for image in images:
                # whoever started us ends us at the time limit, unless it was killed meanwhile
                signal.setitimer(signal.ITIMER_REAL, seconds + _LET_GO_S)
                sink.writelines(_reply(_found(image, preprocessing)))
                sink.flush()
            signal.setitimer(signal.ITIMER_REAL, 0)


def _found(image: Encoded, preprocessing: Preprocessing) -> Crop | UnreadableImage:
    try:
        return crop(image, preprocessing)
    except UnreadableImage as error:
        return error


def _limit_memory() -> None:
    """An address space of GROWTH_BYTES more than now, where the system says how much that is."""
    if not sys.platform.startswith("linux"):
        return
    import resource

    with open("/proc/self/statm") as file:  # noqa: PTH123 - pathlib would be imported for this
        now = int(file.read().split()[0]) * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    most = now + GROWTH_BYTES
    resource.setrlimit(
        resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard)
    )
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a dump would hold people's images
