"""The numbers behind the plots of an evaluation: curves over ranks, over pairs, over distances.

Every rate is a fraction in [0, 1]. Curves over pairs count every pair of a query and a gallery
image that the protocol keeps. They come from counts in narrow bins of distance, so that memory
does not grow with the number of pairs; at the edge of a bin they are exact.
"""

# Q queries, G gallery images, R ranks, B bins

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.int64]
Bits = npt.NDArray[np.bool_]

NUM_RANKS = 50
NUM_BINS = 20_000


@dataclass(frozen=True)
class CmcCurve:
    """Share of the valid queries with a hit within rank 1, 2 ... R, and of a random order."""

    rates_R: Floats
    chance_R: Floats


@dataclass(frozen=True)
class PairCurve:
    """Precision and recall of "same person" below each distance limit, limits ascending.

    `chance_precision` is the share of pairs of one person: the precision of saying yes to all.
    """

    limits_B: Floats
    precision_B: Floats
    recall_B: Floats
    num_same: int
    num_strangers: int

    @property
    def chance_precision(self) -> float:
        return self.num_same / (self.num_same + self.num_strangers)

    @property
    def average_precision(self) -> float:
        """The area under the curve, in the step form."""
        return float((np.diff(self.recall_B, prepend=0) * self.precision_B).sum())

    def at(self, max_distance: float) -> tuple[float, float]:
        """(precision, recall) at the last limit within `max_distance`; (0, 0) below all of them."""
        reached = int(np.searchsorted(self.limits_B, max_distance, side="right"))
        if not reached:
            return 0.0, 0.0
        return float(self.precision_B[reached - 1]), float(self.recall_B[reached - 1])


@dataclass(frozen=True)
class DistanceDensities:
    """Distributions of the distance, (B,) over B + 1 edges; each has an area of 1."""

    edges: Floats
    same_B: Floats
    strangers_B: Floats


@dataclass
class PairCounts:
    """Counts pairs by distance, one query after the other. A distance beyond `bound` doubles it:
    bins are merged two by two, so that every edge stays exact."""

    bound: float = 2.0  # the largest distance of embeddings of length 1
    same_B: Ints = field(default_factory=lambda: np.zeros(NUM_BINS, np.int64))
    strangers_B: Ints = field(default_factory=lambda: np.zeros(NUM_BINS, np.int64))

    @property
    def width(self) -> float:
        return self.bound / NUM_BINS

    def add(self, distances_K: Floats, same_person_K: Bits) -> None:
        """Counts the pairs of one query with the K gallery images that the protocol keeps."""
        while distances_K.max(initial=0) > self.bound:
            self.bound *= 2
            self.same_B, self.strangers_B = _halved(self.same_B), _halved(self.strangers_B)
        bins_K = np.minimum((distances_K / self.width).astype(np.int64), NUM_BINS - 1)
        self.same_B += np.bincount(bins_K[same_person_K], minlength=NUM_BINS)
        self.strangers_B += np.bincount(bins_K[~same_person_K], minlength=NUM_BINS)

    def medians(self) -> tuple[float, float]:
        """Half of the pairs of one person lie below the first distance, half of the strangers'
        below the second; to the width of a bin, 0 where there is no such pair."""

        def median(counts_B: Ints) -> float:
            below_B = counts_B.cumsum()
            return float(np.searchsorted(below_B, below_B[-1] / 2) + 1) * self.width

        same, strangers = self.same_B, self.strangers_B
        return median(same) if same.any() else 0.0, median(strangers) if strangers.any() else 0.0

    def curve(self) -> PairCurve:
        """Precision and recall at each limit below which there is any pair."""
        same_B, all_B = self.same_B.cumsum(), (self.same_B + self.strangers_B).cumsum()
        steps = np.flatnonzero(self.same_B + self.strangers_B)
        return PairCurve(
            limits_B=(steps + 1) * self.width,
            precision_B=same_B[steps] / all_B[steps],
            recall_B=same_B[steps] / max(1, int(same_B[-1])),
            num_same=int(same_B[-1]),
            num_strangers=int(all_B[-1] - same_B[-1]),
        )

    def densities(self) -> DistanceDensities:
        """Wide bins between the smallest and the largest distance: the fewer pairs of one person
        there are, the fewer bins (Rice's rule, 2 n^(1/3), from 20 to 100)."""
        steps = np.flatnonzero(self.same_B + self.strangers_B)
        first, last = (int(steps[0]), int(steps[-1]) + 1) if len(steps) else (0, NUM_BINS)
        wished = int(np.clip(2 * self.same_B.sum() ** (1 / 3), 20, 100))
        wide = -(-(last - first) // wished)
        starts = np.arange(first, last, wide)
        edges = np.append(starts, starts[-1] + wide) * self.width

        def density(counts_B: Ints) -> Floats:
            merged = np.add.reduceat(counts_B[:last], starts)
            shares: Floats = merged / max(1, int(merged.sum())) / (wide * self.width)
            return shares

        return DistanceDensities(edges, density(self.same_B), density(self.strangers_B))


def _halved(counts_B: Ints) -> Ints:
    merged: Ints = np.append(counts_B.reshape(-1, 2).sum(axis=1), np.zeros(NUM_BINS // 2, np.int64))
    return merged


def chance_cmc(total: int, hits: int, ranks: int) -> Floats:
    """Probability of a hit within rank 1 ... `ranks` in a random order of `total` with `hits`."""
    drawn_R = np.arange(ranks)
    missed_R = np.maximum(total - hits - drawn_R, 0) / np.maximum(total - drawn_R, 1)
    chances_R: Floats = 1 - np.cumprod(missed_R)
    return chances_R


def chance_inverse_negative_penalty(total: int, hits: int) -> float:
    """The mINP to be expected of a random order: the mean of hits / rank of the last hit.

    The last of P hits among N lies at rank k with probability C(k-1, P-1) / C(N, P).
    """
    ranks = np.arange(hits, total + 1)
    # C(k-1, P-1) / C(N, P), from k = N downwards: each is the next one times (k - P + 1) / k
    ratios = (ranks[1:] - hits) / (ranks[1:] - 1)
    falling = np.cumprod(np.append(1.0, ratios[::-1]))[::-1]
    return float((hits / ranks * falling * hits / total).sum())


def cmc_curve(first_hits_Q: Ints, totals_Q: Ints, hits_Q: Ints, ranks: int = NUM_RANKS) -> CmcCurve:
    """The curve of the valid queries: rank of the first hit, gallery size and hits of each."""
    if not len(first_hits_Q):
        return CmcCurve(np.zeros(ranks), np.zeros(ranks))
    shared, counts = np.unique(np.stack([totals_Q, hits_Q]), axis=1, return_counts=True)
    chances = [chance_cmc(int(total), int(hits), ranks) for total, hits in shared.T]
    return CmcCurve(
        rates_R=(first_hits_Q[:, None] <= np.arange(1, ranks + 1)).mean(axis=0),
        chance_R=np.average(chances, axis=0, weights=counts),
    )
