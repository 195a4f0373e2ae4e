"""`reid status` and `reid retry`: the manifest."""

import click

from commands import options
from commands.ingest_report import in_words
from commands.output import emit, format_option, note


@click.command()
@click.option("--failed", is_flag=True, help="List each failed file with its reason.")
@format_option
def status(failed: bool, format_: str) -> None:
    """What is stored, what failed and why: counts for each collection and model."""
    from gallery.status import counts, failures

    engine = options.database()
    rows = failures(engine) if failed else counts(engine)
    short = rows if failed or format_ != "table" else [in_words(row) for row in rows]
    emit(rows, short, format_)
    if not rows:
        note(
            "no file has failed" if failed else "nothing is registered yet; see reid ingest --help"
        )


@click.command()
@click.option("--reason", metavar="TEXT", help="Only those whose reason contains this text.")
def retry(reason: str | None) -> None:
    """Make failed images pending again; `reid worker` or the next `reid ingest` tries them."""
    from gallery.status import retry_failed

    count = retry_failed(options.database(), reason)
    click.echo(f"{count} pending again")
    if count:
        note("try them now with: reid worker --until-empty")
