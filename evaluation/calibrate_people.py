"""Calibration from stored features: no image is read, no network is run."""

# N images, G gallery images

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection

from errors import ReidError, UsageError
from evaluation.annotated import load_annotated
from gallery.collections import CollectionRow
from gallery.model_rows import ModelRow
from metrics.calibration import MIN_PEOPLE, Calibration, Pairs, choose, choose_reranked
from metrics.cutoffs import ColumnCutoff, choose_cutoffs
from metrics.reid import JUNK, single_query_mask
from query_sets.batch_search import UNKNOWN_CAMERA, Gallery, load_gallery
from search.question import Question, Scope
from search.statement import count_unsearched

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


class CannotCalibrate(ReidError):
    """There is nothing to calibrate on; the message says what is missing."""

    http_status = 422


@dataclass(frozen=True)
class Sources:
    """Whose images are compared: a collection's people, and strangers of other collections.

    The model's training tells of numbers that mean people in its own identity space only.
    """

    model: ModelRow
    people: CollectionRow
    distractors: tuple[CollectionRow, ...] = ()

    def __post_init__(self) -> None:
        if self.people.id in {row.id for row in self.distractors}:
            raise UsageError(f"{self.people.name!r} cannot be its own --distractors; leave it out")

    @property
    def collections(self) -> tuple[CollectionRow, ...]:
        return (self.people, *self.distractors)

    @property
    def trained(self) -> set[int]:
        return set(self.model.trained_on(self.people.identities)[0])

    @property
    def trained_space(self) -> str | None:
        return self.model.trained_on(self.people.identities)[1]

    @property
    def left_out(self) -> set[int]:
        """The numbers that mean people whom the model was trained on, in `people`."""
        return self.trained if self.trained_space == self.people.identities else set()


@dataclass(frozen=True)
class DistanceReport:
    """A calibration, and what it was made on. `trained_left_out` counts people of the training;
    `same_numbers` people whose number occurs in the training in another identity space."""

    calibration: Calibration
    num_queries: int
    num_gallery: int
    num_strangers: int
    num_without_camera: int
    num_waiting: int
    trained_left_out: int
    same_numbers: int
    reranked: Calibration | None = None


def calibrate_distance(
    connection: Connection, sources: Sources, false_positive_rate: float | None = None
) -> DistanceReport:
    """The limit for `auto`, on people that the model was not trained on.

    The first image of each person and camera is a query, the rest the gallery. Files without a
    pid, people of other identity spaces and the distractors are strangers, unless they are
    byte-identical to an image of `people`. Raises CannotCalibrate, TooFewPeople.
    """
    loaded = [_load(connection, sources.model, row) for row in sources.collections]
    pids = set(loaded[0].pids_G[loaded[0].pids_G > 0].tolist())
    if not pids:
        raise CannotCalibrate(
            f"no file of {sources.people.name!r} names a person; "
            "expected names such as 0474_c3_012345.jpg"
        )
    waiting = count_unsearched(connection, Scope(sources.model, sources.collections))
    own, *others = (_untrained(gallery, sources) for gallery in loaded)
    _check_people(own, sources, len(pids & sources.left_out))
    pairs = _pairs(own, others, sources.people.identities)
    kept = pairs.g_pids != JUNK
    strangers = kept & ~np.isin(pairs.g_pids, list(pids))
    return DistanceReport(
        calibration=choose(pairs, false_positive_rate),
        num_queries=len(pairs.q_pids),
        num_gallery=int(kept.sum()),
        num_strangers=int(strangers.sum()),
        num_without_camera=int(((own.camids_G == UNKNOWN_CAMERA) & (own.pids_G > 0)).sum()),
        num_waiting=waiting,
        trained_left_out=len(pids & sources.left_out),
        same_numbers=0 if sources.left_out else len(pids & sources.trained),
        reranked=choose_reranked(pairs, false_positive_rate),
    )


