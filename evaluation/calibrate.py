"""Calibration by people or by verdicts: measured, then stored with the model and used at once."""

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine

from db.audit import record
from errors import UsageError
from evaluation.calibrate_people import (
    DistanceReport,
    Sources,
    calibrate_cutoffs,
    calibrate_distance,
)
from evaluation.calibrate_verdicts import VerdictReport, calibrate_verdicts
from files import write_whole
from gallery.collections import collection_named, collections_named
from gallery.labels import decide_again, lock_all_collections
from gallery.model_rows import ModelRow, set_calibration, set_rerank_calibration
from gallery.models import checkpoint_of, chosen
from metrics.attributes import mean_of_known
from metrics.cutoffs import ColumnCutoff
from metrics.nearby import CANDIDATES
from models.checkpoint import Header
from models.rewrite import with_header


@dataclass(frozen=True)
class CalibrationRequest:
    """What to calibrate on: a collection's people, or the verdicts of query sets. Without a
    false-positive rate the limit with the best F1 is chosen."""

    collection: str | None = None
    distractors: tuple[str, ...] = ()
    model: str | None = None
    false_positive_rate: float | None = None
    annotations: Path | None = None
    dry_run: bool = False
    write_to: Path | None = None
    verdicts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.collection is None) == (not self.verdicts):
            raise UsageError(
                "give --collection for people whose names are known, or --verdicts for what "
                "reviewers have said of a query set: one of the two"
            )
        if self.verdicts and (self.distractors or self.annotations):
            word = "--distractors" if self.distractors else "--annotations"
            raise UsageError(f"{word} goes with --collection; leave it out with --verdicts")
        if self.false_positive_rate is not None and not 0 < self.false_positive_rate < 1:
            raise UsageError(
                f"--false-positive-rate is {self.false_positive_rate}; expected between 0 and 1"
            )
        if self.dry_run and self.write_to:
            raise UsageError("--dry-run writes nothing; leave out --write-to")

    @property
    def sets(self) -> tuple[str, ...]:
        """The query sets whose verdicts count, each once."""
        return tuple(dict.fromkeys(self.verdicts))

    def source(self) -> dict[str, Any]:
        """`{"source", "collection", "distractors"}` or `{"source", "sets"}`."""
        if self.verdicts:
            return {"source": "verdicts", "sets": list(self.sets)}
        return {
            "source": "collection",
            "collection": self.collection,
            "distractors": list(self.distractors),
        }


@dataclass(frozen=True)
class Calibrated:
    """What was measured, and what became of it. `cutoffs` are None without annotations,
    `labels_changed` counts images that were decided differently."""

    model: str
    asked: CalibrationRequest
    report: DistanceReport | VerdictReport
    trained_space: str | None
    calibrated_at: str
    cutoffs: tuple[ColumnCutoff, ...] | None
    unused_rows: int
    labels_changed: int = 0

    @property
    def chosen_cutoffs(self) -> dict[str, float]:
        return {c.name: c.cutoff for c in self.cutoffs or () if c.cutoff is not None}

    def to_json(self) -> dict[str, Any]:
        facts = self.facts()
        cutoffs = None if self.cutoffs is None else [asdict(cutoff) for cutoff in self.cutoffs]
        return {
            "model": self.model,
            **facts,
            "points": self.points(),
            "cutoffs": cutoffs,
            "unused_rows": self.unused_rows,
            "labels_changed": self.labels_changed,
            "stored": not self.asked.dry_run,
            "reranked": self.reranked_facts() or None,
        }

    def facts(self) -> dict[str, Any]:
        """The figures as they are stored with the model."""
        return {**asdict(self.report.calibration), **self._made_on()}

    def reranked_facts(self) -> dict[str, Any]:
        """The same for the re-ranked distance; empty where it has no limit by this."""
        reranked = getattr(self.report, "reranked", None)
        if reranked is None:
            return {}
        return {**asdict(reranked), **self._made_on(), "candidates": CANDIDATES}

    def _made_on(self) -> dict[str, Any]:
        own = ("calibration", "reranked")
        counts = {name: value for name, value in vars(self.report).items() if name not in own}
        return {**counts, **self.asked.source(), "calibrated_at": self.calibrated_at}

    def points(self) -> list[dict[str, Any]]:
        """What each of the limits gives, one row each; empty where there are too few pairs."""
        empty = dict.fromkeys(("max_distance", "precision", "recall", "f1", "false_positive_rate"))
        calibration = self.report.calibration
        return [
            {
                "limit": name,
                **(asdict(point) if point else empty),
                "chosen": name == calibration.chosen_by,
            }
            for name, point in calibration.points.items()
        ]

    def means(self) -> dict[str, float | None]:
        """Cross-fitted means over the two-valued columns, without and with the cut-offs."""
        names = ("balanced_accuracy_without", "balanced_accuracy", "accuracy_without", "accuracy")
        return {
            name: mean_of_known([getattr(c, name) for c in self.cutoffs or ()]) for name in names
        }


