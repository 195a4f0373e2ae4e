"""Reading the audit log: its newest rows, or all of them into a file."""

import csv
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

from sqlalchemy import Engine

from db import audit
from db.audit import Which
from errors import UsageError
from files import whole_file
from moments import moment_of

_AGO = re.compile(r"(\d{1,5})([dh])")


class BadMoment(UsageError):
    """What was given is no point in time."""


@dataclass(frozen=True)
class ExportedLog:
    """How many rows were written, and the numbers of the first and the last."""

    rows: int
    first: int | None
    last: int | None

    @property
    def missing(self) -> int:
        """Numbers between them that no row has."""
        return (
            0 if self.first is None or self.last is None else self.last - self.first + 1 - self.rows
        )


def moment(given: str) -> datetime:
    """`2026-01-31`, `2026-01-31T08:00:00Z` (UTC where no zone is given), `7d` or `12h` ago.

    Raises BadMoment.
    """
    ago = _AGO.fullmatch(given.strip())
    if ago:
        unit = "days" if ago[2] == "d" else "hours"
        return datetime.now(UTC) - timedelta(**{unit: int(ago[1])})
    found = moment_of(given.strip())
    if found is None:
        raise BadMoment(f"{given!r} is no time; expected 2026-01-31, 2026-01-31T08:00, 7d or 12h")
    return found


def newest(
    engine: Engine, limit: int, since: str | None, who: str | None, action: str | None
) -> list[dict[str, Any]]:
    """The newest rows, newest first. Raises BadMoment."""
    which = Which(moment(since) if since else None, who, action)
    with engine.connect() as connection:
        return audit.entries(connection, limit, which)


def export(engine: Engine, out: TextIO, format_: str, name: str) -> ExportedLog:
    """Writes every row, oldest first, as JSON lines or CSV; `name` is the target for the log.

    The export is a row of the log itself, and the last one written.
    """
    with engine.begin() as connection:
        audit.record(connection, "audit export", {"out": name, "format": format_})
    count, first, last = 0, None, None
    with engine.connect() as connection:
        write = _csv_writer(out) if format_ == "csv" else _json_writer(out)
        for row in audit.every(connection):
            write(row)
            count, first, last = count + 1, first or row["id"], row["id"]
    return ExportedLog(count, first, last)


def export_to(engine: Engine, path: Path, format_: str) -> ExportedLog:
    """The same into a file that is its owner's alone, whole or not at all. Raises CannotWrite."""
    with (
        whole_file(path, private=True) as partial,
        partial.open("w", encoding="utf-8", newline="") as out,
    ):
        return export(engine, out, format_, str(path))


def _json_writer(out: TextIO) -> Any:
    def write(row: Mapping[str, Any]) -> None:
        out.write(json.dumps(row, default=_plain, ensure_ascii=False) + "\n")

    return write


def _csv_writer(out: TextIO) -> Any:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(audit.COLUMNS)

    def write(row: Mapping[str, Any]) -> None:
        writer.writerow([_cell(row[name]) for name in audit.COLUMNS])

    return write


def _cell(value: Any) -> Any:
    return (
        json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else _plain(value)
    )


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
