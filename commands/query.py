"""`reid query`: stored queries."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands import options
from commands.output import emit, format_option, note, on_terminal

if TYPE_CHECKING:
    from actions.search import Asked


@click.group()
def query() -> None:
    """Stored queries: add, list, show, run, remove."""


@query.command("add")
@click.argument("set_name", metavar="SET")
@click.argument(
    "sources", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FOLDER|IMAGE..."
)
@options.question
@options.device
def add(
    set_name: str,
    sources: tuple[Path, ...],
    asked: "Asked",
    device: str | None,
) -> int:
    """Add each image as a query to SET, with where to look, filter and limits.

    An image whose content is stored already is not embedded again.
    """
    from actions.queries import add as run

    engine = options.database()
    from tqdm import tqdm

    with tqdm(unit="img", desc="query add", disable=not on_terminal()) as bar:
        added = run(engine, set_name, asked, sources, device=device, on_progress=bar.update)
    click.echo(f"{added.queries} queries added to {set_name} ({added.known} were stored already)")
    failed = {**added.failed, **added.refused}
    for name, reason in list(failed.items())[:10]:
        note(f"failed: {name}: {reason}")
    return 3 if failed else 0


@query.command("list")
@format_option
def list_(format_: str) -> None:
    """List the query sets."""
    from actions.sets import list_sets

    rows = list_sets(options.database())
    emit(rows, rows, format_)
    if not rows:
        note("no query set yet; see reid query add --help")


@query.command("show")
@click.argument("set_name", metavar="SET")
@format_option
def show(set_name: str, format_: str) -> None:
    """Show what SET asks, and its runs."""
    from actions.sets import show_set

    shown = show_set(options.database(), set_name)
    emit(shown, shown["questions"], format_)
    if format_ == "table":
        for run in shown["runs"]:
            stale = ", stale: a gallery or the active model has changed" if run["stale"] else ""
            note(f"run {run['id']}: {run['matches']} matches, {run['finished_at']}{stale}")


@query.command("run")
@click.argument("set_name", metavar="SET")
@options.model
@options.purpose
@click.option("--sheet", type=click.Path(path_type=Path), help="Write a picture of the matches.")
@click.option("--html", type=click.Path(path_type=Path), help="Write a page of the matches.")
@click.option(
    "--first", type=click.IntRange(1), default=20, show_default=True, help="Queries to draw."
)
@format_option
def run(
    set_name: str,
    model: str | None,
    purpose: str | None,
    sheet: Path | None,
    html: Path | None,
    first: int,
    format_: str,
) -> None:
    """Answer every query of SET and keep the run."""
    from dataclasses import asdict

    from actions.queries import pictures_of_run
    from actions.queries import run as run_set
    from commands.search import check_targets, write_pictures

    check_targets(sheet, html)
    engine = options.database()
    summary = run_set(engine, set_name, model, purpose)
    emit(asdict(summary), [asdict(summary)], format_)
    if sheet or html:
        pictures = pictures_of_run(engine, summary.id, first)
        write_pictures(pictures, sheet, html, f"Query set {set_name}")


@query.command("remove")
@click.argument("set_name", metavar="SET")
def remove(set_name: str) -> None:
    """Remove SET with its queries, runs and verdicts."""
    from actions.sets import remove_query_set

    remove_query_set(options.database(), set_name)
    click.echo(f"removed {set_name}")
