"""`reid index`: the approximate index, for galleries that are too large to read whole."""

import click

from commands import options
from commands.output import emit, format_option, note
from commands.progress import Phases


@click.group()
def index() -> None:
    """Build, drop or look at the approximate index."""


@index.command("build")
@options.model
@format_option
def build(model: str | None, format_: str) -> None:
    """Build a model's index, or build it anew, and measure how much it finds.

    Build it after loading: images that are taken in with an index present cost four times as much.
    Ingest and search go on meanwhile. `search --approximate` uses it.
    """
    from search.index import build as run

    engine = options.database()
    with Phases("index") as bar:
        row = run(engine, model, bar.show)
    emit(row, [row], format_)
    if row["recall"] is not None and row["recall"] < 0.99:
        note(f"it finds {row['recall']:.1%} of what an exact search finds, even at its broadest")


@index.command("drop")
@options.model
def drop(model: str | None) -> None:
    """Remove a model's index; nothing else is lost."""
    from search.index import drop as run

    click.echo("dropped" if run(options.database(), model) else "there was none")


@index.command("status")
@format_option
def status(format_: str) -> None:
    """Say which models have an index, how large it is and how much of an exact search it finds."""
    from search.index import status as run

    rows = run(options.database())
    emit(rows, rows, format_)
