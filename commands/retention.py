"""`reid retention`: what is stored goes after its time."""

import click

from commands import options
from commands.output import emit, format_option, note
from commands.progress import Phases

_DAYS = click.IntRange(1, 36_500)


@click.group()
def retention() -> None:
    """After how many days images, stored queries and the audit log go."""


@retention.command("set")
@click.argument("days", type=_DAYS, required=False)
@click.option("--collection", metavar="NAME", help="For the images of one collection.")
@click.option("--audit", "audit_days", type=_DAYS, metavar="DAYS", help="For the audit log.")
def set_(days: int | None, collection: str | None, audit_days: int | None) -> None:
    """Let images go DAYS after they were taken in, and stored queries DAYS after they were added.

    A collection's own term takes the place of the general one. Nothing goes at once: `reid
    retention run` removes what is due, and so does the end of each ingest.
    """
    from gallery.retention import set_terms

    set_terms(options.database(), days, collection, audit_days)
    note("`reid retention show` counts what is due now, `reid retention run` removes it")


@retention.command("show")
@format_option
def show(format_: str) -> None:
    """Show the terms, and how much is older than them now."""
    from gallery.retention import show as run

    rows = run(options.database())
    emit(rows, rows, format_, columns=("what", "name", "days", "due"))
    if not rows:
        note("no term is set: everything is kept until it is removed")


@retention.command("off")
@click.option("--collection", metavar="NAME", help="The term of one collection alone.")
@click.option("--audit", is_flag=True, help="The term of the audit log alone.")
def off(collection: str | None, audit: bool) -> None:
    """Keep images and stored queries for ever; what has gone may be taken in again."""
    from gallery.retention import switch_off

    if collection is not None and audit:
        raise click.UsageError("--collection and --audit are two terms; one at a time")
    lifted = switch_off(options.database(), collection, audit=audit)
    click.echo(f"off; {lifted} contents may be taken in again")


@retention.command("run")
@format_option
def run(format_: str) -> None:
    """Remove what is older than its term, now. For cron."""
    from dataclasses import asdict

    from gallery.retention import run as remove

    engine = options.database()
    with Phases("retention") as bar:
        counts = asdict(remove(engine, bar.show))
    emit(counts, [counts], format_)
    for folder, count in counts["left"].items():
        note(f"{count} pictures that were sent stay in {folder}, out of reach; remove them there")
    if counts["images"] or counts["queries"]:
        note("their files, and backups and exports made before, are not reached: remove them too")
