"""Re-identification and attribute metrics, NumPy only. Every rate is a fraction in [0, 1].

Protocol: Zheng et al., ICCV 2015. For each query, gallery images of the same pid *and* the same
camera are dropped, junk (pid -1) is dropped, distractors (pid 0) stay, byte-identical copies of the
query are dropped. A query without a positive left is skipped and not counted as valid.
Ties in distance keep the order of the gallery (a stable sort), which callers sort by path.
"""

# Q queries, G gallery images, R ranks

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]
IntArray = npt.NDArray[np.integer]
BoolArray = npt.NDArray[np.bool_]

JUNK, DISTRACTOR = -1, 0


@dataclass(frozen=True)
class Ranking:
    """One query's gallery after the protocol's drops, best first: was each one a hit?"""

    hits_R: BoolArray

    @property
    def valid(self) -> bool:
        return bool(self.hits_R.any())

    @property
    def first_hit(self) -> int:
        """Rank of the best hit, from 1."""
        return int(self.hits_R.argmax()) + 1

    @property
    def average_precision(self) -> float:
        """Mean of the precision at each hit, over all hits (the step form)."""
        ranks = np.flatnonzero(self.hits_R) + 1
        return float((np.arange(1, len(ranks) + 1) / ranks).mean())

    @property
    def inverse_negative_penalty(self) -> float:
        """Number of hits / rank of the last one."""
        ranks = np.flatnonzero(self.hits_R) + 1
        return float(len(ranks) / ranks[-1])

    @property
    def chance_average_precision(self) -> float:
        """The average precision to be expected of a random order of the same gallery.

        With P hits among N images: H/N + (P-1)(N-H) / (N(N-1)), H the N-th harmonic number.
        """
        total, hits = len(self.hits_R), int(self.hits_R.sum())
        if total == 1:
            return 1.0
        harmonic = float((1 / np.arange(1, total + 1)).sum())
        return harmonic / total + (hits - 1) * (total - harmonic) / (total * (total - 1))


@dataclass(frozen=True)
class ReidMetrics:
    """Means over the valid queries; the two `chance_` figures are what a random order gives."""

    mAP: float
    mINP: float
    rank1: float
    rank5: float
    rank10: float
    num_queries: int
    num_valid_queries: int
    chance_mAP: float = 0.0
    chance_rank1: float = 0.0


def rank_gallery(
    distances_G: FloatArray, same_person_G: BoolArray, dropped_G: BoolArray
) -> Ranking:
    """Sorts one query's gallery by distance, lower first, without what the protocol drops."""
    order = np.argsort(distances_G, kind="stable")
    return Ranking(same_person_G[order][~dropped_G[order]])


def protocol_masks(
    q_pid: int,
    q_camid: int | None,
    g_pids: IntArray,
    g_camids: IntArray,
    duplicates_G: BoolArray | None = None,
) -> tuple[BoolArray, BoolArray]:
    """(same person, dropped) for one query. A camid of -1, or None, is unknown: no drop."""
    same_person = (g_pids == q_pid) & (q_pid > DISTRACTOR)
    same_camera = np.zeros(len(g_pids), bool) if q_camid in (None, -1) else g_camids == q_camid
    dropped = (same_person & same_camera) | (g_pids == JUNK)
    return same_person, dropped if duplicates_G is None else dropped | duplicates_G


def single_query_mask(pids_N: IntArray, camids_N: IntArray) -> BoolArray:
    """Single query: the first image of each person and camera is a query, the rest the gallery."""
    firsts = np.unique(np.stack([pids_N, camids_N]), axis=1, return_index=True)[1]
    mask = np.zeros(len(pids_N), bool)
    mask[firsts] = True
    return mask


def summarise(rankings: Iterable[Ranking]) -> ReidMetrics:
    """CMC 1, 5, 10, mAP and mINP over the valid queries; all zero where none is valid."""
    every = list(rankings)
    valid = [ranking for ranking in every if ranking.valid]
    if not valid:
        return ReidMetrics(0.0, 0.0, 0.0, 0.0, 0.0, len(every), 0)
    first = np.array([ranking.first_hit for ranking in valid])
    return ReidMetrics(
        mAP=float(np.mean([ranking.average_precision for ranking in valid])),
        mINP=float(np.mean([ranking.inverse_negative_penalty for ranking in valid])),
        rank1=float((first <= 1).mean()),
        rank5=float((first <= 5).mean()),
        rank10=float((first <= 10).mean()),
        num_queries=len(every),
        num_valid_queries=len(valid),
        chance_mAP=float(np.mean([ranking.chance_average_precision for ranking in valid])),
        chance_rank1=float(np.mean([ranking.hits_R.mean() for ranking in valid])),
    )


def evaluate_distmat(
    distmat_QG: FloatArray,
    q_pids: IntArray,
    g_pids: IntArray,
    q_camids: IntArray,
    g_camids: IntArray,
) -> ReidMetrics:
    """The metrics of a whole (Q, G) distance matrix held in memory; lower is closer.

    >>> distmat = np.array([[0.1, 0.9, 0.5]])
    >>> one = np.array([1])
    >>> evaluate_distmat(distmat, one, np.array([1, 1, 2]), one, np.array([2, 2, 2])).mAP
    0.8333333333333333
    """
    return summarise(
        rank_gallery(row, *protocol_masks(int(pid), int(camid), g_pids, g_camids))
        for row, pid, camid in zip(distmat_QG, q_pids, q_camids, strict=True)
    )


@dataclass(frozen=True)
class Threshold:
    """A distance limit, and what it gives on the pairs it was chosen on."""

    max_distance: float
    precision: float
    recall: float
    num_pairs: int
    num_positive_pairs: int
