"""What a calibration has found, in sentences on stderr."""

from typing import TYPE_CHECKING

from commands.output import note

if TYPE_CHECKING:
    from evaluation.calibrate import Calibrated
    from evaluation.calibrate_people import DistanceReport
    from evaluation.calibrate_verdicts import VerdictReport


def explain(done: "Calibrated") -> None:
    """Print what the limit was chosen on, what it gives, and what was changed."""
    from evaluation.calibrate_verdicts import VerdictReport

    found = done.report.calibration
    if isinstance(done.report, VerdictReport):
        _judged(done.report)
    else:
        _compared(done.report)
    _cutoffs(done)
    if done.asked.dry_run:
        note("nothing was changed (--dry-run)")
        return
    note(f"model {done.model}: `auto` is {found.max_distance:.4f} from now on")
    if done.cutoffs is not None:
        note(f"{done.labels_changed:,} stored images were decided differently")
    if done.asked.write_to:
        note(f"{done.asked.write_to} is another file to `reid model add`: it has no features yet")


def _compared(report: "DistanceReport") -> None:
    found = report.calibration
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


def _judged(report: "VerdictReport") -> None:
    found = report.calibration
    note(
        f"{report.num_verdicts:,} verdicts: {found.num_positive_pairs:,} confirmed matches of "
        f"{found.num_identities} people and {found.num_pairs - found.num_positive_pairs:,} "
        f"rejected ones count, in {report.num_queries} queries"
    )
    note(
        f"within {found.max_distance:.4f}: {found.precision:.1%} of the judged matches were "
        f"confirmed, and {found.recall:.1%} of the confirmed ones lie there"
    )
    note(
        f"nothing farther than {report.largest_judged:.4f} was judged, so no larger limit is "
        "chosen; recall is of what somebody has confirmed, not of everybody who is there"
    )


def _cutoffs(done: "Calibrated") -> None:
    if done.cutoffs is None:
        return
    means = done.means()
    before, after = means["balanced_accuracy_without"], means["balanced_accuracy"]
    if before is not None and after is not None:
        note(
            f"{len(done.chosen_cutoffs)} of {len(done.cutoffs)} columns have a cut-off: mean "
            f"balanced accuracy {before:.4f} without, {after:.4f} with them, mean accuracy "
            f"{means['accuracy_without']:.4f} and {means['accuracy']:.4f} (cross-fitted)"
        )


def warn(done: "Calibrated") -> None:
    """What was left out, and what makes the limit less sure."""
    from evaluation.calibrate_verdicts import VerdictReport

    if isinstance(done.report, VerdictReport):
        _warn_of_verdicts(done.report)
    else:
        _warn_of_people(done, done.report)


def _warn_of_verdicts(report: "VerdictReport") -> None:
    from evaluation.calibrate_verdicts import LEFT_OUT

    for reason, count in report.left_out.items():
        if count:
            note(f"{count:,} verdicts were left out: they {LEFT_OUT[reason]}")
    if report.num_one_camera:
        note(
            f"warning: {report.num_one_camera:,} confirmed matches are of the query's own camera; "
            "they are easier than what a search has to find"
        )
    if report.at_the_edge:
        note(
            "warning: no judged match lies beyond the limit, so that a larger one may be better; "
            "search with a larger --max-distance or --limit, and judge what comes"
        )


def _warn_of_people(done: "Calibrated", report: "DistanceReport") -> None:
    asked = done.asked
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
