"""The numbers behind the plots, against brute force."""

# Q queries, G gallery images, N images in all, P of them hits

from collections.abc import Callable
from io import BytesIO
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageColor
from sklearn.metrics import average_precision_score

from evaluation.ranked import HEAD, Collector
from evaluation.report.plots import DARK, LIGHT, Paper, cmc_plot, density_plot, pair_plot
from metrics.curves import (
    NUM_BINS,
    PairCounts,
    chance_cmc,
    chance_inverse_negative_penalty,
    cmc_curve,
)
from metrics.reid import rank_gallery, summarise

Floats = npt.NDArray[np.float64]
Bits = npt.NDArray[np.bool_]


def drawn(queries: int, gallery: int, seed: int, largest: float = 2.0) -> tuple[Floats, Bits, Bits]:
    """(squared distances, same person, dropped), each (Q, G); several distances are equal."""
    rng = np.random.default_rng(seed)
    distances_QG = rng.integers(1, 40, (queries, gallery)) / 40 * largest
    same_QG = rng.random((queries, gallery)) < 0.2
    return distances_QG**2, same_QG, rng.random((queries, gallery)) < 0.1


def collected(squares_QG: Floats, same_QG: Bits, dropped_QG: Bits) -> Collector:
    seen = Collector()
    for row, judged in enumerate(zip(squares_QG, same_QG, dropped_QG, strict=True)):
        seen.add(row, *judged)
    return seen


@pytest.mark.parametrize("total", range(1, 8))
def test_chance_is_the_mean_over_every_order(total: int) -> None:
    for hits in range(1, total + 1):
        places = list(combinations(range(1, total + 1), hits))  # all equally likely
        wanted = np.mean([hits / ranks[-1] for ranks in places])
        assert chance_inverse_negative_penalty(total, hits) == pytest.approx(wanted)
        for rank, chance in enumerate(chance_cmc(total, hits, 10), start=1):
            assert chance == pytest.approx(np.mean([ranks[0] <= rank for ranks in places]))


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6), queries=st.integers(1, 6), gallery=st.integers(12, 40))
def test_the_cmc_curve_equals_the_metrics(seed: int, queries: int, gallery: int) -> None:
    squares_QG, same_QG, dropped_QG = drawn(queries, gallery, seed)
    seen = collected(squares_QG, same_QG, dropped_QG)
    rankings = [
        rank_gallery(*judged) for judged in zip(squares_QG, same_QG, dropped_QG, strict=True)
    ]
    metrics, curve = summarise(rankings), seen.cmc()
    assert len(seen.queries) == metrics.num_valid_queries
    assert [curve.rates_R[k - 1] for k in (1, 5, 10)] == pytest.approx(
        [metrics.rank1, metrics.rank5, metrics.rank10]
    )
    assert curve.chance_R[0] == pytest.approx(metrics.chance_rank1)
    found = [query.average_precision for query in seen.queries]
    assert (np.mean(found) if found else 0) == pytest.approx(metrics.mAP)
    assert (np.diff(curve.rates_R) >= 0).all()


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6), largest=st.sampled_from([0.5, 2.0, 2.5, 23.0]),
    queries=st.integers(1, 5),
)  # fmt: skip
def test_the_pair_curve_equals_a_loop(seed: int, largest: float, queries: int) -> None:
    squares_QG, same_QG, dropped_QG = drawn(queries, 30, seed, largest)
    seen = collected(squares_QG, same_QG, dropped_QG)
    valid_QG = (same_QG & ~dropped_QG).any(axis=1, keepdims=True)
    kept_QG = ~dropped_QG & valid_QG
    distances, same = np.sqrt(squares_QG[kept_QG]), same_QG[kept_QG]
    curve = seen.pairs.curve()
    assert (curve.num_same, curve.num_strangers) == (same.sum(), (~same).sum())
    if not len(same):
        return
    assert curve.chance_precision == pytest.approx(same.mean())
    for limit, precision, recall in zip(
        curve.limits_B, curve.precision_B, curve.recall_B, strict=True
    ):
        # the distances lie far apart beside the width of a bin: which side one is on is no matter
        below = distances < limit + seen.pairs.width / 2
        assert precision == pytest.approx(same[below].mean())
        assert recall == pytest.approx(same[below].sum() / same.sum())
    assert curve.average_precision == pytest.approx(average_precision_score(same, -distances))
    near = float(np.median(distances)) + 2 * seen.pairs.width
    below = distances < near
    assert curve.at(near) == pytest.approx((same[below].mean(), same[below].sum() / same.sum()))
    assert curve.at(0) == (0, 0)


