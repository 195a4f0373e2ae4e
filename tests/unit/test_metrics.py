"""Re-identification metrics against loops over their definitions and three independent oracles."""

# Q queries, G gallery images

import doctest
import itertools
import math
from dataclasses import astuple, dataclass

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score
from torchmetrics.retrieval import RetrievalMAP

import metrics.reid
from metrics.reid import (
    DISTRACTOR,
    JUNK,
    Ranking,
    ReidMetrics,
    evaluate_distmat,
    protocol_masks,
    rank_gallery,
    summarise,
)
from tests.torchreids import torchreids

Ints = npt.NDArray[np.int64]
EXACT = 1e-6
EVAL_MARKET1501 = torchreids("metrics/rank.py").eval_market1501


@dataclass(frozen=True)
class Case:
    """A distance matrix with its labels."""

    distmat_QG: npt.NDArray[np.float64]
    q_pids: Ints
    g_pids: Ints
    q_camids: Ints
    g_camids: Ints

    def evaluate(self) -> ReidMetrics:
        return evaluate_distmat(
            self.distmat_QG, self.q_pids, self.g_pids, self.q_camids, self.g_camids
        )


@st.composite
def cases(draw: st.DrawFn, *, ties: bool = False, junk: bool = True) -> Case:
    queries, gallery = draw(st.integers(1, 5)), draw(st.integers(1, 14))
    people = st.integers(JUNK if junk else 1, 4)

    def ints(elements: st.SearchStrategy[int], number: int) -> Ints:
        return np.array(draw(st.lists(elements, min_size=number, max_size=number)), np.int64)

    rows = [
        ints(st.integers(0, 4), gallery) if ties else draw(st.permutations(range(gallery)))
        for _ in range(queries)
    ]
    return Case(
        np.array(rows, np.float64) / 8,
        ints(people, queries),
        ints(people, gallery),
        ints(st.integers(1, 3), queries),
        ints(st.integers(1, 3), gallery),
    )


def kept(case: Case, q: int) -> list[int]:
    """The gallery of a query, best first, without junk and without its own camera's images."""
    own = (case.q_pids[q], case.q_camids[q])
    left = []
    for g, (pid, camid) in enumerate(zip(case.g_pids, case.g_camids, strict=True)):
        if pid == DISTRACTOR or (pid != JUNK and (pid, camid) != own):
            left.append(g)
    return sorted(left, key=lambda g: (case.distmat_QG[q, g], g))


def hits_of(case: Case, q: int) -> list[bool]:
    pid = case.q_pids[q]
    return [bool(pid > 0 and case.g_pids[g] == pid) for g in kept(case, q)]


def brute_force(case: Case) -> ReidMetrics:
    """Every figure as a person would count it on a printed list."""
    precisions, penalties, firsts = [], [], []
    for q in range(len(case.q_pids)):
        ranks = [rank for rank, hit in enumerate(hits_of(case, q), 1) if hit]
        if ranks:
            precisions.append(sum((i + 1) / rank for i, rank in enumerate(ranks)) / len(ranks))
            penalties.append(len(ranks) / ranks[-1])
            firsts.append(ranks[0])
    valid = len(firsts)
    if not valid:
        return ReidMetrics(0, 0, 0, 0, 0, len(case.q_pids), 0)
    rank1, rank5, rank10 = (sum(first <= k for first in firsts) / valid for k in (1, 5, 10))
    return ReidMetrics(
        sum(precisions) / valid,
        sum(penalties) / valid,
        rank1,
        rank5,
        rank10,
        len(case.q_pids),
        valid,
    )


@settings(deadline=None)
@given(case=st.one_of(cases(), cases(ties=True)))
def test_equals_a_loop_over_the_definitions(case: Case) -> None:
    found, wanted = case.evaluate(), brute_force(case)
    assert astuple(found)[:7] == pytest.approx(astuple(wanted)[:7], abs=EXACT)
    for value in astuple(found)[:5]:
        assert 0 <= value <= 1
    assert found.rank1 <= found.rank5 <= found.rank10


@settings(deadline=None)
@given(case=cases())
def test_map_equals_scikit_learns(case: Case) -> None:
    each = []
    for q in range(len(case.q_pids)):
        hits = hits_of(case, q)
        if any(hits):
            scores = [-case.distmat_QG[q, g] for g in kept(case, q)]
            each.append(average_precision_score(hits, scores))
    assert case.evaluate().mAP == pytest.approx(np.mean(each) if each else 0, abs=EXACT)