def calibrate(engine: Engine, asked: CalibrationRequest) -> Calibrated:
    """Chooses the limit of `auto`, and with annotations the cut-offs; stores both with the model.

    Labels that are stored are decided again in the same transaction. Raises UnknownCollection,
    UnknownQuerySet, CannotCalibrate, TooFewPeople, BadAnnotations, CannotEvaluate.
    """
    row = chosen(engine, asked.model)
    with engine.connect() as connection:
        done = _measured(connection, row, asked)
    if asked.dry_run:
        return done
    with engine.begin() as connection:
        return _store(connection, row, done)


def _measured(connection: Connection, row: ModelRow, asked: CalibrationRequest) -> Calibrated:
    cutoffs, unused = None, 0
    space = row.header.get("identity_space")
    report: DistanceReport | VerdictReport
    if asked.collection is None:
        report = calibrate_verdicts(connection, row, asked.sets, asked.false_positive_rate)
    else:
        sources = Sources(
            row,
            collection_named(connection, asked.collection),
            tuple(collections_named(connection, asked.distractors)),
        )
        if asked.annotations:
            cutoffs, unused = calibrate_cutoffs(connection, sources, asked.annotations)
        report = calibrate_distance(connection, sources, asked.false_positive_rate)
        space = sources.trained_space
    return Calibrated(
        model=row.name,
        asked=asked,
        report=report,
        trained_space=space,
        calibrated_at=datetime.now(UTC).isoformat(timespec="seconds"),
        cutoffs=cutoffs,
        unused_rows=unused,
    )


def _store(connection: Connection, row: ModelRow, done: Calibrated) -> Calibrated:
    calibration, cutoffs = done.facts(), None
    max_distance = done.report.calibration.max_distance
    if done.cutoffs is not None:
        cutoffs = done.chosen_cutoffs
        calibration["cutoffs"] = [asdict(cutoff) for cutoff in done.cutoffs]
    elif "cutoffs" in row.calibration:
        calibration["cutoffs"] = row.calibration["cutoffs"]
    lock_all_collections(connection)
    set_calibration(connection, row.id, max_distance, calibration, cutoffs)
    reranked = done.reranked_facts()
    if reranked:
        set_rerank_calibration(connection, row.id, reranked["max_distance"], reranked)
    changed = 0 if cutoffs is None else decide_again(connection, row.id)
    if done.asked.write_to:
        header = replace(
            Header.from_json(dict(row.header)),
            max_distance=max_distance,
            calibration=calibration,
            cutoffs=row.cutoffs if cutoffs is None else cutoffs,
        )
        if reranked:
            header = replace(
                header, rerank_max_distance=reranked["max_distance"], rerank_calibration=reranked
            )
        header = replace(header, centred=row.centred, other_limits=row.other_limits)
        write_whole(done.asked.write_to, with_header(checkpoint_of(row), header))
    question = {
        "model": row.name,
        **done.asked.source(),
        "chosen_by": done.report.calibration.chosen_by,
        "max_distance": {"before": row.max_distance, "after": max_distance},
        "rerank_max_distance": {
            "before": row.rerank_max_distance,
            "after": reranked.get("max_distance", row.rerank_max_distance),
        },
        "cutoffs": {"before": dict(row.cutoffs), "after": cutoffs},
        "labels_changed": changed,
    }
    record(connection, "calibrate", question)
    return replace(done, labels_changed=changed)
