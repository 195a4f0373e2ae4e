"""`reid audit`: accountability."""

import click

from commands import options
from commands.output import emit, format_option

_COLUMNS = (
    "id", "at", "actor", "action", "question", "purpose", "result_ids", "candidates", "complete",
)  # fmt: skip


@click.group()
def audit() -> None:
    """Who did what, when and why."""


@audit.command("list")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=50, show_default=True)
@format_option
def list_(limit: int, format_: str) -> None:
    """The newest rows of the audit log, newest first."""
    from actions.status import audit_entries

    rows = audit_entries(options.database(), limit)
    short = [{**row, "result_ids": len(row["result_ids"])} for row in rows]
    emit(rows, short if format_ == "table" else rows, format_, columns=_COLUMNS)