@settings(deadline=None, max_examples=50)
@given(case=cases())
def test_map_equals_torchmetrics(case: Case) -> None:
    metric = RetrievalMAP(empty_target_action="skip")
    listed = [
        (q, g, hit)
        for q in range(len(case.q_pids))
        for g, hit in zip(kept(case, q), hits_of(case, q), strict=True)
    ]
    if not any(hit for _, _, hit in listed):
        assert case.evaluate().mAP == 0
        return
    metric.update(
        # it takes a prediction of 0 or less for a miss, whatever its target is
        torch.tensor([10 - case.distmat_QG[q, g] for q, g, _ in listed]),
        torch.tensor([hit for _, _, hit in listed]),
        indexes=torch.tensor([q for q, _, _ in listed]),
    )
    assert case.evaluate().mAP == pytest.approx(float(metric.compute()), abs=EXACT)


def with_strangers(case: Case, number: int) -> Case:
    """The same with people nobody asks for, further away than all others."""
    far_QS = np.tile(100.0 + np.arange(number), (len(case.q_pids), 1))
    return Case(
        np.concatenate([case.distmat_QG, far_QS], axis=1),
        case.q_pids,
        np.append(case.g_pids, np.full(number, 99)),
        case.q_camids,
        np.append(case.g_camids, np.full(number, 1)),
    )


@settings(deadline=None)
@given(case=cases(junk=False))
def test_cmc_and_map_equal_torchreids(case: Case) -> None:
    # it needs ten images in every list, and a query that has somebody to find
    case = with_strangers(case, 10)
    found = case.evaluate()
    if not found.num_valid_queries:
        return
    curve, mean = EVAL_MARKET1501(
        case.distmat_QG, case.q_pids, case.g_pids, case.q_camids, case.g_camids, 10
    )
    assert found.mAP == pytest.approx(mean, abs=EXACT)
    wanted = [curve[0], curve[4], curve[9]]
    assert [found.rank1, found.rank5, found.rank10] == pytest.approx(wanted, abs=EXACT)


def test_a_large_case_equals_all_three() -> None:
    """Distances as networks give them, distractors in the gallery, one camera's images dropped."""
    rng = np.random.default_rng(7)
    q_pids, g_pids = rng.integers(1, 40, 60), rng.integers(0, 60, 900)
    distmat_QG = rng.random((60, 900)) - 0.1 * (q_pids[:, None] == g_pids)
    case = Case(distmat_QG, q_pids, g_pids, rng.integers(1, 7, 60), rng.integers(1, 7, 900))
    found = case.evaluate()
    assert found.num_valid_queries == 60
    curve, mean = EVAL_MARKET1501(distmat_QG, q_pids, g_pids, case.q_camids, case.g_camids, 10)
    hits, scores = [hits_of(case, q) for q in range(60)], []
    for q in range(60):
        scores.append([2 - distmat_QG[q, g] for g in kept(case, q)])
    each = [average_precision_score(h, s) for h, s in zip(hits, scores, strict=True)]
    metric = RetrievalMAP(empty_target_action="skip")
    metric.update(
        torch.tensor(np.concatenate(scores)),
        torch.tensor(np.concatenate(hits)),
        indexes=torch.tensor(np.repeat(np.arange(60), [len(h) for h in hits])),
    )
    for oracle in (mean, np.mean(each), float(metric.compute())):
        assert found.mAP == pytest.approx(oracle, abs=EXACT)
    assert [found.rank1, found.rank5, found.rank10] == pytest.approx(
        [curve[0], curve[4], curve[9]], abs=EXACT
    )
    assert 0.1 < found.mAP < found.rank1 < found.rank10 < 1


@settings(deadline=None)
@given(case=cases(ties=True), names=st.permutations(range(1, 90)))
def test_relabelling_people_changes_nothing(case: Case, names: list[int]) -> None:
    def renamed(pids: Ints) -> Ints:
        return np.array([names[pid] if pid > 0 else pid for pid in pids.tolist()], np.int64)

    other = Case(
        case.distmat_QG,
        renamed(case.q_pids),
        renamed(case.g_pids),
        case.q_camids,
        case.g_camids,
    )
    assert other.evaluate() == case.evaluate()


def one_query(
    distances: list[float], g_pids: list[int], g_camids: list[int] | None = None, pid: int = 7
) -> ReidMetrics:
    """A single query of camera 1; the gallery is camera 2 where nothing else is said."""
    camids = np.array(g_camids or [2] * len(g_pids))
    one = np.array([1])
    return evaluate_distmat(np.array([distances]), pid * one, np.array(g_pids), one, camids)


