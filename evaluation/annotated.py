"""Stored images of a collection with their rows of an annotation file."""

# N images, C=27 columns, A=56 scores

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, text

from db.spelling import one_form
from evaluation.evaluate_reid import CannotEvaluate
from gallery.collections import CollectionRow
from gallery.model_rows import ModelRow
from images.annotations import read_annotations
from vocabulary import values_in_order


@dataclass(frozen=True)
class Annotated:
    """Images that have a row, all of one length, in the order of their paths.

    Values count from 1; a truth of 0 is unknown. A person is a pid, or the path where the file
    names nobody. `unused_rows` counts the annotations of people and files that the collection does
    not have.
    """

    truth_NC: npt.NDArray[np.int64]
    decided_NC: npt.NDArray[np.int64]
    scores_NA: npt.NDArray[np.float32]
    people_N: npt.NDArray[np.object_]
    unused_rows: int

    def of_others(self, pids: set[int]) -> "Annotated":
        """The images of everybody but these people."""
        keep = np.array([person not in pids for person in self.people_N.tolist()], bool)
        return Annotated(
            self.truth_NC[keep],
            self.decided_NC[keep],
            self.scores_NA[keep],
            self.people_N[keep],
            self.unused_rows,
        )


def load_annotated(
    connection: Connection, model: ModelRow, collection: CollectionRow, annotations: Path
) -> Annotated:
    """An id of the file is a pid, a path or a file name; the more exact one wins.

    Raises BadAnnotations, CannotEvaluate where no stored image has a row.
    """
    truth = read_annotations(annotations)
    rows = connection.execute(
        text(
            "SELECT i.path, i.pid, f.labels, f.scores FROM feature f"
            " JOIN image i ON i.id = f.image_id"
            " WHERE f.model_id = :model AND i.collection_id = :collection"
            ' ORDER BY i.path COLLATE "C", i.id'
        ),
        {"model": model.id, "collection": collection.id},
    ).all()
    used, found = set(), []
    alike = {one_form(name): name for name in truth}
    for path, pid, labels, scores in rows:
        names = (path, path.rsplit("/", 1)[-1], str(pid))
        key = next((name for name in names if name in truth), None)
        key = key or next((alike[form] for form in map(one_form, names) if form in alike), None)
        if key is not None:
            used.add(key)
            found.append(
                (truth[key], values_in_order(labels), scores, path if pid is None else pid)
            )
    if not found:
        raise CannotEvaluate(
            f"no image of {collection.name!r} has a row in {annotations}; its ids are pids "
            "such as 474, or file names such as 001609.jpg"
        )
    if not any(value for item in found for value in item[0]):
        raise CannotEvaluate(
            f"{annotations} knows no value of any image of {collection.name!r}: every cell is empty"
        )
    return Annotated(
        np.array([item[0] for item in found]),
        np.array([item[1] for item in found]),
        np.array([item[2] for item in found], np.float32),
        np.array([item[3] for item in found], object),
        len(set(truth) - used),
    )
