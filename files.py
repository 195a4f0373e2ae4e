"""A file is written whole or not at all, and text that a person hands over is read by one rule.

Text is UTF-8, with a byte order mark or without; UTF-16 and UTF-32 where a mark says so, as
Windows' own programs write. A line ends with LF, CR LF or CR, and with nothing else. What is no
text by this rule is refused with its line: an encoding that is guessed turns names into others.
"""

import codecs
import os
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from errors import UsageError

_MARKS = (  # UTF-32's begins with UTF-16's
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class CannotWrite(UsageError):
    """The file cannot be written where it was asked for."""

    http_status = 507


def is_stdout(path: str | Path) -> bool:
    """Whether a name means standard output: then nothing else may be said there."""
    return os.fspath(path) in ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


@contextmanager
def stream_of(path: str | Path) -> Iterator[BinaryIO | None]:
    """Standard output, a pipe or a device by its name, to be written into as it is; None for the
    name of a file. Raises OSError."""
    if is_stdout(path):
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.flush()
    elif _is_stream(os.fspath(path)):
        with open(path, "ab", buffering=0) as stream:  # noqa: PTH123 - a number is no path
            yield cast(BinaryIO, stream)
    else:
        yield None


def _is_stream(path: str) -> bool:
    if path.startswith(("/dev/fd/", "/dev/std", "/proc/self/fd/")):
        return True
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - of what a link leads to
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


@contextmanager
def whole_file(path: str | Path, *, private: bool = False) -> Iterator[Path]:
    """A new file to be written, which takes the target's place at the end: a reader sees the old
    file or the new one. For a stream (`-`, a pipe, a device) it is copied into it at the end.

    A `private` one is its owner's alone. Creates no folders. CannotWrite says what is in the way.
    """
    try:
        with stream_of(path) as stream:
            if stream is None:
                with _beside(path, private) as partial:
                    yield partial
                return
            with tempfile.TemporaryDirectory(prefix="reid-") as folder:
                partial = Path(folder) / "content"
                yield partial
                with partial.open("rb") as file:
                    shutil.copyfileobj(file, stream)
    except BrokenPipeError:  # whoever was to read it has gone
        raise
    except OSError as error:
        raise CannotWrite(f"cannot write {path}: {error.strerror}; choose another place") from error


@contextmanager
def _beside(path: str | Path, private: bool) -> Iterator[Path]:
    target = Path(os.path.realpath(path))  # a link stays a link
    if not target.parent.is_dir():
        raise CannotWrite(
            f"cannot write {path}: there is no folder {target.parent}; create it first"
        )
    if target.is_dir():
        raise CannotWrite(f"cannot write {path}: that is no file; give the name of a file")
    partial = target.parent / f".{secrets.token_hex(8)}.partial"
    try:
        partial.touch(mode=0o600 if private else 0o666, exist_ok=False)
        yield partial
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_whole(path: str | Path, content: bytes) -> None:
    """Writes a file whole or not at all, as `whole_file` does. Raises CannotWrite."""
    with whole_file(path) as partial:
        partial.write_bytes(content)


class NotText(UsageError):
    """A file that should be text is none; the message names the line."""


def read_text(path: Path, refusal: type[UsageError] = NotText) -> str:
    """The whole file, its lines ended by LF. Raises `refusal` for what is no text, and OSError."""
    data = path.read_bytes()
    mark, encoding = next(((m, e) for m, e in _MARKS if data.startswith(m)), (b"", "utf-8"))
    data = data[len(mark) :]
    try:
        text, what = data.decode(encoding), "a zero byte, which no text has"
    except UnicodeDecodeError as error:
        text = data[: error.start].decode(encoding, errors="replace") + "\0"
        what = f"no {encoding.upper().removesuffix('-LE').removesuffix('-BE')} text"
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if (zero := text.find("\0")) >= 0:
        line = text.count("\n", 0, zero) + 1
        raise refusal(f"{path}, line {line}: {what}; save the file as UTF-8")
    return text


def lines_of(text: str) -> list[str]:
    """The lines of what `read_text` gave. A line feed ends one, and no other character does."""
    return text.removesuffix("\n").split("\n") if text else []
