"""Deciding stored labels again, from the scores that are stored beside them."""

from typing import Any

import numpy as np
from sqlalchemy import Connection, Row, text

from gallery.collections import all_collections, lock_collections, raise_revision
from gallery.model_rows import current_cutoffs
from vocabulary import decide

_CHUNK = 5_000


def decide_again(connection: Connection, model_id: int) -> int:
    """Decides every image of a model by its current cut-offs; gives the number of images changed.

    In the caller's transaction, after the cut-offs were set in it: no batch is stored meanwhile.
    Collections whose labels changed are noted as changed: runs made before are stale.
    """
    cutoffs = current_cutoffs(connection, model_id)
    changed_in: set[int] = set()
    count, last = 0, 0
    while rows := _features_after(connection, model_id, last):
        last = rows[-1].image_id
        # as float32, which they are: a cut-off may lie between a score and its decimal form
        scores_NA = np.array([row.scores for row in rows], np.float32)
        decided = [decide(scores, cutoffs) for scores in scores_NA.tolist()]
        pairs = zip(rows, decided, strict=True)
        changed = [(row, labels) for row, labels in pairs if row.labels != labels]
        changed_in |= {row.collection_id for row, _ in changed}
        count += len(changed)
        _store_labels(connection, model_id, {row.image_id: labels for row, labels in changed})
    for collection_id in sorted(changed_in):
        raise_revision(connection, collection_id)
    return count


def lock_all_collections(connection: Connection) -> None:
    """Shares every collection until the transaction ends; to be taken before any row."""
    lock_collections(connection, (row.id for row in all_collections(connection)), exclusive=False)


def _features_after(connection: Connection, model_id: int, last: int) -> list[Row[Any]]:
    return list(
        connection.execute(
            text(
                "SELECT image_id, collection_id, labels, scores FROM feature"
                " WHERE model_id = :model AND image_id > :last ORDER BY image_id LIMIT :chunk"
            ),
            {"model": model_id, "last": last, "chunk": _CHUNK},
        )
    )


def _store_labels(connection: Connection, model_id: int, labels_of: dict[int, list[int]]) -> None:
    if not labels_of:
        return
    connection.execute(
        text(
            "UPDATE feature SET labels = CAST(f.labels AS smallint[])"
            " FROM unnest(:ids ::bigint[], :labels ::text[]) AS f(id, labels)"
            " WHERE model_id = :model AND image_id = f.id"
        ),
        {
            "model": model_id,
            "ids": list(labels_of),
            # unnest would flatten an array of arrays
            "labels": ["{" + ",".join(map(str, labels)) + "}" for labels in labels_of.values()],
        },
    )
