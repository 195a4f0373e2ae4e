"""A file is written whole or not at all."""

import os
import secrets
from pathlib import Path

from errors import UsageError


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