def _pairs(own: Gallery, others: list[Gallery], identities: str) -> Pairs:
    """Each first image against the rest and the others, without copies of what is known."""
    named = np.flatnonzero(own.pids_G > 0)
    query_N = np.zeros(len(own), bool)
    query_N[named] = single_query_mask(own.pids_G[named], own.camids_G[named])
    queries, rest = _take(own, query_N), [_take(own, ~query_N)]
    for gallery in others:
        fresh = [content not in own.rows_by_hash for content in gallery.hashes_G.tolist()]
        rest.append(_take(gallery, np.array(fresh, bool)))
    contents = {content: number for number, content in enumerate(own.rows_by_hash)}
    return Pairs(
        queries.embeddings_GD,
        queries.pids_G,
        queries.camids_G,
        np.concatenate([gallery.embeddings_GD for gallery in rest]),
        np.concatenate([gallery.people_in(identities) for gallery in rest]),
        np.concatenate([gallery.camids_G for gallery in rest]),
        _numbers(queries, contents),
        np.concatenate([_numbers(gallery, contents) for gallery in rest]),
    )


def calibrate_cutoffs(
    connection: Connection, sources: Sources, annotations: Path
) -> tuple[tuple[ColumnCutoff, ...], int]:
    """(cut-offs of the 26 two-valued columns, annotation rows for nobody).

    Raises BadAnnotations, CannotEvaluate where nobody is annotated, CannotCalibrate where too few
    are whom the model was not trained on.
    """
    annotated = load_annotated(connection, sources.model, sources.people, annotations)
    others = annotated.of_others(sources.left_out)
    people = len(set(others.people_N.tolist()))
    if people < MIN_PEOPLE:
        trained = len(set(annotated.people_N.tolist())) - people
        raise CannotCalibrate(
            f"cut-offs need {MIN_PEOPLE} people with annotations, {annotations} has {people} of "
            f"{sources.people.name!r}{_beside(trained)}; annotate more, or leave out --annotations"
        )
    return (
        choose_cutoffs(others.truth_NC, others.scores_NA, others.people_N),
        annotated.unused_rows,
    )


def _load(connection: Connection, model: ModelRow, collection: CollectionRow) -> Gallery:
    gallery = load_gallery(connection, Scope(model, (collection,)), Question())
    if not len(gallery):
        raise CannotCalibrate(
            f"nothing in {collection.name!r} is stored by model {model.name!r}; "
            "run `reid ingest` first"
        )
    return gallery


def _take(gallery: Gallery, keep_G: Bools) -> Gallery:
    return Gallery(*(getattr(gallery, column.name)[keep_G] for column in fields(gallery)))


def _untrained(gallery: Gallery, sources: Sources) -> Gallery:
    """Without the people that the model was trained on: they are told apart too easily."""
    known_G = np.zeros(len(gallery), bool)
    for space, pids in sources.model.trained_people.items():
        known_G |= (gallery.identities_G == space) & np.isin(gallery.pids_G, list(pids))
    return _take(gallery, ~known_G)


def _numbers(gallery: Gallery, contents: dict[bytes, int]) -> Ints:
    return np.array([contents.get(content, -1) for content in gallery.hashes_G.tolist()], np.int64)


def _check_people(own: Gallery, sources: Sources, trained: int) -> None:
    """Raises CannotCalibrate where too few people were taken by two cameras, or by unknown ones."""
    cameras: dict[int, list[int]] = {}
    for pid, camid in zip(own.pids_G.tolist(), own.camids_G.tolist(), strict=True):
        if pid > 0:
            cameras.setdefault(pid, []).append(camid)
    usable = [pid for pid, seen in cameras.items() if len(set(seen)) > 1 or _unknown_twice(seen)]
    if len(usable) >= MIN_PEOPLE:
        return
    name, beside = sources.people.name, _beside(trained)
    if cameras and not usable:
        raise CannotCalibrate(
            f"nobody of {name!r} was taken by two cameras{beside}, and a limit is chosen on pairs "
            "of images across cameras; ingest the other cameras' images of the same people into it"
        )
    raise CannotCalibrate(
        f"a limit needs {MIN_PEOPLE} people who were taken by two cameras, "
        f"{name!r} has {len(usable)}{beside}; ingest more people whose names are known"
    )


def _beside(trained: int) -> str:
    return f" besides {trained} that the model was trained on" if trained else ""


def _unknown_twice(camids: list[int]) -> bool:
    return camids.count(UNKNOWN_CAMERA) > 1
