"""What a table says of images whose names say nothing: `ingest --manifest FILE`, CSV or JSON lines.

Columns are `path`, and any of `pid`, `camid` and `time`. What a line has decides, and an empty
value means unknown; what it has no column for is left to the file name.
"""

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from errors import UsageError, did_you_mean
from files import lines_of, read_text
from moments import moment_of

COLUMNS = ("path", "pid", "camid", "time")
PIDS, CAMIDS = range(-1, 2**31), range(2**15)  # what the database can hold; -1 is junk
_WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)

Row = dict[str, Any]


class BadManifest(UsageError):
    """The file of `--manifest` cannot be understood; the message names the line."""


class _Mistake(Exception):
    """In a line, which it names."""


@dataclass(frozen=True)
class Told:
    """What one line says of the `columns` that it has. `time` is in UTC; `line` counts from 1."""

    line: int
    columns: frozenset[str]
    pid: int | None = None
    camid: int | None = None
    time: datetime | None = None


def read_facts(path: Path) -> dict[str, Told]:
    """What is told, by the path as a source lists it. Raises BadManifest."""
    try:
        told = _read(read_text(path, BadManifest))
    except OSError as error:
        raise BadManifest(f"{path} cannot be read: {error.strerror}") from None
    except _Mistake as mistake:
        raise BadManifest(f"{path}, {mistake}") from None
    if not told:
        raise BadManifest(f"{path} names no file; expected lines with {', '.join(COLUMNS)}")
    return told


def _read(text: str) -> dict[str, Told]:
    lines = _json_lines(text) if text.lstrip()[:1] == "{" else _csv_rows(text)
    told: dict[str, Told] = {}
    for line, row in lines:
        name = _path(line, row.get("path"))
        if name in told:
            raise _Mistake(
                f"line {line}: {name!r} stands in line {told[name].line} already; keep one of them"
            )
        told[name] = Told(
            line,
            frozenset(row),
            _whole(line, "pid", row.get("pid"), PIDS),
            _whole(line, "camid", row.get("camid"), CAMIDS),
            _time(line, row.get("time")),
        )
    return told


def _json_lines(text: str) -> Iterator[tuple[int, Row]]:
    for number, line in enumerate(lines_of(text), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            raise _Mistake(
                f'line {number}: no JSON; expected one object a line, such as {{"path": "a.jpg", '
                '"pid": 7}'
            ) from None
        if not isinstance(row, dict):
            raise _Mistake(f"line {number}: expected a JSON object with a path")
        _check_columns(number, list(row))
        yield number, row


def _csv_rows(text: str) -> Iterator[tuple[int, Row]]:
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if header is None:
                header = [cell.strip() for cell in cells]
                _check_columns(reader.line_num, header)
                continue
            if len(cells) != len(header):
                raise _Mistake(
                    f"line {reader.line_num}: {len(cells)} values for {len(header)} columns; "
                    "a value with a comma goes in quotation marks"
                )
            yield reader.line_num, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise _Mistake(f"line {reader.line_num}: no CSV that can be read ({error})") from None


def _check_columns(line: int, names: list[str]) -> None:
    for name in names:
        if name not in COLUMNS:
            hint = did_you_mean(name, list(COLUMNS)) or f"; the columns are {', '.join(COLUMNS)}"
            raise _Mistake(f"line {line}: no column {_shown(name)}{hint}")
    if len(set(names)) < len(names):
        raise _Mistake(f"line {line}: a column stands twice")
    if "path" not in names:
        raise _Mistake(f"line {line}: a column 'path' is missing; it names each file")


def _path(line: int, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _Mistake(f"line {line}: path is {_shown(value)}; expected a path in the source")
    return str(PurePosixPath(value))


def _whole(line: int, column: str, value: object, allowed: range) -> int | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    number = value
    if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        number = int(value)
    if isinstance(number, bool) or not isinstance(number, int) or number not in allowed:
        raise _Mistake(
            f"line {line}: {column} is {_shown(value)}; expected a whole number from "
            f"{allowed.start} to {allowed.stop - 1}, or nothing where it is unknown"
        )
    return number


def _time(line: int, value: object) -> datetime | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, str) and (found := moment_of(value.strip())):
        return found
    raise _Mistake(
        f"line {line}: time is {_shown(value)}; expected a date and time such as "
        "2026-11-01T08:30:00+01:00, which is UTC where no zone is given"
    )


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
