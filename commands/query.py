"""`reid query`: stored queries."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands import options
from commands.output import emit, format_option, note, on_terminal
from errors import UsageError

if TYPE_CHECKING:
    from search.request import SearchRequest


@click.group()
def query() -> None:
    """Stored queries: add, list, show, run, diff, remove."""


@query.command("add")
@click.argument("set_name", metavar="SET")
@click.argument(
    "sources", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FOLDER|IMAGE..."
)
@options.question
@click.option(
    "--rerank", is_flag=True,
    help="Lists by the re-ranked distance: --max-distance is of it, and auto its own limit.",
)  # fmt: skip
@options.device
def add(
    set_name: str,
    sources: tuple[Path, ...],
    request: "SearchRequest",
    rerank: bool,
    device: str | None,
) -> int:
    """Add each image as a query to SET, with where to look, filter and limits.

    An image whose content is stored already is not embedded again.
    """
    from query_sets.queries import add as run

    engine = options.database()
    from tqdm import tqdm

    with tqdm(unit="img", desc="query add", disable=not on_terminal()) as bar:
        request = replace(request, rerank=rerank)
        added = run(engine, set_name, request, sources, device=device, on_progress=bar.update)
    click.echo(f"{added.queries} queries added to {set_name} ({added.known} were stored already)")
    failed = {**added.failed, **added.refused}
    for name, reason in list(failed.items())[:10]:
        note(f"failed: {name}: {reason}")
    return 3 if failed else 0


@query.command("list")
@format_option
def list_(format_: str) -> None:
    """List the query sets."""
    from query_sets.sets import list_sets

    rows = list_sets(options.database())
    emit(rows, rows, format_)
    if not rows:
        note("no query set yet; see reid query add --help")


@query.command("show")
@click.argument("set_name", metavar="SET")
@click.argument("query_name", metavar="[QUERY]", required=False)
@click.option("--run", type=int, metavar="RUN", help="The matches of this run, not of the newest.")
@format_option
def show(set_name: str, query_name: str | None, run: int | None, format_: str) -> None:
    """Show what SET asks, and its runs; with QUERY, its matches and what reviewers say of them."""
    from query_sets.sets import show_set
    from query_sets.verdicts import count_verdicts

    if query_name is not None:
        return _show_matches(set_name, query_name, run, format_)
    if run is not None:
        raise UsageError("--run chooses among the lists of one query: name it after the set")
    engine = options.database()
    shown = {**show_set(engine, set_name), "verdicts": count_verdicts(engine, set_name)}
    emit(shown, shown["questions"], format_)
    if format_ == "table":
        for row in shown["runs"]:
            stale = ", stale: a gallery or the active model has changed" if row["stale"] else ""
            note(
                f"run {row['id']}: {row['matches']} matches by {row['model']}, "
                f"{row['finished_at']}{stale}"
            )
        if any(shown["verdicts"].values()):
            note("verdicts: {confirmed} confirmed, {rejected} rejected".format(**shown["verdicts"]))
    return None


_MATCH_COLUMNS = (
    "rank", "image_id", "collection", "path", "distance", "pid", "camid", "verdict", "reviewer",
    "note",
)  # fmt: skip


def _show_matches(set_name: str, query_name: str, run: int | None, format_: str) -> None:
    from query_sets.verdicts import show_list

    shown = show_list(options.database(), set_name, query_name, run)
    document = {"set": set_name, **asdict(shown)}
    emit(document, document["matches"], format_, columns=_MATCH_COLUMNS)
    if format_ == "table":
        limit = "" if shown.max_distance is None else f" within {shown.max_distance:.4f}"
        state = "complete" if shown.complete else "not complete"
        gone = f", {shown.removed} removed since" if shown.removed else ""
        note(
            f"run {shown.run}: {len(shown.matches)} matches{limit}{gone}; {shown.candidates} "
            f"images passed the filter ({state}; model {shown.model})"
        )
        if shown.unlisted_verdicts:
            note(
                f"verdicts on images that are not in this list: {shown.unlisted_verdicts}; see "
                f"`reid match list {set_name} --query {query_name}`"
            )


@query.command("diff")
@click.argument("before", type=int, metavar="RUN")
@click.argument("after", type=int, metavar="RUN")
@format_option
def diff(before: int, after: int, format_: str) -> None:
    """Show what the second RUN says otherwise than the first: what came, went and moved.

    `query show SET` names the runs of a set. An image has moved when its place among the images
    of both lists, or its distance by the same model, is another one.
    """
    from commands.run_diff import emit_diff
    from query_sets.queries import diff as compare

    emit_diff(compare(options.database(), before, after), format_)


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
    from commands.search import check_targets, on_stdout, write_pictures
    from query_sets.queries import pictures_of_run
    from query_sets.queries import run as run_set

    check_targets(sheet, html)
    engine = options.database()
    summary = run_set(engine, set_name, model, purpose)
    if not on_stdout(sheet, html):
        emit(asdict(summary), [asdict(summary)], format_)
    if sheet or html:
        pictures = pictures_of_run(engine, summary.id, first)
        write_pictures(pictures, sheet, html, f"Query set {set_name}")


@query.command("remove")
@click.argument("set_name", metavar="SET")
def remove(set_name: str) -> None:
    """Remove SET with its queries, runs and verdicts."""
    from query_sets.sets import remove_query_set

    remove_query_set(options.database(), set_name)
    click.echo(f"removed {set_name}")
