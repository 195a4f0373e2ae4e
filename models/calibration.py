"""The distance limit for `auto`, from identities that the model was never trained on."""

# Q queries, G gallery images, S strangers, D=512 embedding numbers

import numpy as np
import numpy.typing as npt

from errors import ReidError
from models.metrics import Threshold, best_f1_threshold, protocol_masks

MIN_PEOPLE = 20  # below it, the limit would follow a handful of people
FloatRows = npt.NDArray[np.float32]
Ints = npt.NDArray[np.integer]


class TooFewPeople(ReidError):
    """There are too few identities to choose a limit on."""


def calibrate(
    queries_QD: FloatRows,
    q_pids: Ints,
    q_camids: Ints,
    gallery_GD: FloatRows,
    g_pids: Ints,
    g_camids: Ints,
    strangers_SD: FloatRows | None = None,
) -> Threshold:
    """The F1-optimal limit over all query-gallery pairs that the protocol keeps.

    `strangers_SD` stand for the gallery's share of other people: the best limit moves with it.
    Raises TooFewPeople.
    """
    people = len(set(q_pids.tolist()))
    if people < MIN_PEOPLE:
        raise TooFewPeople(f"a limit needs {MIN_PEOPLE} people held out, got {people}")
    positive, negative = [], []
    for query_D, pid, camid in zip(queries_QD, q_pids, q_camids, strict=True):
        distances_G = _l2(query_D, gallery_GD)
        same, dropped = protocol_masks(int(pid), int(camid), g_pids, g_camids)
        positive.append(distances_G[same & ~dropped])
        negative.append(distances_G[~same & ~dropped])
        if strangers_SD is not None:
            negative.append(_l2(query_D, strangers_SD))
    return best_f1_threshold(np.concatenate(positive), np.concatenate(negative))


def _l2(query_D: FloatRows, rows_ND: FloatRows) -> npt.NDArray[np.float32]:
    distances: npt.NDArray[np.float32] = np.linalg.norm(rows_ND - query_D, axis=1)
    return distances
