"""k-reciprocal re-ranking: an image is close when it has the same neighbours as the query.

Zhong, Zheng, Cao, Li: Re-ranking Person Re-identification with k-reciprocal Encoding, CVPR 2017.
Queries and gallery together are one set of images. Of each image i

- N(i, k): its k nearest, and itself, which is always the first; ties keep the order of the images.
- R(i, k): those j of N(i, k) that have i in N(j, k) too.
- R*(i): R(i, k1), joined by R(j, k1/2) of each of its j when more than two thirds of that lie in
  R(i, k1). The paper says "at least", the authors' program and every figure since "more than".
- V(i): exp(-d(i, j)) for j of R*(i), else 0, divided by the sum; then the mean over the k2 first
  images of N(i, .), itself among them.

The new distance of a query q and an image g is

    (1 - lambda) * (1 - sum min(V(q), V(g)) / sum max(V(q), V(g))) + lambda * d(q, g)

d(i, j) is not the plain distance but, as in the authors' program, the *squared* L2 distance divided
by the largest squared distance of i to any image. Divided, because both terms then lie in [0, 1]
and lambda means the same for every network: embeddings of this program may have length 1 or 22, and
exp(-d) of the latter would leave the nearest image alone. Squared, because published figures are.
d(i, j) and d(j, i) hence differ; a query's list needs the query's own only.

Nothing of size (Q + G)^2 is ever held: distances pass by in blocks, and what stays of an image are
its neighbours and the entries of V, some hundred numbers whatever the size of the gallery.
"""

# Q queries, G gallery images, N=Q+G images, K nearest of each, D=512 embedding numbers
# n images of a chunk, H nearest of the half list, E entries that are not zero, C candidates

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.distances import DECIMALS, squared_blocks, squared_rows
from search.distance import Floats32, Floats64, Ints, exact_l2
from search.question import BadQuestion
from search.sparse import SparseRows

_CHUNK = 512  # images whose neighbours' neighbours are looked at together
_PAIRS = 4096  # pairs of embeddings that are subtracted together

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Reranking:
    """The paper's three numbers, and how many of a query's closest images are put in a new order.

    Without `candidates` the whole gallery is, all queries are each other's possible neighbours, as
    in published figures. With it each query stands alone, as in a search: its closest images are
    the whole gallery that it knows, and the rest keep their order after them.
    """

    k1: int = 20
    k2: int = 6
    lambda_: float = 0.3
    candidates: int | None = None

    def __post_init__(self) -> None:
        if self.k1 < 1 or self.k2 < 1 or not 0 <= self.lambda_ <= 1:
            raise BadQuestion("re-ranking needs k1 and k2 of 1 or more, and lambda from 0 to 1")
        if self.candidates is not None and self.candidates < 1:
            raise BadQuestion(f"re-ranking got {self.candidates} candidates; expected 1 or more")

    def to_json(self) -> dict[str, Any]:
        return {
            "k1": self.k1,
            "k2": self.k2,
            "lambda": self.lambda_,
            "candidates": self.candidates,
        }


def rerank(
    queries_QD: Floats32, gallery_GD: Floats32, how: Reranking | None = None
) -> Iterator[Floats64]:
    """New distances (G,) of each query, in the order of the queries; lower is closer.

    In [0, 1]; images beyond the candidates have 1 plus their old distance d. Rounded to 11
    decimals: where they are equal, callers keep the order of the gallery.
    """
    how = how or Reranking()
    if how.candidates is None:
        yield from _together(queries_QD, gallery_GD, how)
        return
    for query_D, squares_G in zip(queries_QD, squared_rows(queries_QD, gallery_GD), strict=True):
        closest = np.sort(np.argsort(squares_G, kind="stable")[: how.candidates])
        distances_G = 1 + squares_G / _divisor(squares_G.max(initial=0))
        distances_G[closest] = next(_together(query_D[None], gallery_GD[closest], how))
        yield distances_G


def _together(queries_QD: Floats32, gallery_GD: Floats32, how: Reranking) -> Iterator[Floats64]:
    number = len(queries_QD)
    images_ND = np.concatenate([queries_QD, gallery_GD])
    nearest_NK, largest_N = _neighbours(images_ND, max(how.k1 + 1, how.k2))
    vectors = _encoded(images_ND, nearest_NK[:, : how.k1 + 1], largest_N, how.k1)
    vectors = _averaged(vectors, nearest_NK[:, : how.k2])
    in_gallery = vectors.starts_R[number]
    holders = SparseRows.of(  # for each image, the gallery images that have it in their V
        vectors.columns_E[in_gallery:],
        vectors.rows_E[in_gallery:] - number,
        vectors.values_E[in_gallery:],
        len(images_ND),
    )
    for query, squares_G in enumerate(squared_rows(queries_QD, gallery_GD)):
        own = slice(vectors.starts_R[query], vectors.starts_R[query + 1])
        which, at = holders.entries(vectors.columns_E[own])
        shared = np.minimum(vectors.values_E[own][which], holders.values_E[at])
        shared_G = np.bincount(holders.columns_E[at], shared, minlength=len(gallery_GD))
        jaccard_G = 1 - shared_G / (2 - shared_G)  # each V sums to one
        mixed_G = (1 - how.lambda_) * jaccard_G + how.lambda_ * squares_G / largest_N[query]
        yield mixed_G.round(DECIMALS)


