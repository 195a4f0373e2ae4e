"""`reid evaluate`: the field's metrics, beside what guessing gets."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands import options
from commands.output import emit, format_option, note
from errors import UsageError

if TYPE_CHECKING:
    from evaluation.evaluate_attributes import AttributeReport
    from evaluation.evaluate_reid import ReidReport


@click.group()
def evaluate() -> None:
    """The field's metrics, from what is stored; beside what guessing gets."""


_report = click.option(
    "--report", "folder", type=click.Path(path_type=Path), metavar="DIR",
    help="Write plots and a page, index.html, into this folder.",
)  # fmt: skip


@evaluate.command("reid")
@click.option("--query", required=True, metavar="NAME", help="The collection of the queries.")
@click.option(
    "--gallery", "galleries", required=True, multiple=True, metavar="NAME",
    help="A collection to search in; files without a person are distractors.",
)  # fmt: skip
@click.option(
    "--rerank", is_flag=True,
    help="The figures after k-reciprocal re-ranking too, beside those without.",
)  # fmt: skip
@click.option(
    "--candidates", type=click.IntRange(1), metavar="N",
    help="Re-rank only the N closest of each query, each query by itself as in a search; "
    "without it the whole gallery, with the other queries in it, as in published figures.",
)  # fmt: skip
@click.option(
    "--where", metavar="FILTER",
    help="Gallery images that do not pass stand at the end of each list: what a filter such as "
    "'quality >= 0.5' brings and costs.",
)  # fmt: skip
@_report
@click.option("--no-strips", is_flag=True, help="Leave images of people out of the report.")
@options.purpose
@options.model
@format_option
def reid(
    query: str,
    galleries: tuple[str, ...],
    rerank: bool,
    candidates: int | None,
    where: str | None,
    folder: Path | None,
    no_strips: bool,
    purpose: str | None,
    model: str | None,
    format_: str,
) -> None:
    """CMC, mAP and mINP: single query, same person on the same camera and copies left out.

    A report shows images of the best and the worst queries and their matches: personal data. Which
    ones is kept in the audit log, with --purpose.
    """
    from evaluation.evaluate import reid as run

    if no_strips and not folder:
        raise UsageError("--no-strips says what a report leaves out; add --report DIR")
    if where and folder:
        raise UsageError("--report shows the whole gallery; leave out --where or --report")
    files: list[Path] = []
    if folder:
        from evaluation.reports import Target, reid_report

        target = Target(folder, strips=not no_strips, purpose=purpose)
        report, files = reid_report(
            options.database, target, query, galleries, model, rerank=rerank, candidates=candidates
        )
    else:
        report = run(
            options.database(), query, galleries, model,
            rerank=rerank, candidates=candidates, where=where,
        )  # fmt: skip
    _emit_reid(report, format_)
    _note_files(files)
    if (warning := report.about_training()) is not None:
        note(warning)


def _emit_reid(report: "ReidReport", format_: str) -> None:
    orders, counts = report.orders(), report.counts()
    if format_ == "table":
        emit(None, orders, format_)
        click.echo()
        emit(None, [counts], format_)
        if report.lists:
            click.echo()
            emit(None, report.list_rows(), format_)
    else:
        emit(report.to_json(), [{**order, **counts} for order in orders], format_)


@evaluate.command("attributes")
@click.option("--collection", required=True, metavar="NAME")
@click.option(
    "--annotations", required=True, type=click.Path(path_type=Path), metavar="CSV",
    help="27 columns keyed by `id`: a person's number, or a file name.",
)  # fmt: skip
@_report
@options.model
@format_option
def attributes(
    collection: str, annotations: Path, folder: Path | None, model: str | None, format_: str
) -> None:
    """Accuracy, balanced accuracy, F1 and AP of each column, beside the majority's.

    Then the means over 27 columns, 56 bits and 12 groups, and what colours are taken for.
    """
    from evaluation.evaluate import attributes as run

    files: list[Path] = []
    if folder:
        from evaluation.reports import Target, attributes_report

        report, files = attributes_report(
            options.database, Target(folder), collection, annotations, model
        )
    else:
        report = run(options.database(), collection, annotations, model)
    if format_ == "table":
        _print_attributes(report)
    else:
        emit(report.to_json(), report.rows(), format_)
    _note_files(files)
    if report.unused_rows:
        note(f"warning: {report.unused_rows} rows of {annotations} are for nobody in {collection}")


@evaluate.command("people")
@click.option(
    "--collection", "collections", multiple=True, required=True, metavar="NAME",
    help="Grouped together; files without a person are strangers. May be given several times.",
)  # fmt: skip
@click.option(
    "--density", "densities", type=float, multiple=True, metavar="X",
    help="A Jaccard distance to try, 0 to 1; default: .3 to .6 in steps.",
)  # fmt: skip
@click.option(
    "--precision", type=click.FloatRange(0, 1), metavar="P",
    help="Say which density is the largest with at least this precision.",
)  # fmt: skip
@options.model
@format_option
def people(
    collections: tuple[str, ...],
    densities: tuple[float, ...],
    precision: float | None,
    model: str | None,
    format_: str,
) -> None:
    """How far the groups of `people find` are people: BCubed and adjusted Rand index.

    Beside them what one group an image and one group for all give. Nothing is kept.
    """
    from evaluation.evaluate_people import DENSITIES, evaluate_people

    report = evaluate_people(
        options.database(), collections, densities or DENSITIES, model, wanted=precision
    )
    emit(report.to_json(), report.rows(), format_)
    if precision is not None:
        said = "no density tried" if report.advised is None else f"--density {report.advised:g}"
        note(f"a precision of {precision:g}: {said}")


_COLUMN_HEADS = {
    "name": "attribute", "accuracy": "accuracy", "majority_accuracy": "majority",
    "balanced_accuracy": "balanced", "majority_balanced_accuracy": "(majority)",
    "f1": "F1", "majority_f1": "(maj. F1)", "average_precision": "AP",
    "chance_average_precision": "(chance)", "num_identities": "people",
}  # fmt: skip
_GROUP_HEADS = {**dict(list(_COLUMN_HEADS.items())[:5]), "name": "group", "majority": "answer"}


def _print_attributes(report: "AttributeReport") -> None:
    """Four tables and the means, narrow enough for a terminal; what guessing gives stands to the
    right of each figure."""
    tables = [
        [{head: row[name] for name, head in heads.items()} for row in rows]
        for heads, rows in (
            (_COLUMN_HEADS, report.rows()),
            (_GROUP_HEADS, report.group_rows()),
        )
    ]
    tables.append(report.means())
    for group in (report.metrics.group("upper_color"), report.metrics.group("lower_color")):
        truth = f"{group.name} \\ decided"
        tables.append([{truth: word, **counts} for word, counts in group.confusion.items()])
    for number, rows in enumerate(tables):
        if number:
            click.echo()
        emit(None, rows, "table")
    note(f"{report.measured_on()}; model {report.model}")
    if unknown := report.metrics.num_unknown:
        share = unknown / (unknown + sum(column.num_images for column in report.metrics.columns))
        note(f"{unknown:,} values that the annotations leave empty are left out ({share:.1%})")


def _note_files(files: list[Path]) -> None:
    if files:
        note(f"wrote {files[-1]} and {len(files) - 1} plots beside it")
