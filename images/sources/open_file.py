"""A file that several threads read at once, each at its own place."""

import io
import os
from typing import Any

_PIECE = 2**20


class OpenFile(io.RawIOBase):
    """Bytes at any offset, and also an ordinary file with a position for one reader. Closed with
    its last user, so that who still reads an archive that was replaced can end in peace."""

    def __init__(self, fd: int) -> None:
        self._fd = os.dup(fd)
        self._position = 0

    def at(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset`; fewer where the file ends, none outside it."""
        pieces: list[bytes] = []
        if not 0 <= offset < self.size:
            return b""
        while size and (piece := os.pread(self._fd, min(size, _PIECE), offset)):
            pieces.append(piece)
            offset, size = offset + len(piece), size - len(piece)
        return b"".join(pieces)

    def plain(self) -> io.BufferedReader:
        """The file for a reader of its own, from the beginning."""
        return io.BufferedReader(OpenFile(self._fd))

    @property
    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        data = os.pread(self._fd, len(view), self._position)
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            os.close(self._fd)
        super().close()
