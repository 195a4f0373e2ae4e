"""`reid evaluate`: the field's metrics, beside what guessing gets."""

from dataclasses import asdict
from pathlib import Path

import click

from commands import options
from commands.output import emit, format_option, note


@click.group()
def evaluate() -> None:
    """The field's metrics, from what is stored; beside what guessing gets."""


@evaluate.command("reid")
@click.option("--query", required=True, metavar="NAME", help="The collection of the queries.")
@click.option(
    "--gallery", "galleries", required=True, multiple=True, metavar="NAME",
    help="A collection to search in; files without a person are distractors.",
)  # fmt: skip
@options.model
@format_option
def reid(query: str, galleries: tuple[str, ...], model: str | None, format_: str) -> None:
    """CMC, mAP and mINP: single query, same person on the same camera and copies left out."""
    from actions.evaluate import reid as run

    report = run(options.database(), query, galleries, model)
    emit(report.to_json(), [report.to_json()], format_)
    metrics = report.metrics
    if format_ == "table":
        note(
            f"a random order gives mAP {metrics.chance_mAP:.4f}, "
            f"rank-1 {metrics.chance_rank1:.4f}; {metrics.num_valid_queries} of "
            f"{metrics.num_queries} queries have a match to find"
        )
    if report.trained_on:
        note(
            f"warning: the model was trained on {len(report.trained_on)} of these people, such as "
            f"{report.trained_on[0]}; the figures say nothing about strangers"
        )


@evaluate.command("attributes")
@click.option("--collection", required=True, metavar="NAME")
@click.option(
    "--annotations", required=True, type=click.Path(path_type=Path), metavar="CSV",
    help="27 columns keyed by `id`: a person's number, or a file name.",
)  # fmt: skip
@options.model
@format_option
def attributes(collection: str, annotations: Path, model: str | None, format_: str) -> None:
    """Accuracy, balanced accuracy, F1 and AP of each column, beside the majority's accuracy."""
    from actions.evaluate import attributes as run

    metrics, for_nobody = run(options.database(), collection, annotations, model)
    rows = [asdict(column) for column in metrics.columns]
    document = {
        "mean_accuracy": metrics.mean_accuracy,
        "mean_balanced_accuracy": metrics.mean_balanced_accuracy,
        "majority_accuracy": metrics.majority_accuracy,
        "bits_accuracy": metrics.bits_accuracy,
        "num_images": metrics.num_images,
        "num_identities": metrics.num_identities,
        "attributes": rows,
    }
    emit(document, rows, format_)
    if format_ == "table":
        balanced = metrics.mean_balanced_accuracy
        note(
            f"mean accuracy {metrics.mean_accuracy:.4f} (always the majority: "
            f"{metrics.majority_accuracy:.4f}), mean balanced accuracy "
            f"{'none' if balanced is None else f'{balanced:.4f}'} (majority: 0.5), "
            f"{metrics.num_images} images of {metrics.num_identities} people"
        )
    if for_nobody:
        note(f"warning: {for_nobody} rows of {annotations} are for nobody in {collection}")
