"""Evaluation from stored features: no image is read, no network is run.

Equal distances keep the order of the gallery: by path, then collection, then image id, as in every
answer of a search. Distances are equal when their squares round to the same 11 decimals, so that
copies of an image tie wherever a matrix product has put them.
"""

# Q queries, G gallery images

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection

from db.schema import Feature
from errors import ReidError
from gallery.collections import UNNAMED_SPACE, CollectionRow
from gallery.model_rows import ModelRow
from metrics.distances import squared_rows
from metrics.nearby import CANDIDATES
from metrics.reid import (
    DISTRACTOR,
    JUNK,
    Ranking,
    ReidMetrics,
    protocol_masks,
    rank_gallery,
    summarise,
)
from query_sets.batch_search import UNKNOWN_PERSON, Gallery, load_gallery, same_content
from search.distance import Floats32, Floats64, Ints
from search.filters.tree import Filter
from search.question import QueryPerson, Question, Scope
from search.rerank import Reranking, rerank
from search.statement import passing

Bools = npt.NDArray[np.bool_]
_BEYOND = 1e6  # further than any squared distance of what is in a list
# is told of each query: its row, squared distances, who is the same person, what is dropped
Watch = Callable[[int, Floats64, Bools, Bools], None]


class CannotEvaluate(ReidError):
    """There is nothing to evaluate; the message says what is missing."""

    http_status = 422


@dataclass(frozen=True)
class TrainedOn:
    """Evaluated people whose numbers are among those that the model was trained on. A number means
    the same person only where `same_space` is true: the query collection's identity space is the
    model's. Figures over people trained on say nothing about strangers."""

    pids: tuple[int, ...]
    identity_space: str | None
    same_space: bool
    told_apart: bool  # somebody has named another space for them


@dataclass(frozen=True)
class ListQuality:
    """The lists of all queries under the model's own limit, taken together: `precision` is the
    share of their images that show the person, `recall` the share of a person's images that they
    hold, each after the protocol's drops. `distance` is `plain` or `re-ranked`."""

    distance: str
    max_distance: float
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class ReidReport:
    """The metrics, without and with re-ranking, and what they were measured on."""

    metrics: ReidMetrics
    reranked: ReidMetrics | None
    reranking: Reranking | None
    model: str
    num_people: int
    num_gallery: int
    num_distractors: int
    num_aside: int
    trained_on: TrainedOn
    lists: tuple[ListQuality, ...] = ()

    def to_json(self) -> dict[str, Any]:
        trained = len(self.trained_on.pids)
        return {
            **asdict(self.metrics),
            **self.counts(),
            "rerank": self._reranked_json(),
            "lists": [asdict(quality) for quality in self.lists],
            "trained_on": trained if self.trained_on.same_space else 0,
            "trained_on_if_same_space": trained,
            "trained_on_pids": list(self.trained_on.pids),
            "trained_space": self.trained_on.identity_space,
        }

    def counts(self) -> dict[str, Any]:
        """What the figures were measured on."""
        return {
            "num_queries": self.metrics.num_queries,
            "num_valid_queries": self.metrics.num_valid_queries,
            "num_people": self.num_people,
            "num_gallery": self.num_gallery,
            "num_distractors": self.num_distractors,
            "num_aside": self.num_aside,
            "model": self.model,
        }

    def orders(self) -> list[dict[str, Any]]:
        """The figures of each order of the gallery, to be read below each other."""
        chance = {"mAP": self.metrics.chance_mAP, "rank1": self.metrics.chance_rank1}
        return [
            {"order": "by distance", **_figures(self.metrics)},
            *([{"order": "re-ranked", **_figures(self.reranked)}] if self.reranked else []),
            {"order": "random", **dict.fromkeys(_figures(self.metrics)), **chance},
        ]

    def list_rows(self) -> list[dict[str, Any]]:
        """The lists under the model's own limits, one row a distance."""
        rows = [asdict(quality) for quality in self.lists]
        return [{"lists under auto": row.pop("distance"), **row} for row in rows]

    def about_training(self) -> str | None:
        """What to say where the model may know the evaluated people."""
        trained = self.trained_on
        if not trained.pids or trained.told_apart:
            return None
        first = ", ".join(str(pid) for pid in trained.pids[:5])
        people = (
            f"{len(trained.pids)} of the {self.num_people} people "
            f"({first}{', ...' if len(trained.pids) > 5 else ''})"
        )
        if trained.same_space:
            return (
                f"warning: the model was trained on {people}; "
                "the figures say nothing about strangers"
            )
        return (
            f"note: the model was trained on people of {trained.identity_space!r}; if these are "
            f"the same, it knows {people}, and the figures say nothing about strangers "
            "(a collection's people are named by `reid ingest --identities "
            f"{trained.identity_space!r}`)"
        )

    def _reranked_json(self) -> dict[str, Any] | None:
        if not self.reranked or not self.reranking:
            return None
        return {**_figures(self.reranked), **self.reranking.to_json()}


