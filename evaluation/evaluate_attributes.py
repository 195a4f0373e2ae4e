"""Attribute metrics from stored scores against annotations: no image is read, no network is run."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from evaluation.annotated import load_annotated
from gallery.collections import CollectionRow
from gallery.model_rows import ModelRow
from metrics.attributes import AttributeMetrics, evaluate_attributes


@dataclass(frozen=True)
class AttributeReport:
    """The metrics, and what they were measured on. `unused_rows` counts the annotations of people
    and files that the collection does not have, `unnamed_images` the images whose name tells no
    person: each of them counts as a person of its own."""

    metrics: AttributeMetrics
    model: str
    collection: str
    unused_rows: int
    unnamed_images: int

    def to_json(self) -> dict[str, Any]:
        metrics = self.metrics
        return {
            "mean_accuracy": metrics.mean_accuracy,
            "mean_balanced_accuracy": metrics.mean_balanced_accuracy,
            "majority_accuracy": metrics.majority_accuracy,
            "majority_balanced_accuracy": metrics.majority_balanced_accuracy,
            "mean_f1": metrics.mean_f1,
            "majority_f1": metrics.majority_f1,
            "mean_average_precision": metrics.mean_average_precision,
            "chance_average_precision": metrics.chance_average_precision,
            "bits_accuracy": metrics.bits_accuracy,
            "bits_majority_accuracy": metrics.bits_majority_accuracy,
            "groups_accuracy": metrics.groups_accuracy,
            "groups_balanced_accuracy": metrics.groups_balanced_accuracy,
            "groups_majority_accuracy": metrics.groups_majority_accuracy,
            "groups_majority_balanced_accuracy": metrics.groups_majority_balanced_accuracy,
            "num_images": metrics.num_images,
            "num_identities": metrics.num_identities,
            "num_unknown": metrics.num_unknown,
            "unnamed_images": self.unnamed_images,
            "unused_rows": self.unused_rows,
            "model": self.model,
            "attributes": self.rows(),
            "groups": self.group_rows(),
            "upper_color_confusion": metrics.group("upper_color").confusion,
            "lower_color_confusion": metrics.group("lower_color").confusion,
        }

    def measured_on(self) -> str:
        """`"2,174 images of 130 people"`, and how many show people whom nobody named."""
        images, unknown = self.metrics.num_images, self.unnamed_images
        people = self.metrics.num_identities - unknown
        if not unknown:
            return f"{images:,} images of {people:,} people"
        if not people:
            return f"{images:,} images of unknown people"
        named = f"{images - unknown:,} images of {people:,} people"
        return f"{named} and {unknown:,} images of unknown people"

    def means(self) -> list[dict[str, Any]]:
        """The means, each beside what always answering the majority gives."""
        metrics = self.metrics
        rows = (
            ("27 columns, accuracy", metrics.mean_accuracy, metrics.majority_accuracy),
            (
                "27 columns, balanced accuracy",
                metrics.mean_balanced_accuracy,
                metrics.majority_balanced_accuracy,
            ),
            ("27 columns, F1", metrics.mean_f1, metrics.majority_f1),
            ("56 bits, accuracy", metrics.bits_accuracy, metrics.bits_majority_accuracy),
            ("12 groups, accuracy", metrics.groups_accuracy, metrics.groups_majority_accuracy),
            (
                "12 groups, balanced accuracy",
                metrics.groups_balanced_accuracy,
                metrics.groups_majority_balanced_accuracy,
            ),
        )
        return [{"mean": name, "model": value, "majority": guess} for name, value, guess in rows]

    def rows(self) -> list[dict[str, Any]]:
        """One for each of the 27 columns."""
        return [asdict(column) for column in self.metrics.columns]

    def group_rows(self) -> list[dict[str, Any]]:
        """One for each of the 12 groups, without its confusion table."""
        return [
            {name: value for name, value in vars(group).items() if name != "confusion"}
            for group in self.metrics.groups
        ]


def evaluate_attribute_scores(
    connection: Connection, model: ModelRow, collection: CollectionRow, annotations: Path
) -> AttributeReport:
    """The metrics of a collection; see `load_annotated` for what an id of the file may be.

    Raises BadAnnotations, CannotEvaluate where no stored image has an annotation.
    """
    found = load_annotated(connection, model, collection, annotations)
    return AttributeReport(
        metrics=evaluate_attributes(
            found.truth_NC, found.decided_NC, found.scores_NA, found.people_N
        ),
        model=model.name,
        collection=collection.name,
        unused_rows=found.unused_rows,
        unnamed_images=sum(isinstance(person, str) for person in found.people_N),
    )
