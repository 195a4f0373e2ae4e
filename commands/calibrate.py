"""`reid calibrate`: which distance `--max-distance auto` means, and which cut-offs."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands import options
from commands.calibrated import explain, warn
from commands.output import emit, format_option

if TYPE_CHECKING:
    from evaluation.calibrate import Calibrated


@click.command()
@click.option(
    "--collection", metavar="NAME",
    help="People whose names and cameras are known, and that the model was not trained on.",
)  # fmt: skip
@click.option(
    "--distractors", multiple=True, metavar="NAME",
    help="A collection of strangers, as many as your gallery has; may be given several times.",
)  # fmt: skip
@click.option(
    "--verdicts", multiple=True, metavar="SET",
    help="Instead of a collection: a query set whose matches were confirmed and rejected; may be "
    "given several times.",
)  # fmt: skip
@options.model
@click.option(
    "--false-positive-rate", metavar="X", type=float,
    help="The largest distance that takes in at most this share of the pairs of strangers, or of "
    "the rejected matches; default: the distance with the best F1.",
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
    collection: str | None,
    distractors: tuple[str, ...],
    verdicts: tuple[str, ...],
    model: str | None,
    false_positive_rate: float | None,
    annotations: Path | None,
    dry_run: bool,
    write_to: Path | None,
    format_: str,
) -> None:
    """Choose the distance that `--max-distance auto` means, on your own people.

    With --collection, the first image of each person and camera is a query, the others are the
    gallery, together with the distractors. The limit is stored with the model and used from then
    on. With --annotations, rare attribute values get a cut-off where that is better on people it
    was not chosen on, and the stored labels are decided again.

    With --verdicts, what `reid match confirm` and `reid match reject` have said of a set's matches
    takes the place of names. Only what somebody has looked at is judged, so no limit lies beyond
    the farthest match with a verdict.
    """
    from evaluation.calibrate import CalibrationRequest
    from evaluation.calibrate import calibrate as run

    asked = CalibrationRequest(
        collection,
        distractors,
        model,
        false_positive_rate,
        annotations,
        dry_run,
        write_to,
        verdicts,
    )
    done = run(options.database(), asked)
    if format_ == "table":
        _tables(done)
        explain(done)
    else:
        emit(done.to_json(), done.points(), format_)
    warn(done)


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
