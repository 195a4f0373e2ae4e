"""`reid match`: a reviewer's verdicts."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from commands import options
from commands.output import emit, format_option, note

if TYPE_CHECKING:
    from query_sets.verdicts import Decided

_COLUMNS = (
    "query", "image_id", "collection", "path", "verdict", "reviewer", "decided_at", "note",
    "run", "model", "rank", "distance",
)  # fmt: skip


def _images(function: Callable[..., Any]) -> Callable[..., Any]:
    for decorate in (
        click.argument("images", nargs=-1, required=True, metavar="IMAGE..."),
        click.argument("query", metavar="QUERY"),
        click.argument("set_name", metavar="SET"),
    ):
        function = decorate(function)
    return function


_note = click.option("--note", "text", metavar="TEXT", help="Why; kept with the verdict.")


@click.group()
def match() -> None:
    """A reviewer's verdicts: confirm, reject, withdraw, list."""


@match.command("confirm")
@_images
@_note
def confirm(set_name: str, query: str, images: tuple[str, ...], text: str | None) -> None:
    """Say that each IMAGE shows the person of QUERY in SET.

    IMAGE is a path as `query show SET QUERY` prints it, or id:123, its image_id. The verdict is
    kept apart from distances and survives every new run; one given later replaces it.
    """
    from query_sets.verdicts import decide

    decided = decide(options.database(), set_name, query, images, "confirmed", text)
    _say(decided, query, "confirmed")


@match.command("reject")
@_images
@_note
def reject(set_name: str, query: str, images: tuple[str, ...], text: str | None) -> None:
    """Say that each IMAGE shows somebody else than QUERY in SET; see `match confirm`."""
    from query_sets.verdicts import decide

    decided = decide(options.database(), set_name, query, images, "rejected", text)
    _say(decided, query, "rejected")


@match.command("withdraw")
@_images
def withdraw(set_name: str, query: str, images: tuple[str, ...]) -> None:
    """Take verdicts back: each IMAGE has none for QUERY any more."""
    from query_sets.verdicts import take_back

    _say(take_back(options.database(), set_name, query, images), query, "without a verdict")


def _say(decided: "Decided", query: str, state: str) -> None:
    same = len(decided.named) - len(decided.changed)
    before = f" ({same} already)" if same else ""
    click.echo(f"{query}: {len(decided.named)} {state}{before}")
    for image in decided.changed:
        was = decided.replaced.get(image.id)
        if was not in (None, state):
            note(f"{image.path} (id:{image.id}) was {was} before")
    for image in decided.never_listed:
        note(f"{image.path} (id:{image.id}) is no match of {query} in any run; the verdict is kept")


@match.command("list")
@click.argument("set_name", metavar="SET")
@click.option("--query", metavar="QUERY", help="The verdicts on one query's images.")
@click.option("--verdict", type=click.Choice(("confirmed", "rejected")), help="These alone.")
@format_option
def list_(set_name: str, query: str | None, verdict: str | None, format_: str) -> None:
    """List the verdicts of SET with reviewer, rank and distance in its newest run."""
    from dataclasses import asdict

    from query_sets.verdicts import list_verdicts

    rows = [asdict(j) for j in list_verdicts(options.database(), set_name, query, verdict)]
    emit({"set": set_name, "verdicts": rows}, rows, format_, columns=_COLUMNS)
    if not rows:
        note("no verdict yet; see reid match confirm --help")
