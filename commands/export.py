"""`reid export`: the assignment's two files."""

from pathlib import Path

import click

from commands import options
from commands.output import note, say_written
from vocabulary import QUALITY_LIMIT


@click.group()
def export() -> None:
    """Write reid_test.txt, the matches of a run, or classification_test.csv."""


@export.command("reid-test")
@click.option("--query-set", required=True, metavar="SET", help="A query set that was run.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("reid_test.txt"), show_default=True
)
@click.option(
    "--min-quality", type=click.FloatRange(0, 1), default=QUALITY_LIMIT, show_default=True,
    help="Matches of less crop quality are left out; 0 keeps all.",
)  # fmt: skip
def reid_test(query_set: str, out: Path, min_quality: float) -> None:
    """One line a query, best match first: `000616.jpg: 001249.jpg, 000316.jpg`.

    A query without a match keeps its colon. Commas, colons, line breaks and bytes that are no
    UTF-8 stand as %XX in names; a base name that occurs twice is written with its folder.
    """
    from query_sets.sets import export_reid_test, is_stale

    engine = options.database()
    written = export_reid_test(engine, query_set, out, min_quality)
    say_written(out, f"{written.lines} queries, {written.with_matches} with matches")
    if written.left_out:
        note(
            f"{written.left_out} matches are left out, of crop quality below {min_quality:g}: "
            "part of a person, or nobody; --min-quality 0 keeps them"
        )
    if is_stale(engine, query_set):
        note(f"the run is older than its gallery or model; run `reid query run {query_set}` again")


@export.command("matches")
@click.option("--query-set", required=True, metavar="SET", help="A query set that was run.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("matches.csv"), show_default=True
)
def matches(query_set: str, out: Path) -> None:
    """Every match of SET's newest run as CSV: query, rank, image, distance, pid, camera."""
    from query_sets.sets import export_matches

    written = export_matches(options.database(), query_set, out)
    say_written(out, f"{written.lines} matches of {written.with_matches} queries")


@export.command("classification")
@click.option("--collection", required=True, metavar="NAME")
@options.model
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("classification_test.csv"),
    show_default=True,
)
def classification(collection: str, model: str | None, out: Path) -> None:
    """The decided attributes of each image, with the header of annotations_train.csv."""
    from query_sets.sets import export_classification

    written = export_classification(options.database(), collection, model, out)
    say_written(out, f"{written.lines} images")
