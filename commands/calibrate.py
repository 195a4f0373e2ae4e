"""`reid calibrate`: which distance `--max-distance auto` means, and which cut-offs."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands import options
from commands.output import emit, format_option, note

if TYPE_CHECKING:
    from actions.calibrate import Calibrated


@click.command()
@click.option(
    "--collection", required=True, metavar="NAME",
    help="People whose names and cameras are known, and that the model was not trained on.",
)  # fmt: skip
@click.option(
    "--distractors", multiple=True, metavar="NAME",
    help="A collection of strangers, as many as your gallery has; may be given several times.",
)  # fmt: skip
@options.model
@click.option(
    "--false-positive-rate", metavar="X", type=float,
    help="The largest distance that takes in at most this share of the pairs of strangers; "
    "default: the distance with the best F1.",
)  # fmt: skip
@click.option(
    "--annotations", type=click.Path(path_type=Path), metavar="CSV",
    help="27 columns keyed by `id`, a person's number or a file name: chooses cut-offs, too.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Measure and print; change nothing.")
@click.option(
    "--write-to", type=click.Path(path_type=Path), metavar="FILE",
    help="Also write a checkpoint with these figures, for another database.",
)  # fmt: skip
@format_option
def calibrate(
    collection: str,
    distractors: tuple[str, ...],
    model: str | None,
    false_positive_rate: float | None,
    annotations: Path | None,
    dry_run: bool,
    write_to: Path | None,
    format_: str,
) -> None:
    """Choose the distance that `--max-distance auto` means, on your own people.

    The first image of each person and camera is a query, the others are the gallery, together with
    the distractors. The limit is stored with the model and used from then on. With --annotations,
    rare attribute values get a cut-off where that is better on people it was not chosen on, and the
    stored labels are decided again.
    """
    from actions.calibrate import Asked
    from actions.calibrate import calibrate as run

    asked = Asked(
        collection, distractors, model, false_positive_rate, annotations, dry_run, write_to
    )
    done = run(options.database(), asked)
    if format_ == "table":
        _tables(done)
        _explain(done)
    else:
        emit(done.to_json(), done.points(), format_)
    _warn(done)


def _tables(done: "Calibrated") -> None:
    limits = [
        {**row, "false_positive_rate": _short(row["false_positive_rate"])} for row in done.points()
    ]
    emit(limits, limits, "table")
    if done.cutoffs is None:
        return
    columns = [
        {
            "column": c.name,
            "cut-off": c.cutoff,
            "people": c.num_identities,
            "balanced": c.balanced_accuracy_without,
            "balanced with": c.balanced_accuracy,
            "accuracy": c.accuracy_without,
            "accuracy with": c.accuracy,
            "why none": c.reason,
        }
        for c in done.cutoffs
    ]
    click.echo()
    emit(columns, columns, "table")


def _short(rate: float | None) -> str:
    return "" if rate is None else f"{rate:.2g}"


def _explain(done: "Calibrated") -> None:
    report, found = done.report, done.report.calibration
    note(
        f"{found.num_identities} people, {report.num_queries} queries, "
        f"{found.num_positive_pairs:,} pairs of one person, "
        f"{found.num_pairs - found.num_positive_pairs:,} of strangers; "
        f"{report.num_strangers:,} of {report.num_gallery:,} gallery images show strangers"
    )
    note(
        f"within {found.max_distance:.4f}: {found.precision:.1%} of the matches show the same "
        f"person, and {found.recall:.1%} of a person's images on other cameras are found"
    )
    if done.cutoffs is not None:
        means = done.means()
        before, after = means["balanced_accuracy_without"], means["balanced_accuracy"]
        if before is not None and after is not None:
            note(
                f"{len(done.chosen_cutoffs)} of {len(done.cutoffs)} columns have a cut-off: mean "
                f"balanced accuracy {before:.4f} without, {after:.4f} with them, mean accuracy "
                f"{means['accuracy_without']:.4f} and {means['accuracy']:.4f} (cross-fitted)"
            )
    if done.asked.dry_run:
        note("nothing was changed (--dry-run)")
        return
    note(f"model {done.model}: `auto` is {found.max_distance:.4f} from now on")
    if done.cutoffs is not None:
        note(f"{done.labels_changed:,} stored images were decided differently")
    if done.asked.write_to:
        note(f"{done.asked.write_to} is another file to `reid model add`: it has no features yet")


def _warn(done: "Calibrated") -> None:
    report, asked = done.report, done.asked
    if report.trained_left_out:
        note(
            f"{report.trained_left_out} people of {asked.collection} were left out: the model was "
            f"trained on these numbers of the identity space {done.trained_space!r}"
        )
    if report.same_numbers:
        note(
            f"warning: {report.same_numbers} people have numbers that the model was trained on, in "
            f"the identity space {done.trained_space!r}; if they are the same people, ingest them "
            f"with --identities {done.trained_space}"
        )
    if not report.num_strangers:
        note(
            "warning: the gallery has no strangers; with --distractors the share of strangers, and "
            "with it the best distance, would be nearer to that of your gallery"
        )
    if report.num_without_camera:
        note(
            f"warning: {report.num_without_camera} images of people name no camera; pairs taken by "
            "one camera are easier than what a search has to find"
        )
    if report.num_waiting:
        note(f"warning: {report.num_waiting} images wait for the model; they do not count yet")
    if done.unused_rows:
        note(f"warning: {done.unused_rows} rows of {asked.annotations} are for nobody here")
