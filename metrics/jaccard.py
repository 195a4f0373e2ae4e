"""k-reciprocal neighbours of a whole set of images, as sparse matrices.

The definitions are those of `search.rerank`: N(i, k), R(i, k), R*(i), V(i). Distances pass by in
blocks of float32 products, which only propose each image's nearest; the order among these is
decided by float64 differences. What stays of an image are its neighbours and the entries of V,
about a hundred numbers whatever the size of the set: nothing of size N^2 is ever held.
"""

# N images, K nearest of each, D=512 embedding numbers, B rows of a block, P pairs

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
from scipy import sparse

from metrics.distances import DECIMALS

Floats32 = npt.NDArray[np.float32]
Floats64 = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_CELLS = 2**21  # of one block of products: 8 MiB
_PAIRS = 512  # pairs of embeddings that are subtracted together: they stay in the cache
_ROUNDING = 4e-6  # of |a|^2 + |b|^2, for the expanded square in float32

Told = Callable[[int], object]  # how many more images have been gone through


def neighbours(images_ND: Floats32, number: int, told: Told | None = None) -> tuple[Ints, Floats64]:
    """(K=`number` nearest images of each, itself first, ties in the order of the images; each
    image's largest squared distance to any, 1 where all are equal)."""
    total = len(images_ND)
    number = min(number, total)
    own_N = np.einsum("nd,nd->n", images_ND, images_ND)
    slack = np.float32(_ROUNDING * 4 * own_N.max(initial=0))
    nearest_NK = np.empty((total, number), np.int64)
    farthest_N = np.empty(total, np.int64)
    rows = max(1, _CELLS // max(1, total))
    for start in range(0, total, rows):
        squares_BN = (-2 * images_ND[start : start + rows]) @ images_ND.T
        near = []
        for image, squares_N in enumerate(squares_BN, start):
            squares_N += own_N  # less the same number of the whole row
            farthest_N[image] = squares_N.argmax()
            squares_N[image] = -np.inf
            limit = np.partition(squares_N, number - 1)[number - 1]
            near.append(np.flatnonzero(squares_N <= limit + slack))
        nearest_NK[start : start + rows] = _decided(images_ND, start, near, number)
        if told:
            told(len(near))
    largest_N = _squares(images_ND, np.arange(total), farthest_N)
    largest_N[largest_N == 0] = 1
    return nearest_NK, largest_N


def _decided(images_ND: Floats32, start: int, near: list[Ints], number: int) -> Ints:
    """The nearest of what was proposed for the images from `start` on, decided in float64."""
    sizes_B = np.array([len(one) for one in near])
    columns_P = np.concatenate(near)
    rows_P = np.repeat(np.arange(start, start + len(near)), sizes_B)
    squares_P = _squares(images_ND, rows_P, columns_P)
    squares_P[rows_P == columns_P] = -1  # itself first, before its copies
    order_P = np.lexsort((columns_P, squares_P, rows_P))
    first_B = np.cumsum(sizes_B) - sizes_B
    nearest_BK: Ints = columns_P[order_P][first_B[:, None] + np.arange(number)]
    return nearest_BK


def _squares(images_ND: Floats32, rows_P: Ints, columns_P: Ints) -> Floats64:
    """Squared distances of pairs in float64, rounded so that equal ones stay equal."""
    squares_P = np.empty(len(rows_P))
    for start in range(0, len(rows_P), _PAIRS):
        part = slice(start, start + _PAIRS)
        difference_PD = images_ND[rows_P[part]].astype(np.float64) - images_ND[columns_P[part]]
        squares_P[part] = np.einsum("pd,pd->p", difference_PD, difference_PD)
    return squares_P.round(DECIMALS, out=squares_P)


def encoded(
    images_ND: Floats32, nearest_NK: Ints, largest_N: Floats64, k1: int, k2: int
) -> sparse.csr_array:
    """V of every image, (N, N): rows sum to one."""
    whole = mutual(nearest_NK[:, : k1 + 1])
    half = mutual(nearest_NK[:, : round(k1 / 2) + 1])
    common = (whole @ half.T).multiply(whole).tocoo()
    sizes_N = np.diff(half.indptr)
    joins = 3 * common.data > 2 * sizes_N[common.col]
    joined = _of_ones(common.row[joins], common.col[joins], len(images_ND))
    grown = (whole + joined @ half).tocoo()
    weights = np.exp(-_squares(images_ND, grown.row, grown.col) / largest_N[grown.row])
    sums_N = np.bincount(grown.row, weights, minlength=len(images_ND))
    weights /= sums_N[grown.row]
    vectors = sparse.csr_array((weights, (grown.row, grown.col)), shape=grown.shape)
    averaged = _of_nearest(nearest_NK[:, :k2]) @ vectors
    averaged.data /= min(k2, nearest_NK.shape[1])
    averaged.sort_indices()
    return averaged


def _of_ones(rows: Ints, columns: Ints, number: int) -> sparse.csr_array:
    return sparse.csr_array((np.ones(len(rows), np.int32), (rows, columns)), shape=(number, number))


def _of_nearest(nearest_NK: Ints) -> sparse.csr_array:
    """A one for each of an image's nearest."""
    number, nearest = nearest_NK.shape
    return _of_ones(np.repeat(np.arange(number), nearest), nearest_NK.ravel(), number)


def mutual(nearest_NK: Ints) -> sparse.csr_array:
    """R: a one where each of two images is among the other's nearest."""
    near = _of_nearest(nearest_NK)
    both: sparse.csr_array = near.multiply(near.T).tocsr()
    return both


def shared(rows: sparse.csr_array, columns: sparse.csc_array, count: int) -> Iterator[Floats64]:
    """sum min(V(i), V(j)) of `count` images j, one row (count,) an image i of `rows`, in order.
    `columns` holds the V of the images j by column."""
    for row in range(rows.shape[0]):
        own = slice(rows.indptr[row], rows.indptr[row + 1])
        starts, ends = columns.indptr[rows.indices[own]], columns.indptr[rows.indices[own] + 1]
        sizes = ends - starts
        first = np.cumsum(sizes) - sizes
        at = np.arange(sizes.sum()) + np.repeat(starts - first, sizes)
        least: Floats64 = np.minimum(np.repeat(rows.data[own], sizes), columns.data[at])
        yield np.bincount(columns.indices[at], least, count).astype(np.float64, copy=False)