def _figures(metrics: ReidMetrics) -> dict[str, float]:
    return {name: getattr(metrics, name) for name in ("mAP", "mINP", "rank1", "rank5", "rank10")}


@dataclass(frozen=True)
class ReidTask:
    """Queries and gallery with who is who. `g_pids` is a person's number in the queries' identity
    space only; people of other spaces, and files without a number, are distractors. What does not
    pass a filter is `aside_G`: it stands at the end of every list, so that a person who is lost by
    the filter counts as hardly found, and not as never there."""

    model: ModelRow
    query: CollectionRow
    queries: Gallery
    gallery: Gallery
    g_pids: Ints
    aside_G: Bools

    @property
    def rows_Q(self) -> Ints:
        """The rows of `queries` that name a person: the others are nobody's query."""
        return np.flatnonzero(self.queries.pids_G > DISTRACTOR)

    def judged(self, distances: Iterable[Floats64]) -> Iterator[tuple[int, Floats64, Bools, Bools]]:
        """(row of the query, distances, same person, dropped), for each row of distances (G,)."""
        for row, distances_G in zip(self.rows_Q, distances, strict=True):
            camid = int(self.queries.camids_G[row])
            query = QueryPerson("", self.queries.embeddings_GD[row], (self.queries.hashes_G[row],))
            same_person_G, dropped_G = protocol_masks(
                int(self.queries.pids_G[row]),
                None if camid < 0 else camid,
                self.g_pids,
                self.gallery.camids_G,
                same_content(self.gallery, query),
            )
            yield int(row), distances_G + _BEYOND * self.aside_G, same_person_G, dropped_G

    def trained_on(self) -> TrainedOn:
        """Return which of the queries' people may have been in the model's training."""
        own = self.query.identities
        trained, space = self.model.trained_on(own)
        evaluated = set(self.queries.pids_G[self.rows_Q].tolist())
        told_apart = own not in (space, UNNAMED_SPACE)
        return TrainedOn(tuple(sorted(evaluated & trained)), space, own == space, told_apart)


def load_task(
    connection: Connection,
    model: ModelRow,
    query: CollectionRow,
    galleries: tuple[CollectionRow, ...],
    where: Filter | None = None,
) -> ReidTask:
    """Reads features and facts. Raises CannotEvaluate where no query has a pid, or nothing is
    stored by this model."""
    queries = load_gallery(connection, Scope(model, (query,)), Question())
    gallery = load_gallery(connection, Scope(model, galleries), Question())
    for found, names in ((queries, query.name), (gallery, ", ".join(g.name for g in galleries))):
        if not len(found):
            raise CannotEvaluate(
                f"nothing in {names} is stored by model {model.name!r}; run `reid ingest` first"
            )
    if not (queries.pids_G > DISTRACTOR).any():
        raise CannotEvaluate(
            f"no file of {query.name!r} names a person; expected names such as 0474_c3_012345.jpg"
        )
    g_pids = gallery.people_in(query.identities)
    aside_G = np.zeros(len(gallery), bool)
    if where is not None:
        passing_ids = passing(Scope(model, galleries), Question(where), Feature.image_id)
        passed = np.array(connection.scalars(passing_ids).all(), np.int64)
        aside_G = ~np.isin(gallery.ids_G, passed)
    return ReidTask(model, query, queries, gallery, g_pids, aside_G)


