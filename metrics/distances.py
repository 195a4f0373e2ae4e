"""Squared L2 distances of many rows to many, a block at a time, exact enough to order near rows."""

# N rows, G gallery rows, B rows of one block, D=512 embedding numbers

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

DECIMALS = 11  # in float64: squared distances that differ by less are equal
_CELLS = 2**21  # of one block: 16 MiB
FloatRows = npt.NDArray[np.float32]
Floats64 = npt.NDArray[np.float64]


def squared_blocks(rows_ND: FloatRows, gallery_GD: FloatRows) -> Iterator[Floats64]:
    """Squared L2 distances, (B, G) at a time, in the order of the rows; lower is closer.

    By matrix products in float64, rounded to `DECIMALS`: products of equal rows may differ in their
    last bits, and equal distances must stay equal for ties to keep the gallery's order. The rows
    need not have length 1.
    """
    rows_a_block = max(1, _CELLS // max(1, len(gallery_GD)))
    gallery_DG = gallery_GD.astype(np.float64).T
    own_G = np.einsum("dg,dg->g", gallery_DG, gallery_DG)
    for start in range(0, len(rows_ND), rows_a_block):
        block_BD = rows_ND[start : start + rows_a_block].astype(np.float64)
        squares_BG = block_BD @ gallery_DG
        squares_BG *= -2
        squares_BG += own_G
        squares_BG += np.einsum("bd,bd->b", block_BD, block_BD)[:, None]
        np.round(squares_BG, DECIMALS, out=squares_BG)
        yield np.maximum(squares_BG, 0, out=squares_BG)


def squared_rows(rows_ND: FloatRows, gallery_GD: FloatRows) -> Iterator[Floats64]:
    """Yield what `squared_blocks` does, one row (G,) at a time."""
    for squares_BG in squared_blocks(rows_ND, gallery_GD):
        yield from squares_BG


def l2_distances(rows_ND: FloatRows, gallery_GD: FloatRows) -> Floats64:
    """L2 distances (N, G), all at once."""
    if not len(rows_ND):
        return np.empty((0, len(gallery_GD)))
    distances_NG: Floats64 = np.sqrt(np.concatenate(list(squared_blocks(rows_ND, gallery_GD))))
    return distances_NG
