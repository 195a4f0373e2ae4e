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

Nothing of size (Q + G)^2 is ever held: see `metrics.jaccard`, and `metrics.nearby`
for the few candidates of one query.
"""

# Q queries, G gallery images, N=Q+G images, C candidates, D=512 embedding numbers

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from metrics.distances import DECIMALS, squared_rows
from metrics.nearby import K1, K2, LAMBDA, rerank_nearby
from search.distance import Floats32, Floats64
from search.question import BadQuestion

_DENSE = 2_000  # candidates: so few are quicker without SciPy, whose import alone takes longer


@dataclass(frozen=True)
class Reranking:
    """The paper's three numbers, and how many of a query's closest images are put in a new order.

    Without `candidates` the whole gallery is, all queries are each other's possible neighbours, as
    in published figures. With it each query stands alone, as in a search: its closest images are
    the whole gallery that it knows, and the rest keep their order after them.
    """

    k1: int = K1
    k2: int = K2
    lambda_: float = LAMBDA
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
        closest_C = np.sort(np.argsort(squares_G, kind="stable")[: how.candidates])
        distances_G = 1 + squares_G / (squares_G.max(initial=0) or 1.0)
        distances_G[closest_C] = alone(query_D, gallery_GD[closest_C], how)
        yield distances_G


def alone(query_D: Floats32, candidates_CD: Floats32, how: Reranking) -> Floats64:
    """New distances (C,) of one query whose candidates are all the gallery that it knows."""
    if len(candidates_CD) > _DENSE:
        return next(_together(query_D[None], candidates_CD, how))
    return rerank_nearby(query_D, candidates_CD, how.k1, how.k2, how.lambda_)


def _together(queries_QD: Floats32, gallery_GD: Floats32, how: Reranking) -> Iterator[Floats64]:
    from metrics.jaccard import encoded, neighbours, shared  # SciPy: no search needs it

    number = len(queries_QD)
    images_ND = np.concatenate([queries_QD, gallery_GD])
    nearest_NK, largest_N = neighbours(images_ND, max(how.k1 + 1, how.k2))
    vectors_NN = encoded(images_ND, nearest_NK, largest_N, how.k1, how.k2)
    shares = shared(vectors_NN[:number], vectors_NN[number:].tocsc(), len(gallery_GD))
    squares = squared_rows(queries_QD, gallery_GD)
    for query, (shared_G, squares_G) in enumerate(zip(shares, squares, strict=True)):
        jaccard_G = 1 - shared_G / (2 - shared_G)  # each V sums to one
        mixed_G = (1 - how.lambda_) * jaccard_G + how.lambda_ * squares_G / largest_N[query]
        # rounding may leave a zero below zero
        yield np.maximum(mixed_G.round(DECIMALS), 0.0)
