"""A file is written whole or not at all, and text that a person hands over is read by one rule.

Text is UTF-8, with a byte order mark or without; UTF-16 and UTF-32 where a mark says so, as
Windows' own programs write. A line ends with LF, CR LF or CR, and with nothing else. What is no
text by this rule is refused with its line: an encoding that is guessed turns names into others.
"""

import codecs
import os
import secrets
from pathlib import Path

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


def write_whole(path: str | Path, content: bytes) -> None:
    """Write beside the target, then rename onto it: a reader sees the old file or the new one.

    Creates no folders. CannotWrite says what is in the way.
    """
    target = Path(os.path.realpath(path))  # a link stays a link
    try:
        if not target.parent.is_dir():
            raise CannotWrite(
                f"cannot write {path}: there is no folder {target.parent}; create it first"
            )
        if target.exists() and not target.is_file():
            raise CannotWrite(f"cannot write {path}: that is no file; give the name of a file")
        _write_beside(target, content)
    except OSError as error:
        raise CannotWrite(f"cannot write {path}: {error.strerror}; choose another place") from error


def _write_beside(target: Path, content: bytes) -> None:
    partial = target.parent / f".{secrets.token_hex(8)}.partial"
    try:
        with partial.open("xb") as file:
            file.write(content)
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


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
