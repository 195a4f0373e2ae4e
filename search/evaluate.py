"""Evaluation from stored features: no image is read, no network is run."""

# Q queries, G gallery images

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, text

from db.attributes import COLUMNS, column_values
from db.collections import CollectionRow
from db.models import ModelRow
from errors import ReidError
from models.annotations import read_annotations
from models.attribute_metrics import AttributeMetrics, evaluate_attributes
from models.metrics import (
    DISTRACTOR,
    JUNK,
    Ranking,
    ReidMetrics,
    protocol_masks,
    rank_gallery,
    summarise,
)
from search.bulk import UNKNOWN_PERSON, Gallery, load_gallery, same_content
from search.question import QueryPerson, Question, Scope

_BLOCK = 128
_DECIMALS = 11  # of a squared distance in float64: what differs less is a tie, kept in path order


class CannotEvaluate(ReidError):
    """There is nothing to evaluate; the message says what is missing."""


@dataclass(frozen=True)
class ReidReport:
    """The metrics, and what they were measured on. `trained_on` are evaluated people that the
    model was trained on: figures over them say nothing about strangers."""

    metrics: ReidMetrics
    model: str
    num_gallery: int
    num_distractors: int
    trained_on: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            **asdict(self.metrics),
            "num_gallery": self.num_gallery,
            "num_distractors": self.num_distractors,
            "model": self.model,
            "trained_on": len(self.trained_on),
        }


def evaluate_reid(
    connection: Connection,
    model: ModelRow,
    query: CollectionRow,
    galleries: tuple[CollectionRow, ...],
) -> ReidReport:
    """Single-query metrics by the field's protocol (see `models.metrics`).

    Gallery files without a pid, and people of another identity space, are distractors. Raises
    CannotEvaluate where no query has a pid, or nothing is stored by this model.
    """
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
    known = gallery.identities_G == query.identities
    g_pids = np.where(known | (gallery.pids_G == JUNK), gallery.pids_G, UNKNOWN_PERSON)
    evaluated = {int(pid) for pid in queries.pids_G if pid > DISTRACTOR}
    trained = set(model.header.get("trained_pids", ()))
    same_space = model.header.get("identity_space") == query.identities
    return ReidReport(
        metrics=summarise(_rankings(queries, gallery, g_pids)),
        model=model.name,
        num_gallery=int((g_pids != JUNK).sum()),
        num_distractors=int(((g_pids == DISTRACTOR) | (g_pids == UNKNOWN_PERSON)).sum()),
        trained_on=tuple(sorted(evaluated & trained)) if same_space else (),
    )


def _rankings(queries: Gallery, gallery: Gallery, g_pids: Any) -> Iterator[Ranking]:
    gallery_GD = gallery.embeddings_GD.astype(np.float64)
    squares_G = np.einsum("gd,gd->g", gallery_GD, gallery_GD)
    people = np.flatnonzero(queries.pids_G > DISTRACTOR)
    for start in range(0, len(people), _BLOCK):
        rows = people[start : start + _BLOCK]
        block_QD = queries.embeddings_GD[rows].astype(np.float64)
        own_Q = np.einsum("qd,qd->q", block_QD, block_QD)
        squares_QG = own_Q[:, None] + squares_G - 2 * block_QD @ gallery_GD.T
        for row, squares in zip(rows, squares_QG.round(_DECIMALS), strict=True):
            camid = int(queries.camids_G[row])
            query = QueryPerson("", queries.embeddings_GD[row], (queries.hashes_G[row],))
            same_person, dropped = protocol_masks(
                int(queries.pids_G[row]),
                None if camid < 0 else camid,
                g_pids,
                gallery.camids_G,
                same_content(gallery, query),
            )
            yield rank_gallery(squares, same_person, dropped)


def evaluate_attribute_scores(
    connection: Connection, model: ModelRow, collection: CollectionRow, annotations: Path
) -> tuple[AttributeMetrics, int]:
    """(metrics, annotation rows for nobody). An id of the file is a pid, or a file name.

    Raises CannotEvaluate where no stored image has an annotation.
    """
    truth = read_annotations(annotations)
    rows = connection.execute(
        text(
            "SELECT i.path, i.pid, f.labels, f.scores FROM feature f"
            " JOIN image i ON i.id = f.image_id"
            " WHERE f.model_id = :model AND i.collection_id = :collection ORDER BY i.id"
        ),
        {"model": model.id, "collection": collection.id},
    ).all()
    used, found = set(), []
    for path, pid, labels, scores in rows:
        name = path.rsplit("/", 1)[-1]
        key = next((k for k in (path, name, str(pid)) if k in truth), None)
        if key is not None:
            used.add(key)
            person = pid if pid is not None else name
            found.append((truth[key], _values(labels), scores, person))
    if not found:
        raise CannotEvaluate(
            f"no image of {collection.name!r} has a row in {annotations}; its ids are pids "
            "such as 474, or file names such as 001609.jpg"
        )
    metrics = evaluate_attributes(
        np.array([item[0] for item in found]),
        np.array([item[1] for item in found]),
        np.array([item[2] for item in found], np.float64),
        np.array([item[3] for item in found], object),
    )
    return metrics, len(set(truth) - used)


def _values(labels: list[int]) -> list[int]:
    values = column_values(labels)
    return [values[column] for column in COLUMNS]
