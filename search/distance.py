"""The one definition of distance: float64 L2 of the stored float32 numbers, ties by path.

Postgres and matrix products compute it in float32; they only propose candidates, with a margin
wide enough for their rounding, and what is answered is decided here.
"""

# N pairs or rows, G gallery images, D=512 embedding numbers

import numpy as np
import numpy.typing as npt

_MARGIN = 1e-5  # of the distance that SQL computes in float32, and of it times its length above 1
_SQUARE_MARGIN = 4e-6  # of |q|^2 + |g|^2, for the expanded square in float32

Floats32 = npt.NDArray[np.float32]
Floats64 = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def margin(distance: float) -> float:
    """How far Postgres' distance may be from the exact one, at most; its error grows with it."""
    return _MARGIN * max(1.0, distance)


def exact_l2(query_D: Floats32, rows_ND: Floats32) -> Floats64:
    """L2 distances (N,) of one query to each row, subtracted first, in float64."""
    difference_ND = rows_ND.astype(np.float64) - query_D.astype(np.float64)
    squares_N: Floats64 = np.einsum("nd,nd->n", difference_ND, difference_ND)
    return np.sqrt(squares_N)


def nearest(
    query_D: Floats32,
    squares_G: Floats32,
    gallery_GD: Floats32,
    allowed_G: npt.NDArray[np.bool_] | None,
    max_distance: float | None,
    limit: int | None,
    scale: float,
) -> tuple[Ints, Floats64]:
    """(rows, distances) of one query, closest first; equal distances keep the gallery's order.

    `squares_G` are float32 squared distances by the expanded form, `scale` the largest
    |q|^2 + |g|^2, which bounds their rounding.
    """
    slack = scale * _SQUARE_MARGIN
    bound = np.inf if max_distance is None else max_distance**2 + slack
    if limit is not None and limit < len(squares_G):
        among_G = squares_G if allowed_G is None else np.where(allowed_G, squares_G, np.inf)
        bound = min(bound, float(np.partition(among_G, limit - 1)[limit - 1]) + 2 * slack)
    rows = np.flatnonzero(squares_G <= bound)
    if allowed_G is not None:
        rows = rows[allowed_G[rows]]
    distances = exact_l2(query_D, gallery_GD[rows])
    if max_distance is not None:
        keep = distances <= max_distance
        rows, distances = rows[keep], distances[keep]
    order = np.argsort(distances, kind="stable")[:limit]
    return rows[order], distances[order]
