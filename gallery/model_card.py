"""What a model says of itself, for people: how it was made, its figures, its limit, its limits."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine

from errors import ReidError
from gallery.model_rows import ModelRow, feature_counts
from gallery.models import chosen, shipped_as
from inference.engines import chosen_engine

# (group, what was measured: a name, its key, the key of what guessing gets)
_REID = (
    ("mAP", "mAP", "chance_mAP"),
    ("rank-1", "rank1", "chance_rank1"),
    ("rank-5", "rank5", None),
    ("rank-10", "rank10", None),
    ("mINP", "mINP", None),
)
_ATTRIBUTES = (
    ("accuracy", "mean_accuracy", "majority_accuracy"),
    ("balanced accuracy", "mean_balanced_accuracy",
     "majority_balanced_accuracy"),
    ("accuracy of 56 bits", "bits_accuracy", "bits_majority_accuracy"),
)  # fmt: skip
_GROUPS = (
    ("reid", "Finding a person among people of the evaluation", _REID, "a random order"),
    ("reid_with_distractors", "Finding a person among strangers too", _REID, "a random order"),
    ("attributes", "Attributes, the mean of 27 columns", _ATTRIBUTES, "always the majority"),
    ("attributes_with_cutoffs", "Attributes, with the cut-offs below", _ATTRIBUTES, ""),
)
_COUNTS = (
    ("num_queries", "queries"), ("num_gallery", "gallery images"), ("num_images", "images"),
    ("num_identities", "people"),
)  # fmt: skip


@dataclass(frozen=True)
class ModelFigure:
    """A rate in [0, 1], and what guessing gets; None where nobody has measured that."""

    name: str
    value: float
    guess: float | None


@dataclass(frozen=True)
class Figures:
    """What was measured together. `measured_on` is like `"586 queries, 1,588 gallery images"`."""

    title: str
    guess: str
    measured_on: str
    rows: tuple[ModelFigure, ...]


@dataclass(frozen=True)
class LimitPoint:
    """What one distance limit gives, and what it was chosen by."""

    name: str
    max_distance: float
    precision: float
    recall: float
    false_positive_rate: float


@dataclass(frozen=True)
class Card:
    """A registered model. `points` are the limits that calibration has compared, by distance;
    `limits` are sentences of the card that comes with a shipped model; `runs_by` is the engine of
    this machine, or why there is none."""

    model: ModelRow
    features: int
    people: int
    figures: tuple[Figures, ...]
    points: tuple[LimitPoint, ...]
    limits: tuple[str, ...]
    runs_by: str

    @property
    def chosen(self) -> LimitPoint | None:
        """What the calibrated limit gives; None where nobody has calibrated."""
        limit, found = self.model.max_distance, self.model.calibration
        if limit is None or "precision" not in found:
            return None
        return _point(found["chosen_by"], {**found, "max_distance": limit})


def card(engine: Engine, name: str) -> Card:
    """Raises UnknownModel."""
    model = chosen(engine, name)
    with engine.connect() as connection:
        features = feature_counts(connection).get(model.id, 0)
    return Card(
        model=model,
        features=features,
        people=sum(len(pids) for pids in model.trained_people.values()),
        figures=tuple(_figures(model.header.get("metrics", {}))),
        points=tuple(_points(model.calibration)),
        limits=tuple(_limits(model)),
        runs_by=_runs_by(model.architecture),
    )


def _runs_by(architecture: str) -> str:
    try:
        return chosen_engine(architecture, None)
    except ReidError as error:
        return str(error)


def _figures(metrics: Mapping[str, Any]) -> list[Figures]:
    found = []
    for place, ways in metrics.get("cameras_never_seen", {}).items():
        title = f"Finding a person on cameras never seen: {place}, each camera's mean subtracted"
        way = ways["centred"]
        rates = (("mAP", "mAP", "chance_mAP"), ("rank-1", "rank1", None))
        rates_here = tuple(
            ModelFigure(name, way[at], None if beside is None else way[beside])
            for name, at, beside in rates
        )
        found.append(Figures(title, "a random order", "", rates_here))
    for key, title, rows, guess in _GROUPS:
        values = metrics.get(key)
        if not values:
            continue
        counts = [f"{values[name]:,} {noun}" for name, noun in _COUNTS if name in values]
        figures = tuple(
            ModelFigure(name, values[at], None if beside is None else values.get(beside))
            for name, at, beside in rows
            if values.get(at) is not None
        )
        found.append(Figures(title, guess, ", ".join(counts), figures))
    return found


def _points(calibration: Mapping[str, Any]) -> list[LimitPoint]:
    points = calibration.get("points", {}).items()
    found = [_point(name, point) for name, point in points if point is not None]
    return sorted(found, key=lambda point: point.max_distance)


def _point(name: str, values: Mapping[str, Any]) -> LimitPoint:
    return LimitPoint(
        name,
        *(values[key] for key in ("max_distance", "precision", "recall", "false_positive_rate")),
    )


def _limits(model: ModelRow) -> list[str]:
    """The list below "Limits" in the card beside a shipped checkpoint; empty for any other one."""
    path = shipped_as(model)
    text = path.with_suffix(".md").read_text() if path else ""
    _, _, section = text.partition("\n## Limits\n")
    items = section.partition("\n## ")[0].split("\n- ")[1:]
    return [" ".join(item.split()).replace("`", "") for item in items]
