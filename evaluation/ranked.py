"""What an evaluation keeps of each query for its report: the curves, and the head of the list."""

# G gallery images, K of them kept by the protocol

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from metrics.curves import (
    CmcCurve,
    PairCounts,
    chance_inverse_negative_penalty,
    cmc_curve,
)
from metrics.reid import Ranking

Floats = npt.NDArray[np.float64]
Bits = npt.NDArray[np.bool_]

HEAD = 10


@dataclass(frozen=True)
class RankedMatch:
    """A gallery image at a rank, from 1, after the protocol's drops; `row` is its place in the
    gallery, `distance` its L2 distance to the query."""

    rank: int
    row: int
    distance: float
    hit: bool


@dataclass(frozen=True)
class RankedQuery:
    """A valid query: `row` is its place among the queries, `head` its first ten matches, and the
    first hit where that comes later."""

    row: int
    average_precision: float
    first_hit: int
    num_hits: int
    num_kept: int
    head: tuple[RankedMatch, ...]


@dataclass
class Collector:
    """Takes each query of an evaluation, as `evaluate_reid` goes through them."""

    pairs: PairCounts = field(default_factory=PairCounts)
    queries: list[RankedQuery] = field(default_factory=list)

    def add(self, row: int, squares_G: Floats, same_person_G: Bits, dropped_G: Bits) -> None:
        """One query: its squared L2 distances to the whole gallery, who is the same person, what
        the protocol drops."""
        order_G = np.argsort(squares_G, kind="stable")
        kept_K = order_G[~dropped_G[order_G]]
        distances_K, hits_K = np.sqrt(np.maximum(squares_G[kept_K], 0)), same_person_G[kept_K]
        ranking = Ranking(hits_K)
        if not ranking.valid:
            return
        self.pairs.add(distances_K, hits_K)
        shown = dict.fromkeys([*range(min(HEAD, len(kept_K))), ranking.first_hit - 1])
        self.queries.append(
            RankedQuery(
                row=row,
                average_precision=ranking.average_precision,
                first_hit=ranking.first_hit,
                num_hits=int(hits_K.sum()),
                num_kept=len(kept_K),
                head=tuple(
                    RankedMatch(n + 1, int(kept_K[n]), float(distances_K[n]), bool(hits_K[n]))
                    for n in shown
                ),
            )
        )

    def cmc(self) -> CmcCurve:
        """The curve over the valid queries."""
        return cmc_curve(
            np.array([query.first_hit for query in self.queries], np.int64),
            np.array([query.num_kept for query in self.queries], np.int64),
            np.array([query.num_hits for query in self.queries], np.int64),
        )

    def chance_mINP(self) -> float:
        """The mINP of a random order; 0 where no query is valid."""
        sizes = [(query.num_kept, query.num_hits) for query in self.queries]
        known = {size: chance_inverse_negative_penalty(*size) for size in set(sizes)}
        return float(np.mean([known[size] for size in sizes])) if sizes else 0.0

    def best(self, count: int) -> list[RankedQuery]:
        """Highest average precision first; of equals, first those with more images to find."""
        ordered = sorted(self.queries, key=lambda q: (-q.average_precision, -q.num_hits, q.row))
        return ordered[:count]

    def worst(self, count: int) -> list[RankedQuery]:
        """Lowest average precision first; of equals, first those with more images to find."""
        ordered = sorted(self.queries, key=lambda q: (q.average_precision, -q.num_hits, q.row))
        return ordered[:count]
