"""`reid audit`: accountability."""

from pathlib import Path

import click

from commands import options
from commands.output import emit, format_option, note

_COLUMNS = (
    "id", "at", "actor", "action", "question", "purpose", "result_ids", "candidates", "complete",
)  # fmt: skip


@click.group()
def audit() -> None:
    """Who did what, when and why."""


@audit.command("list")
@click.option(
    "--since",
    metavar="TIME",
    help="From 2026-01-31, 2026-01-31T08:00Z (UTC without a zone), 7d or 12h ago on.",
)  # fmt: skip
@click.option("--who", metavar="NAME", help="What one user, or one token of the page, did.")
@click.option("--action", metavar="WORDS", help="search, query run, erase ...; match is all of it.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=50, show_default=True)
@format_option
def list_(since: str | None, who: str | None, action: str | None, limit: int, format_: str) -> None:
    """The newest rows of the audit log, newest first."""
    from db.audit_log import newest

    rows = newest(options.database(), limit, since, who, action)
    short = [{**row, "result_ids": len(row["result_ids"])} for row in rows]
    emit(rows, short if format_ == "table" else rows, format_, columns=_COLUMNS)


@audit.command("export")
@click.option("--out", required=True, metavar="FILE|-", help="Where to; - is stdout.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["jsonl", "csv"]),
    default="jsonl",
    show_default=True,
    help="How to write the rows.",
)
def export(out: str, format_: str) -> None:
    """Write every row of the audit log to FILE, oldest first.

    Each row has its number. A number that is missing was rolled back, skipped by a restart of the
    server, removed by `reid retention` - which is a row itself - or removed by hand.
    """
    from db import audit_log as actions

    engine = options.database()
    done = actions.export_to(engine, Path(out), format_)
    between = f", numbers {done.first} to {done.last}" if done.rows else ""
    note(f"{done.rows} rows{between}; {done.missing} numbers between them are missing")
