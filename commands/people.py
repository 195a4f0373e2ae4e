"""`reid people`: who is who, without names."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands import options
from commands.output import emit, format_option, note, on_terminal
from vocabulary import QUALITY_LIMIT

if TYPE_CHECKING:
    from people.find import PeopleFound

DENSITY, LEAST = 0.5, 4  # as `metrics.groups` has them, which is heavy to import
_collections = click.option(
    "--collection", "collections", multiple=True, required=True, metavar="NAME",
    help="May be given several times: their people are found together.",
)  # fmt: skip


@click.group()
def people() -> None:
    """Group images into people: find, update, list, export."""


@people.command("find")
@_collections
@click.option(
    "--density", type=float, default=DENSITY, show_default=True, metavar="X",
    help="Images of one person lie within this Jaccard distance, 0 to 1; less is surer.",
)  # fmt: skip
@click.option(
    "--least", type=int, default=LEAST, show_default=True, metavar="N",
    help="So many images must lie within it somewhere.",
)  # fmt: skip
@click.option(
    "--min-quality", type=click.FloatRange(0, 1), default=QUALITY_LIMIT, show_default=True,
    help="Images of less crop quality are nobody; 0 keeps all.",
)  # fmt: skip
@options.model
@format_option
def find(
    collections: tuple[str, ...],
    density: float,
    least: int,
    min_quality: float,
    model: str | None,
    format_: str,
) -> None:
    """Group the images of collections into people, without any name.

    Confirmed pairs stay together and rejected pairs apart, always. Found again, a person who lives
    on keeps the number.
    """
    from people.find import How
    from people.find import find as run

    how = How(density, least, min_quality)
    with _Bar() as told:
        found = run(options.database(), collections, how, model, told)
    _emit([found], format_)


@people.command("update")
@click.option(
    "--collection", "collections", multiple=True, metavar="NAME",
    help="Only people of this collection; may be given several times.",
)  # fmt: skip
@format_option
def update(collections: tuple[str, ...], format_: str) -> None:
    """Find people again where their collections have changed, as they were found before."""
    from people.find import update as run

    with _Bar() as told:
        found = run(options.database(), collections, told)
    _emit(found, format_)
    if not found:
        note("nothing has changed since people were found")


@people.command("list")
@_collections
@format_option
def list_(collections: tuple[str, ...], format_: str) -> None:
    """List the people of collections, the largest first."""
    from people.find import people as run

    rows, stale = run(options.database(), collections)
    emit(rows, rows, format_)
    if stale:
        note("the collections or the model have changed since; run `reid people update`")


@people.command("export")
@_collections
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="FILE|DIR")
@click.option(
    "--layout", type=click.Choice(["csv", "market"]), default="csv", show_default=True,
    help="A row an image; or a folder that `reid train` reads: PPPP_cC_NNNNNNNNN.jpg.",
)  # fmt: skip
@click.option(
    "--least", type=click.IntRange(1), default=2, show_default=True, metavar="N",
    help="With market: only people with so many images.",
)  # fmt: skip
@click.option("--link", is_flag=True, help="With market: links to the files instead of copies.")
def export(collections: tuple[str, ...], out: Path, layout: str, least: int, link: bool) -> int:
    """Write people to a CSV file, or their images to a folder to train on."""
    from people.export import export_csv, export_market

    engine = options.database()
    if layout == "csv":
        click.echo(f"{out}: {export_csv(engine, collections, out)} images")
        return 0
    number, images, failed = export_market(engine, collections, out, least=least, link=link)
    click.echo(f"{out}: {number} people, {images} images")
    for path, reason in list(failed.items())[:10]:
        note(f"failed: {path}: {reason}")
    return 3 if failed else 0


def _emit(found: "list[PeopleFound]", format_: str) -> None:
    rows: list[dict[str, Any]] = [asdict(summary) for summary in found]
    emit(rows, rows, format_)


class _Bar:
    """A bar of what is gone through, on a terminal."""

    def __enter__(self) -> Any:
        from tqdm import tqdm

        self.bar = tqdm(
            total=1.0, disable=not on_terminal(), bar_format="{l_bar}{bar}| {remaining}"
        )

        def told(phase: str, share: float) -> None:
            self.bar.set_description(phase)
            self.bar.n = min(1.0, share)
            self.bar.refresh()

        return told

    def __exit__(self, *_: object) -> None:
        self.bar.close()
