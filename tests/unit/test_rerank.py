"""Re-ranking against its definition, written out on dense matrices, and against torchreid's own."""

# Q queries, G gallery images, N=Q+G images, D embedding numbers

import tracemalloc

import numpy as np
import numpy.typing as npt
import pytest

from metrics.reid import evaluate_distmat
from search.question import BadQuestion
from search.rerank import Reranking, rerank
from tests.torchreids import torchreids

Floats32 = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
EXACT = 1e-6


def people(number: int, seed: int, *, clusters: int = 6, noise: float = 0.6) -> Floats32:
    """Embeddings of length 1 that stand in clusters, as those of people do, (number, 24)."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(1).normal(size=(clusters, 24))
    rows_ND = centres[rng.integers(0, clusters, number)] + rng.normal(size=(number, 24)) * noise
    rows_ND /= np.linalg.norm(rows_ND, axis=1, keepdims=True)
    return rows_ND.astype(np.float32)


def dense(queries_QD: Floats32, gallery_GD: Floats32, how: Reranking) -> Floats:
    """The paper's formulas, one after the other, on matrices of all images by all images."""
    images = np.concatenate([queries_QD, gallery_GD]).astype(np.float64)
    number, first = len(images), len(queries_QD)
    squares = ((images[:, None] - images[None]) ** 2).sum(axis=2)
    d = squares / np.maximum(squares.max(axis=1, keepdims=True), 1e-300)
    ranked = [
        sorted(range(number), key=lambda j: (j != i, squares[i, j], j)) for i in range(number)
    ]

    def reciprocal(i: int, k: int) -> set[int]:
        return {j for j in ranked[i][: k + 1] if i in ranked[j][: k + 1]}

    v = np.zeros((number, number))
    for i in range(number):
        own = reciprocal(i, how.k1)
        grown = set(own)
        for j in own:
            half = reciprocal(j, round(how.k1 / 2))
            if len(half & own) > 2 / 3 * len(half):
                grown |= half
        for j in grown:
            v[i, j] = np.exp(-d[i, j])
    v /= v.sum(axis=1, keepdims=True)
    v = np.stack([v[ranked[i][: how.k2]].mean(axis=0) for i in range(number)])
    least = np.minimum(v[:first, None], v[None, first:]).sum(axis=2)
    most = np.maximum(v[:first, None], v[None, first:]).sum(axis=2)
    mixed: Floats = (1 - how.lambda_) * (1 - least / most) + how.lambda_ * d[:first, first:]
    return mixed


def found(queries_QD: Floats32, gallery_GD: Floats32, how: Reranking | None = None) -> Floats:
    return np.stack(list(rerank(queries_QD, gallery_GD, how)))


@pytest.mark.parametrize(
    ("queries", "gallery", "how"),
    [
        (15, 120, Reranking()),
        (1, 120, Reranking()),
        (9, 70, Reranking(k1=7, k2=3, lambda_=0.5)),
        (9, 70, Reranking(k1=5, k2=1, lambda_=0.0)),
        (9, 70, Reranking(k1=3, k2=12, lambda_=1.0)),
        (4, 7, Reranking()),  # fewer images than neighbours
        (1, 1, Reranking()),
        (3, 2, Reranking(k1=1, k2=40)),
    ],
    ids=str,
)
def test_equals_the_formulas(queries: int, gallery: int, how: Reranking) -> None:
    for seed in range(3):
        queries_QD, gallery_GD = people(queries, seed), people(gallery, seed + 100)
        assert found(queries_QD, gallery_GD, how) == pytest.approx(
            dense(queries_QD, gallery_GD, how), abs=EXACT
        )


@pytest.mark.parametrize("copies", [2, 5, 30])
def test_equals_the_formulas_where_images_have_copies(copies: int) -> None:
    """More copies than neighbours, too: every image is its own first neighbour then."""
    gallery_GD = np.repeat(people(20, 5), copies, axis=0)
    queries_QD = np.concatenate([people(3, 6), gallery_GD[:2], gallery_GD[:1]])
    assert found(queries_QD, gallery_GD) == pytest.approx(
        dense(queries_QD, gallery_GD, Reranking()), abs=EXACT
    )


def test_many_blocks_and_chunks_make_one_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    queries_QD, gallery_GD = people(15, 7), people(90, 8)
    whole = found(queries_QD, gallery_GD)
    sizes = {
        "metrics.distances._CELLS": 400,
        "metrics.jaccard._CELLS": 500,
        "metrics.jaccard._PAIRS": 7,
    }
    for name, size in sizes.items():
        monkeypatch.setattr(name, size)
    assert found(queries_QD, gallery_GD) == pytest.approx(whole, abs=1e-10)


