"""`reid erase`: pictures of people, wherever they are stored."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands import options
from commands.output import emit, format_option, note
from commands.progress import Phases
from errors import UsageError
from moments import printed

if TYPE_CHECKING:
    from gallery.erase import ErasurePlan, Remains

_COLUMNS = (
    "images", "copies", "unread", "features", "matches", "verdicts", "queries", "query_sets",
    "runs", "contents",
)  # fmt: skip
_SHOWN = 10


class ImageNumber(click.ParamType[int]):
    """22, or id:22 as `reid match` takes it."""

    name = "image"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        digits = str(value).removeprefix("id:")
        if not (digits.isascii() and digits.isdecimal() and 0 < int(digits) < 2**63):
            self.fail(f"{value!r} is no image's number; a search prints it as image_id", param, ctx)
        return int(digits)


@click.command()
@click.option(
    "--image", "images", type=ImageNumber(), multiple=True, metavar="ID",
    help="An image by its number, as searches print it; may be given several times.",
)  # fmt: skip
@click.option(
    "--collection", "collections", multiple=True, metavar="NAME",
    help="All of a collection; with --pid where to look for the person.",
)  # fmt: skip
@click.option("--pid", type=click.IntRange(-1), metavar="P", help="One person, by file names.")
@click.option(
    "--like", "files", multiple=True, metavar="FILE",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="What has exactly the bytes of this picture, now or later.",
)  # fmt: skip
@click.option(
    "--lift", "lifted", multiple=True, metavar="SHA256",
    help="Let an erased content be taken in again; nothing comes back by it.",
)  # fmt: skip
@click.option("--reason", metavar="TEXT", help="Why; kept with the hashes and in the audit log.")
@click.option("--quick", is_flag=True, help="Do not write the tables anew: nobody has to wait.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@format_option
def erase(
    images: tuple[int, ...],
    collections: tuple[str, ...],
    pid: int | None,
    files: tuple[Path, ...],
    lifted: tuple[str, ...],
    reason: str | None,
    quick: bool,
    dry_run: bool,
    yes: bool,
    format_: str,
) -> int:
    """Erase pictures with all that is stored of them, and keep them from being taken in again.

    Every image with the same bytes goes, in whatever collection, with its features, thumbnail,
    matches and verdicts, and every stored query that asks with it. A hash of the bytes stays. Then
    the tables are written anew, so that nothing of it stays in the database's files. It cannot be
    undone. Interrupted, the same command goes on; without any name it ends what another one left.
    """
    from gallery import erase as actions

    asked = actions.ErasureRequest(images, collections, pid, files, reason)
    if lifted:
        _only_lift(asked.names_something or dry_run)
        click.echo(f"lifted {actions.allow_again(options.database(), lifted)} of {len(lifted)}")
        return 0
    engine = options.database()
    found, remains = actions.plan(engine, asked)
    if found.is_empty and not found.pending:
        note("nothing is left to erase; name it with --image, --pid, --collection or --like")
        return 0
    counts: dict[str, Any] = {**found.to_json(), "erased": not dry_run}
    if not dry_run:
        if not yes and not _agreed(found):
            return 1
        with Phases("erase") as bar:
            _, dropped = actions.erase(engine, asked, quick=quick, on_step=bar.show)
        counts["dropped_indexes"] = dropped
        _say_files(quick, dropped)
    remaining = {
        "files_left": remains.folders,
        "written": list(remains.written),
        "models": remains.models,
    }
    emit({**counts, **remaining}, [counts], format_, columns=_COLUMNS)
    _say_remains(remains)
    return 0


def _only_lift(with_more: bool) -> None:
    if with_more:
        raise UsageError("--lift stands alone")


def _agreed(found: "ErasurePlan") -> bool:
    what = (
        f"{found.extent.images} images ({found.copies} of them byte-identical copies that were "
        f"not named), {found.extent.queries} stored queries, {found.extent.verdicts} verdicts"
    )
    if not sys.stdin.isatty():
        raise UsageError(f"this would erase {what}, for good; say --yes, or look with --dry-run")
    if click.confirm(f"Erase {what}, for good?"):
        return True
    note("nothing was erased")
    return False


def _say_files(quick: bool, dropped: list[str]) -> None:
    if quick:
        note(
            "bytes of it stay in the database's files until their room is used again; "
            "`reid erase` without a name writes the tables anew"
        )
    if dropped:
        note("approximate indexes held it too and were dropped: build them with `reid index build`")


def _say_remains(remains: "Remains") -> None:
    for folder, count in list(remains.folders.items())[:_SHOWN]:
        note(f"image files still in {folder}: {count}")
    for row in remains.written[-_SHOWN:]:
        note(f"{printed(row['at'])} {row['action']} wrote {row['file']}")
    for model, count in remains.models.items():
        note(
            f"model {model} has learned from {count} of them, and its weights keep what it "
            "learned: adapt again without them and use that model instead"
        )
    note(
        "not reached: image files, backups, exported files, the write-ahead log, a page that is "
        "open; see docs/privacy.md"
    )