def test_average_precision_is_on_the_sorted_list() -> None:
    """The report's authors took the list as it came: here that would read 0.58."""
    assert one_query([0.9, 0.5, 0.1], [8, 7, 7]).mAP == 1
    assert one_query([0.1, 0.5, 0.9], [8, 7, 7]).mAP == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_lower_is_closer() -> None:
    assert one_query([0.1, 0.9], [7, 8]).rank1 == 1
    assert one_query([0.9, 0.1], [7, 8]).rank1 == 0


def test_the_step_form_over_all_positives() -> None:
    found = one_query([0.1, 0.2, 0.3, 0.4], [7, 8, 8, 7])
    assert found.mAP == pytest.approx((1 + 2 / 4) / 2)
    assert found.mINP == pytest.approx(2 / 4)


def test_junk_is_dropped_and_distractors_stay() -> None:
    assert one_query([0.1, 0.2], [JUNK, 7]).mAP == 1
    assert one_query([0.1, 0.2], [DISTRACTOR, 7]).mAP == 0.5
    # in any camera, the query's own too
    assert one_query([0.1, 0.2], [JUNK, 7], [1, 2]).mAP == 1
    assert one_query([0.1, 0.2], [DISTRACTOR, 7], [1, 2]).mAP == 0.5


def test_the_same_camera_is_dropped_for_the_same_person_alone() -> None:
    assert one_query([0.1, 0.2, 0.3], [7, 8, 7], [1, 1, 2]).mAP == 0.5
    assert one_query([0.1, 0.2, 0.3], [7, 8, 7], [3, 1, 2]).mAP == pytest.approx((1 + 2 / 3) / 2)


@pytest.mark.parametrize("unknown", [-1, None])
def test_an_unknown_camera_is_nobodys_own(unknown: int | None) -> None:
    g_pids, g_camids = np.array([7, 7, 8]), np.array([-1, 1, -1])
    same_person, dropped = protocol_masks(7, unknown, g_pids, g_camids)
    assert same_person.tolist() == [True, True, False]
    assert dropped.tolist() == [False, False, False]
    _, dropped = protocol_masks(7, 1, g_pids, g_camids)
    assert dropped.tolist() == [False, True, False]


def test_copies_of_the_query_are_dropped_whoever_they_are() -> None:
    g_pids, g_camids = np.array([7, 8, 7]), np.array([2, 2, 2])
    _, dropped = protocol_masks(7, 1, g_pids, g_camids, np.array([True, True, False]))
    assert dropped.tolist() == [True, True, False]


@pytest.mark.parametrize("pid", [JUNK, DISTRACTOR])
def test_junk_and_distractors_are_no_queries(pid: int) -> None:
    assert one_query([0.1], [pid], pid=pid) == ReidMetrics(0, 0, 0, 0, 0, 1, 0)


def test_a_query_without_a_positive_is_skipped_and_counted() -> None:
    found = evaluate_distmat(
        np.array([[0.1, 0.2], [0.1, 0.2], [0.1, 0.2]]),
        np.array([7, 8, 9]),
        np.array([7, 8]),
        np.array([1, 1, 1]),
        np.array([2, 1]),
    )
    assert (found.mAP, found.num_queries, found.num_valid_queries) == (1, 3, 1)
    assert summarise([]) == ReidMetrics(0, 0, 0, 0, 0, 0, 0)


def test_ties_keep_the_order_of_the_gallery() -> None:
    assert one_query([0.5, 0.5, 0.5], [8, 7, 8]).mAP == 0.5
    assert one_query([0.5, 0.5, 0.5], [7, 8, 8]).mAP == 1
    distances, same = np.zeros(400), np.arange(400) % 7 == 3
    ranking = rank_gallery(distances, same, np.zeros(400, bool))
    assert ranking.hits_R.tolist() == same.tolist()


@pytest.mark.parametrize("total", range(1, 7))
def test_chance_is_the_mean_over_every_order(total: int) -> None:
    for hits in range(1, total + 1):
        orders = itertools.permutations([True] * hits + [False] * (total - hits))
        rankings = [Ranking(np.array(order)) for order in orders]
        wanted = math.fsum(r.average_precision for r in rankings) / len(rankings)
        assert rankings[0].chance_average_precision == pytest.approx(wanted)
        assert summarise(rankings[:1]).chance_rank1 == pytest.approx(hits / total)


def test_the_examples_in_the_docstrings() -> None:
    result = doctest.testmod(metrics.reid)
    assert result.attempted >= 3
    assert result.failed == 0
