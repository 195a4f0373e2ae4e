"""`reid doctor`: is all well, and what to do if not."""

import click

from commands.output import emit, format_option


@click.command()
@format_option
def doctor(format_: str) -> int:
    """Check this installation and say what to do about what is wrong."""
    from dataclasses import asdict

    from gallery.doctor import doctor as run

    rows = [asdict(check) for check in run()]
    emit(rows, rows, format_)
    return 1 if any(row["advice"] for row in rows) else 0