@pytest.mark.parametrize("largest", [0.1, 2.0, 3.0, 22.7])
def test_densities_have_an_area_of_one_and_hold_every_pair(largest: float) -> None:
    squares_QG, same_QG, dropped_QG = drawn(4, 200, 1, largest)
    seen = collected(squares_QG, same_QG, dropped_QG)
    found = seen.pairs.densities()
    widths = np.diff(found.edges)
    assert (found.same_B * widths).sum() == pytest.approx(1)
    assert (found.strangers_B * widths).sum() == pytest.approx(1)
    distances = np.sqrt(squares_QG[~dropped_QG & same_QG])
    assert found.edges[0] <= distances.min() <= distances.max() <= found.edges[-1]
    # a bin whose edges no distance lies on: brute force and the histogram must agree
    counts, _ = np.histogram(distances + seen.pairs.width / 1000, found.edges)
    assert found.same_B * widths * len(distances) == pytest.approx(counts)


def test_half_of_the_pairs_lie_below_the_median() -> None:
    seen = PairCounts()
    same_K = np.arange(100) < 40
    distances_K = np.where(same_K, np.linspace(0.2, 0.6, 100), np.linspace(0.9, 1.9, 100))
    seen.add(distances_K, same_K)
    for found, chosen_K in zip(seen.medians(), (same_K, ~same_K), strict=True):
        assert (distances_K[chosen_K] < found).mean() == pytest.approx(0.5, abs=0.03)
    assert PairCounts().medians() == (0, 0)


def test_far_distances_make_the_bins_wider_and_lose_no_pair() -> None:
    seen = PairCounts()
    seen.add(np.array([0.5, 1.5]), np.array([True, False]))
    narrow = seen.width
    seen.add(np.array([7.0]), np.array([False]))
    assert seen.bound == 8
    assert seen.width == pytest.approx(4 * narrow)
    assert (len(seen.same_B), seen.same_B.sum(), seen.strangers_B.sum()) == (NUM_BINS, 1, 2)
    assert seen.curve().at(1.0) == (1, 1)
    assert seen.curve().at(2.0) == (0.5, 1)


def test_no_query_at_all() -> None:
    seen = Collector()
    seen.add(0, np.array([0.5, 1.0]), np.zeros(2, bool), np.zeros(2, bool))
    assert seen.queries == []
    assert seen.chance_mINP() == 0
    assert not seen.cmc().rates_R.any()
    empty = np.array([], np.int64)
    assert len(cmc_curve(empty, empty, empty, ranks=7).rates_R) == 7


def test_the_head_of_a_list_and_the_late_first_hit() -> None:
    squares_G = np.arange(30, dtype=float)[::-1]
    same_G = np.zeros(30, bool)
    same_G[5] = True  # from the far end: rank 25, and rank 24 once one before it is dropped
    dropped_G = np.zeros(30, bool)
    dropped_G[29] = True
    seen = Collector()
    seen.add(3, squares_G, same_G, dropped_G)
    (query,) = seen.queries
    assert (query.row, query.first_hit, query.num_hits, query.num_kept) == (3, 24, 1, 29)
    assert [match.rank for match in query.head] == [*range(1, HEAD + 1), 24]
    assert [match.row for match in query.head] == [*range(28, 18, -1), 5]
    assert [match.hit for match in query.head] == [False] * HEAD + [True]
    assert query.head[-1].distance == pytest.approx(24**0.5)


def test_best_and_worst_come_first_and_ties_prefer_more_to_find() -> None:
    hits = {0: [0, 1], 1: [0], 2: [9], 3: [4, 5], 4: [0, 1]}
    seen = Collector()
    for row, ranks in hits.items():
        seen.add(row, np.arange(10.0), np.isin(np.arange(10), ranks), np.zeros(10, bool))
    assert [query.row for query in seen.best(3)] == [0, 4, 1]
    assert [query.row for query in seen.worst(2)] == [2, 3]


def test_equal_numbers_give_equal_plots_and_two_papers_two() -> None:
    seen = collected(*drawn(5, 60, 3))
    plots: list[Callable[[Paper], bytes]] = [
        lambda paper: cmc_plot(seen.cmc(), paper),
        lambda paper: pair_plot(seen.pairs.curve(), 0.7, paper),
        lambda paper: density_plot(seen.pairs.densities(), None, paper),
    ]
    for draw in plots:
        light, again, dark = draw(LIGHT), draw(LIGHT), draw(DARK)
        assert light == again
        corners = []
        for png in (light, dark):
            with Image.open(BytesIO(png)) as image:
                corners.append(image.convert("RGB").getpixel((2, 2)))
        assert corners == [ImageColor.getrgb(LIGHT.paper), ImageColor.getrgb(DARK.paper)]