@pytest.mark.parametrize(("queries", "gallery", "how"), [
    (20, 150, Reranking()), (1, 60, Reranking()), (10, 80, Reranking(k1=9, k2=4, lambda_=0.1)),
])  # fmt: skip
def test_equals_torchreids(queries: int, gallery: int, how: Reranking) -> None:
    queries_QD, gallery_GD = people(queries, 11), people(gallery, 12)

    def distances(rows: Floats32, others: Floats32) -> Floats:
        l2: Floats = np.linalg.norm(rows[:, None].astype(np.float64) - others[None], axis=2)
        return l2

    wanted = torchreids("utils/rerank.py").re_ranking(
        distances(queries_QD, gallery_GD),
        distances(queries_QD, queries_QD),
        distances(gallery_GD, gallery_GD),
        k1=how.k1,
        k2=how.k2,
        lambda_value=how.lambda_,
    )
    assert found(queries_QD, gallery_GD, how) == pytest.approx(wanted, abs=EXACT)


def test_candidates_are_the_gallery_of_one_query_and_the_rest_stays_behind() -> None:
    queries_QD, gallery_GD = people(4, 21), people(90, 22)
    gallery_GD[40:45] = gallery_GD[40]
    how = Reranking(candidates=30)
    for query_D, distances_G in zip(queries_QD, rerank(queries_QD, gallery_GD, how), strict=True):
        l2_G = np.linalg.norm(gallery_GD.astype(np.float64) - query_D, axis=1)
        order = sorted(range(90), key=lambda g: (l2_G[g].round(9), g))
        closest = sorted(order[:30])
        wanted = dense(query_D[None], gallery_GD[closest], Reranking())[0]
        assert distances_G[closest] == pytest.approx(wanted, abs=EXACT)
        assert np.argsort(distances_G, kind="stable")[30:].tolist() == order[30:]


def test_as_many_candidates_as_images_are_the_whole_gallery() -> None:
    query_QD, gallery_GD = people(1, 23), people(40, 24)
    whole = found(query_QD, gallery_GD)
    for candidates in (40, 1000):
        some = found(query_QD, gallery_GD, Reranking(candidates=candidates))
        assert some == pytest.approx(whole, abs=EXACT)


@pytest.mark.parametrize("copies", [1, 3])
def test_few_and_many_candidates_are_compared_alike(
    copies: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dense matrices of few candidates give what sparse ones of many do."""
    queries_QD, gallery_GD = people(5, 26), np.repeat(people(90, 27), copies, axis=0)
    how = Reranking(k1=9, candidates=70)
    few = found(queries_QD, gallery_GD, how)
    monkeypatch.setattr("search.rerank._DENSE", 1)
    assert found(queries_QD, gallery_GD, how) == pytest.approx(few, abs=1e-10)


def test_one_candidate_and_equal_images_have_distances() -> None:
    same_GD = np.repeat(people(1, 25), 50, axis=0)
    for how in (Reranking(), Reranking(candidates=1), Reranking(candidates=30)):
        distances_QG = found(same_GD[:2], same_GD, how)
        assert np.isfinite(distances_QG).all()
    assert len(list(rerank(same_GD[:0], same_GD))) == 0


def test_the_length_of_embeddings_changes_nothing() -> None:
    queries_QD, gallery_GD = people(5, 31), people(80, 32)
    assert found(queries_QD * 32, gallery_GD * 32) == pytest.approx(
        found(queries_QD, gallery_GD), abs=EXACT
    )
    distances_QG = found(queries_QD, gallery_GD)
    assert distances_QG.min() >= 0
    assert distances_QG.max() <= 1


def test_neighbours_bring_back_who_looks_unlike_the_query() -> None:
    """A person seen from two sides, with images in between: chains are what it is for."""
    rng = np.random.default_rng(41)
    pids = np.repeat(np.arange(1, 31), 8)
    sides = np.linspace(-1, 1, 8)
    centres, turns = rng.normal(size=(30, 24)), rng.normal(size=(30, 24))
    rows = centres[pids - 1] + turns[pids - 1] * np.tile(sides, 30)[:, None] * 1.2
    rows = (rows + rng.normal(size=rows.shape) * 0.25).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    own = np.arange(len(pids)) % 8 == 0
    arguments = (pids[own], pids[~own], np.ones(30, np.int64), np.full(210, 2))
    l2_QG = np.linalg.norm(rows[own][:, None] - rows[~own][None], axis=2)
    plain = evaluate_distmat(l2_QG, *arguments).mAP
    how = Reranking(k1=7, k2=3)
    assert evaluate_distmat(found(rows[own], rows[~own], how), *arguments).mAP > plain + 0.05


def test_memory_stays_far_below_the_square_of_everything() -> None:
    queries_QD = people(300, 51, clusters=400)
    gallery_GD = people(6700, 52, clusters=400)
    dense_bytes = 7000**2 * 4
    tracemalloc.start()
    for _ in rerank(queries_QD, gallery_GD):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < dense_bytes / 2


@pytest.mark.parametrize("numbers", [{"k1": 0}, {"k2": 0}, {"lambda_": 1.5}, {"lambda_": -0.1}])
def test_numbers_that_make_no_sense(numbers: dict[str, float]) -> None:
    with pytest.raises(BadQuestion, match=r"^re-ranking needs k1 and k2 of 1 or more, and lambda"):
        Reranking(**numbers)  # type: ignore[arg-type]


def test_no_candidates_make_no_sense() -> None:
    with pytest.raises(BadQuestion) as caught:
        Reranking(candidates=0)
    assert str(caught.value) == "re-ranking got 0 candidates; expected 1 or more"