def _divisor(largest: float) -> float:
    """The largest squared distance to divide by; where all images are equal, anything but 0."""
    return largest or 1.0


def _neighbours(images_ND: Floats32, number: int) -> tuple[Ints, Floats64]:
    """(K nearest images of each, closest first; its largest squared distance to any)."""
    number = min(number, len(images_ND))
    nearest_NK = np.empty((len(images_ND), number), np.int64)
    largest_N = np.empty(len(images_ND))
    image = 0
    for squares_BN in squared_blocks(images_ND, images_ND):
        for squares_N in squares_BN:
            largest_N[image] = _divisor(squares_N.max())
            squares_N[image] = -1  # itself first, before its copies
            limit = np.partition(squares_N, number - 1)[number - 1]
            close = np.flatnonzero(squares_N <= limit)
            order = np.argsort(squares_N[close], kind="stable")
            nearest_NK[image] = close[order[:number]]
            image += 1
    return nearest_NK, largest_N


def _mutual(nearest_NK: Ints) -> Bools:
    """Whether each neighbour has the image among its own, (N, K)."""
    mutual_NK = np.empty(nearest_NK.shape, bool)
    for start in range(0, len(nearest_NK), _CHUNK):
        near_nK = nearest_NK[start : start + _CHUNK]
        images_n = np.arange(start, start + len(near_nK))
        found_nKK = nearest_NK[near_nK] == images_n[:, None, None]
        mutual_NK[start : start + _CHUNK] = found_nKK.any(axis=2)
    return mutual_NK


def _encoded(images_ND: Floats32, nearest_NK: Ints, largest_N: Floats64, k1: int) -> SparseRows:
    """V before averaging: the weights of R* of each image."""
    mutual_NK = _mutual(nearest_NK)
    half_NH = nearest_NK[:, : round(k1 / 2) + 1]
    mutual_NH = _mutual(half_NH)
    number, parts = len(images_ND), []
    for start in range(0, number, _CHUNK):
        near_nK = nearest_NK[start : start + _CHUNK]
        mutual_nK = mutual_NK[start : start + _CHUNK]
        half_nKH, in_half_nKH = half_NH[near_nK], mutual_NH[near_nK]
        joins_nK = mutual_nK & _overlap(half_nKH, in_half_nKH, np.where(mutual_nK, near_nK, -1))
        keys_n = np.arange(start, start + len(near_nK)) * number
        own = (keys_n[:, None] + near_nK)[mutual_nK]
        more = (keys_n[:, None, None] + half_nKH)[joins_nK[:, :, None] & in_half_nKH]
        parts.append(np.unique(np.concatenate([own, more])))
    rows_E, columns_E = np.divmod(np.concatenate(parts), number)
    distances_E = _squares_of_pairs(images_ND, rows_E, columns_E) / largest_N[rows_E]
    weights_E = np.exp(-distances_E)
    sums_N = np.bincount(rows_E, weights_E, minlength=number)
    return SparseRows.of(rows_E, columns_E, weights_E / sums_N[rows_E], number)


def _overlap(half_nKH: Ints, in_half_nKH: Bools, own_nK: Ints) -> Bools:
    """Whether more than two thirds of each half set lie in the image's own set, (n, K)."""
    in_own_nKH = np.zeros(half_nKH.shape, bool)
    for one_n in own_nK.T:
        in_own_nKH |= half_nKH == one_n[:, None, None]
    common_nK = (in_own_nKH & in_half_nKH).sum(axis=2)
    overlap_nK: Bools = 3 * common_nK > 2 * in_half_nKH.sum(axis=2)
    return overlap_nK


def _squares_of_pairs(images_ND: Floats32, rows_E: Ints, columns_E: Ints) -> Floats64:
    squares_E = np.empty(len(rows_E))
    for start in range(0, len(rows_E), _PAIRS):
        part = slice(start, start + _PAIRS)
        squares_E[part] = exact_l2(images_ND[rows_E[part]], images_ND[columns_E[part]]) ** 2
    return squares_E


def _averaged(vectors: SparseRows, nearest_NK: Ints) -> SparseRows:
    """The mean of the vectors of each image's nearest ones."""
    number, nearest = nearest_NK.shape
    keys, values = [], []
    for start in range(0, number, _CHUNK):
        near_nK = nearest_NK[start : start + _CHUNK]
        which, at = vectors.entries(near_nK.ravel())
        found, inverse = np.unique(
            (start + which // nearest) * number + vectors.columns_E[at], return_inverse=True
        )
        keys.append(found)
        values.append(np.bincount(inverse, vectors.values_E[at]) / nearest)
    rows_E, columns_E = np.divmod(np.concatenate(keys), number)
    return SparseRows.of(rows_E, columns_E, np.concatenate(values), number)
