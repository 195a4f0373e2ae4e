"""The re-ranked distance of one query: k-reciprocal neighbours among its closest images.

The definitions are those of `search.rerank`, for the query and its candidates as if these were all
images there are. The candidates are few (`Reranking.candidates`), so that their squares fit a
processor's cache: dense matrices of C x C numbers are quicker here than sparse ones.
"""

# C candidates, N=C+1 images, the query first, K nearest of each, H nearest of the half list,
# S images that the query's V holds, D=512 embedding numbers

import numpy as np
import numpy.typing as npt

from metrics.distances import DECIMALS

CANDIDATES = 200  # of a list with a distance limit, of every stored query and every calibration
K1, K2, LAMBDA = 20, 6, 0.3  # the paper's numbers

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Floats32 = npt.NDArray[np.float32]
Floats64 = npt.NDArray[np.float64]


def rerank_nearby(
    query_D: Floats32,
    candidates_CD: Floats32,
    k1: int = K1,
    k2: int = K2,
    lambda_: float = LAMBDA,
) -> Floats64:
    """New distances (C,) in [0, 1], rounded to `DECIMALS`; lower is closer. Ties of the plain
    distances keep the order of the candidates."""
    images_ND = np.concatenate([query_D[None], candidates_CD]).astype(np.float64)
    squares_NN, largest_N = _squares(images_ND)
    nearest_NK = _nearest(squares_NN, max(k1 + 1, k2))
    vectors_NN = _encoded(squares_NN, largest_N, nearest_NK[:, : k1 + 1], k1)
    nearest_NK = nearest_NK[:, :k2]
    own_N = vectors_NN[nearest_NK[0]].mean(axis=0)
    held_S = np.flatnonzero(own_N)
    averaged_NS = vectors_NN[:, held_S][nearest_NK].mean(axis=1)
    shared_N = np.minimum(averaged_NS, own_N[held_S]).sum(axis=1)
    jaccard_C = 1 - shared_N[1:] / (2 - shared_N[1:])  # each V sums to one
    squares_C = np.maximum(squares_NN[0, 1:], 0)
    mixed_C = (1 - lambda_) * jaccard_C + lambda_ * squares_C / largest_N[0]
    # rounding may leave a zero below zero
    distances_C: Floats64 = np.maximum(mixed_C.round(DECIMALS), 0.0)
    return distances_C


def _squares(images_ND: Floats64) -> tuple[Floats64, Floats64]:
    """(squared distances, an image's to itself -1 so that it comes before its copies; the largest
    of each row, 1 where all are equal)."""
    squares_NN = images_ND @ images_ND.T
    own_N = squares_NN.diagonal().copy()
    squares_NN *= -2
    squares_NN += own_N
    squares_NN += own_N[:, None]
    np.round(squares_NN, DECIMALS, out=squares_NN)
    np.maximum(squares_NN, 0, out=squares_NN)
    largest_N = squares_NN.max(axis=1)
    largest_N[largest_N == 0] = 1
    np.fill_diagonal(squares_NN, -1)
    return squares_NN, largest_N


def _nearest(squares_NN: Floats64, number: int) -> Ints:
    """The nearest of each image, (N, K); of equals the first."""
    number = min(number, len(squares_NN))
    limit_N = np.partition(squares_NN, number - 1, axis=1)[:, number - 1]
    rows, columns = np.nonzero(squares_NN <= limit_N[:, None])
    order = np.lexsort((columns, squares_NN[rows, columns], rows))
    sizes_N = np.bincount(rows, minlength=len(squares_NN))
    first_N = np.cumsum(sizes_N) - sizes_N
    nearest_NK: Ints = columns[order][first_N[:, None] + np.arange(number)]
    return nearest_NK


def _mutual(nearest_NK: Ints) -> Bools:
    """R: whether each of two images is among the other's nearest, (N, N)."""
    near_NN = np.zeros((len(nearest_NK), len(nearest_NK)), bool)
    np.put_along_axis(near_NN, nearest_NK, True, axis=1)
    mutual_NN: Bools = near_NN & near_NN.T
    return mutual_NN


def _encoded(squares_NN: Floats64, largest_N: Floats64, nearest_NK: Ints, k1: int) -> Floats64:
    """V before averaging: the weights of R* of each image, (N, N)."""
    grown_NN = _mutual(nearest_NK)
    half_NH = nearest_NK[:, : round(k1 / 2) + 1]
    in_half_NH = np.take_along_axis(_mutual(half_NH), half_NH, axis=1)
    rows, at = np.nonzero(np.take_along_axis(grown_NN, nearest_NK, axis=1))
    joining = nearest_NK[rows, at]  # each of R with the image that it may join
    half, in_half = half_NH[joining], in_half_NH[joining]
    common = (grown_NN[rows[:, None], half] & in_half).sum(axis=1)
    joins = 3 * common > 2 * in_half.sum(axis=1)
    more_rows = np.repeat(rows[joins], half.shape[1])[in_half[joins].ravel()]
    grown_NN[more_rows, half[joins][in_half[joins]]] = True
    weights_NN = np.zeros_like(squares_NN)
    rows, columns = np.nonzero(grown_NN)
    squares = np.maximum(squares_NN[rows, columns], 0)
    weights_NN[rows, columns] = np.exp(-squares / largest_N[rows])
    weights_NN /= weights_NN.sum(axis=1, keepdims=True)
    return weights_NN
