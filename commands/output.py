"""Data on stdout, in the format asked for; everything else goes to stderr."""

import csv
import io
import json
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from files import is_stdout
from moments import printed

FORMATS = ("table", "json", "jsonl", "csv")
Row = dict[str, Any]
F = TypeVar("F", bound=Callable[..., Any])


def format_option(function: F) -> F:
    """`--format table|json|jsonl|csv`."""
    return click.option(
        "--format",
        "format_",
        type=click.Choice(FORMATS),
        default="table",
        show_default=True,
        help="How to print the result.",
    )(function)


def note(message: str) -> None:
    """A line for the person, on stderr."""
    click.echo(message, err=True)


def say_written(out: Path, what: str) -> None:
    """What was written to a file; on stderr where the content itself went to stdout."""
    click.echo(f"{out}: {what}", err=is_stdout(out))


def emit(
    document: Any, rows: Sequence[Row], format_: str, *, columns: Sequence[str] | None = None
) -> None:
    """Prints `document` as JSON, or `rows` as JSON lines, CSV or a table."""
    names = list(columns or (rows[0] if rows else ()))
    if format_ == "json":
        click.echo(json.dumps(document, indent=2, default=_plain, ensure_ascii=False))
    elif format_ == "jsonl":
        for row in rows:
            click.echo(json.dumps(row, default=_plain, ensure_ascii=False))
    elif format_ == "csv":
        click.echo(_csv(names, rows), nl=False)
    elif rows:
        click.echo(_table(names, rows))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, datetime):
        return printed(value)
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, default=_plain, ensure_ascii=False)
    # a name must not break the table or move the cursor
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(value))


def _csv(names: Sequence[str], rows: Sequence[Row]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        values = (row.get(name) for name in names)
        writer.writerow([v if isinstance(v, int | float | str) else _cell(v) for v in values])
    return out.getvalue()


def _table(names: Sequence[str], rows: Sequence[Row]) -> str:
    cells = [list(names), *([_cell(row.get(name)) for name in names] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(names))]
    numeric = [all(isinstance(r.get(n), int | float | None) for r in rows) for n in names]
    lines = []
    for line in cells:
        padded = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        )
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def on_terminal() -> bool:
    """Whether progress bars make sense."""
    return sys.stderr.isatty()