def evaluate_reid(
    task: ReidTask, reranking: Reranking | None = None, watch: Watch | None = None
) -> ReidReport:
    """Single-query metrics by the field's protocol (see `metrics.reid`).

    With `reranking`, the same for the lists in their new order; what the protocol drops from a list
    takes part in finding that order, as it does in a search. `watch` is told of each query.
    """
    queries_QD = task.queries.embeddings_GD[task.rows_Q]
    lists = _lists(task, queries_QD, reranked=reranking is not None)
    plain = task.judged(squared_rows(queries_QD, task.gallery.embeddings_GD))
    reranked = None
    if reranking:
        found = rerank(queries_QD, task.gallery.embeddings_GD, reranking)
        reranked = summarise(_rankings(task.judged(found)))
    return ReidReport(
        metrics=summarise(_rankings(plain, watch)),
        reranked=reranked,
        reranking=reranking,
        model=task.model.name,
        num_people=len(set(task.queries.pids_G[task.rows_Q].tolist())),
        num_gallery=int((task.g_pids != JUNK).sum()),
        num_distractors=int(np.isin(task.g_pids, (DISTRACTOR, UNKNOWN_PERSON)).sum()),
        num_aside=int((task.aside_G & (task.g_pids != JUNK)).sum()),
        trained_on=task.trained_on(),
        lists=lists,
    )


def _lists(task: ReidTask, queries_QD: Floats32, *, reranked: bool) -> tuple[ListQuality, ...]:
    """What the lists under the model's own limits hold, by the plain distance and, where asked for,
    by the re-ranked one of a search with a limit; nothing where a limit is not calibrated."""
    gallery_GD, found = task.gallery.embeddings_GD, []
    if (limit := task.model.limit(reranked=False)) is not None:
        plain = squared_rows(queries_QD, gallery_GD)
        found.append(_quality(task, "plain", limit, (np.sqrt(row_G) for row_G in plain)))
    if reranked and (limit := task.model.limit(reranked=True)) is not None:
        new = rerank(queries_QD, gallery_GD, Reranking(candidates=CANDIDATES))
        found.append(_quality(task, "re-ranked", limit, new))
    return tuple(found)


def _quality(
    task: ReidTask, distance: str, limit: float, distances: Iterable[Floats64]
) -> ListQuality:
    hits = listed = positives = 0
    for _, distances_G, same_person_G, dropped_G in task.judged(distances):
        kept_G = same_person_G & ~dropped_G
        if not kept_G.any():
            continue  # no valid query
        in_list_G = (distances_G <= limit) & ~dropped_G
        hits += int((in_list_G & kept_G).sum())
        listed += int(in_list_G.sum())
        positives += int(kept_G.sum())
    return ListQuality(
        distance,
        limit,
        precision=hits / listed if listed else 0.0,
        recall=hits / positives if positives else 0.0,
        f1=2 * hits / (listed + positives) if listed + positives else 0.0,
    )


def _rankings(
    judged: Iterable[tuple[int, Floats64, Bools, Bools]], watch: Watch | None = None
) -> Iterator[Ranking]:
    for row, distances_G, same_person_G, dropped_G in judged:
        if watch:
            watch(row, distances_G, same_person_G, dropped_G)
        yield rank_gallery(distances_G, same_person_G, dropped_G)
