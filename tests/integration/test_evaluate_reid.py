"""Evaluation from what is stored: who counts, who is dropped, how ties stand, who was known."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sqlalchemy import Engine

from evaluation.evaluate import reid
from evaluation.evaluate_reid import CannotEvaluate, ReidReport
from gallery import model_rows as registry
from gallery.collections import CollectionRow
from gallery.model_rows import ModelRow
from query_sets.batch_search import load_gallery
from search.question import BadQuestion, Question, Scope
from search.rerank import Reranking, rerank
from tests.fakes import Stored, collection, register_fake_model, store

Floats = npt.NDArray[np.float32]


@pytest.fixture
def model(engine: Engine) -> ModelRow:
    return register_fake_model(engine)


def at(position: float) -> Floats:
    vector = np.zeros(512, np.float32)
    vector[7] = position
    return vector


def put(
    engine: Engine,
    model: ModelRow,
    name: str,
    items: list[Stored],
    identities: str | None = None,
) -> CollectionRow:
    row = collection(engine, name, identities)
    with engine.begin() as connection:
        store(connection, model, row, items)
    return row


def one_query(engine: Engine, model: ModelRow, gallery: list[Stored]) -> ReidReport:
    """Person 7 on camera 1, at 0, in a gallery of these."""
    put(engine, model, "q", [Stored("q.jpg", at(0), pid=7, camid=1, content_hash=b"q" * 32)])
    put(engine, model, "g", gallery)
    return reid(engine, "q", ("g",), rerank=True)


@pytest.mark.parametrize(
    ("hit", "other", "precision"), [("a.jpg", "b.jpg", 1.0), ("b.jpg", "a.jpg", 0.5)]
)
def test_ties_stand_by_path(
    engine: Engine, model: ModelRow, hit: str, other: str, precision: float
) -> None:
    """Whatever the order of storing, and after re-ranking too."""
    for name, items in (
        ("1", [Stored(hit, at(1), pid=7, camid=2), Stored(other, at(1), pid=8, camid=2)]),
        ("2", [Stored(other, at(1), pid=8, camid=2), Stored(hit, at(1), pid=7, camid=2)]),
    ):
        put(engine, model, f"g{name}", items)
        put(engine, model, f"q{name}", [Stored("q.jpg", at(0), pid=7, camid=1)])
        report = reid(engine, f"q{name}", (f"g{name}",), rerank=True)
        assert report.metrics.mAP == precision
        assert report.reranked is not None
        assert report.reranked.mAP == precision


def test_copies_in_a_large_gallery_tie_wherever_a_product_puts_them(
    engine: Engine, model: ModelRow
) -> None:
    """One embedding 700 times, one of them the match: its rank is that of its path."""
    embedding = np.random.default_rng(0).normal(size=512).astype(np.float32)
    items = [Stored(f"{n:03}.jpg", embedding, pid=7 if n == 499 else 8) for n in range(700)]
    put(engine, model, "g", items[::-1])
    put(engine, model, "q", [Stored("q.jpg", embedding + at(0.1), pid=7, camid=1)])
    assert reid(engine, "q", ("g",)).metrics.mAP == pytest.approx(1 / 500)


def test_ties_of_one_path_stand_by_collection(engine: Engine, model: ModelRow) -> None:
    put(engine, model, "q", [Stored("q.jpg", at(0), pid=7, camid=1)])
    put(engine, model, "a", [Stored("x.jpg", at(1), pid=7, camid=2)])
    put(engine, model, "b", [Stored("x.jpg", at(1), pid=8, camid=2)])
    assert reid(engine, "q", ("b", "a")).metrics.mAP == 1


def test_what_the_protocol_drops_is_dropped_from_both_lists(
    engine: Engine, model: ModelRow
) -> None:
    report = one_query(
        engine,
        model,
        [
            Stored("same_camera.jpg", at(0.1), pid=7, camid=1),
            Stored("junk.jpg", at(0.2), pid=-1, camid=2),
            Stored("copy.jpg", at(0), pid=7, camid=2, content_hash=b"q" * 32),
            Stored("hit.jpg", at(1), pid=7, camid=2),
            Stored("distractor.jpg", at(3), pid=0, camid=2),
            Stored("nobody.jpg", at(4)),
        ],
    )
    for metrics in (report.metrics, report.reranked):
        assert metrics is not None
        # each of the three would stand before the hit, or count as one
        assert (metrics.mAP, metrics.mINP, metrics.rank1) == (1, 1, 1)
        assert metrics.chance_rank1 == pytest.approx(1 / 3)
    assert report.counts() == {
        "num_queries": 1, "num_valid_queries": 1, "num_people": 1, "num_gallery": 5,
        "num_distractors": 2, "num_aside": 0, "model": "fake",
    }  # fmt: skip


def test_people_of_another_space_are_distractors(engine: Engine, model: ModelRow) -> None:
    put(engine, model, "q", [Stored("q.jpg", at(0), pid=7, camid=1)], "here")
    put(engine, model, "g", [Stored("a.jpg", at(2), pid=7, camid=2)], "here")
    put(engine, model, "other", [Stored("b.jpg", at(1), pid=7, camid=2)], "there")
    report = reid(engine, "q", ("g", "other"))
    assert (report.metrics.mAP, report.num_distractors) == (0.5, 1)


def test_the_lists_of_re_ranking_are_those_that_are_judged(engine: Engine, model: ModelRow) -> None:
    """A chain of images of one person between strangers: its order is another, its figures too."""
    rng = np.random.default_rng(3)
    ends = rng.normal(size=(12, 2, 512))
    items = [
        Stored(
            f"{person:02}_{step}.jpg",
            (ends[person, 0] + step / 3 * ends[person, 1] + rng.normal(size=512) * 0.8).astype(
                np.float32
            ),
            pid=person + 1,
            camid=step + 1,
        )
        for person in range(12)
        for step in range(7)
    ]
    put(engine, model, "q", [item for item in items if item.camid == 1])
    gallery = put(engine, model, "g", [item for item in items if item.camid != 1])
    with engine.connect() as connection:
        loaded = load_gallery(connection, Scope(model, (gallery,)), Question())
    queries_QD = np.stack([item.embedding for item in items if item.camid == 1])
    for candidates in (None, 20):
        report = reid(engine, "q", ("g",), rerank=True, candidates=candidates)
        assert report.reranked is not None
        precisions = []
        distances_QG = rerank(queries_QD, loaded.embeddings_GD, Reranking(candidates=candidates))
        for pid, distances_G in enumerate(distances_QG, 1):
            hits = (loaded.pids_G == pid)[np.argsort(distances_G, kind="stable")]
            ranks = np.flatnonzero(hits) + 1
            precisions.append(np.mean(np.arange(1, len(ranks) + 1) / ranks))
        assert report.reranked.mAP == pytest.approx(np.mean(precisions))
        assert report.reranked.mAP != pytest.approx(report.metrics.mAP)
        assert report.to_json()["rerank"] == {
            "mAP": report.reranked.mAP, "mINP": report.reranked.mINP,
            "rank1": report.reranked.rank1, "rank5": report.reranked.rank5,
            "rank10": report.reranked.rank10,
            "k1": 20, "k2": 6, "lambda": 0.3, "candidates": candidates,
        }  # fmt: skip


def test_without_re_ranking_nothing_is_said_of_it(engine: Engine, model: ModelRow) -> None:
    put(engine, model, "q", [Stored("q.jpg", at(0), pid=7, camid=1)])
    put(engine, model, "g", [Stored("a.jpg", at(2), pid=7, camid=2)])
    report = reid(engine, "q", ("g",))
    assert report.to_json()["rerank"] is None
    assert [order["order"] for order in report.orders()] == ["by distance", "random"]
    with pytest.raises(BadQuestion) as caught:
        reid(engine, "q", ("g",), candidates=5)
    assert str(caught.value) == (
        "--candidates says how many images --rerank puts in order; add --rerank"
    )


def test_nothing_to_evaluate(engine: Engine, model: ModelRow) -> None:
    put(engine, model, "q", [Stored("q.jpg", at(0), camid=1)])
    put(engine, model, "empty", [])
    with pytest.raises(CannotEvaluate, match=r"^nothing in empty is stored by model 'fake'; run "):
        reid(engine, "q", ("empty",))
    with pytest.raises(CannotEvaluate, match=r"^no file of 'q' names a person; expected names "):
        reid(engine, "q", ("q",))


def trained(engine: Engine, header: Mapping[str, Any]) -> ModelRow:
    """The active model, with this in its header."""
    with engine.begin() as connection:
        return registry.register(connection, "trained", "ab" * 32, {
            **register_fake_model(engine).header, **header,
        })  # fmt: skip


@pytest.mark.parametrize(
    ("space", "pids", "same", "both"),
    [
        ("market", [7, 8], True, [7]),
        ("elsewhere", [7, 8], False, [7]),
        ("market", [8], True, []),
        ("market", [], False, []),
    ],
)
def test_who_was_trained_on(
    engine: Engine, space: str, pids: list[int], same: bool, both: list[int]
) -> None:
    model = trained(engine, {"trained_pids": pids, "identity_space": space})
    items = [Stored(f"{pid}.jpg", at(pid), pid=pid, camid=1) for pid in (7, 9, 0)]
    put(engine, model, "q", items, "market")
    report = reid(engine, "q", ("q",), model.name)
    assert (list(report.trained_on.pids), report.trained_on.same_space) == (both, same)
    said = report.to_json()
    assert said["trained_on"] == (len(both) if same else 0)
    assert said["trained_on_if_same_space"] == len(both)
    assert said["trained_on_pids"] == both
    assert said["trained_space"] == (space if pids else None)
    assert report.num_people == 2


# A filter


def test_what_does_not_pass_a_filter_stands_at_the_end(engine: Engine, model: ModelRow) -> None:
    """A stranger less above the hit, and a hit that is hardly found: both count."""
    put(engine, model, "q", [Stored("q.jpg", at(0), pid=7, camid=1, content_hash=b"q" * 32)])
    gallery = [
        Stored("junk.jpg", at(1), quality=0.1),
        Stored("hit.jpg", at(2), pid=7, camid=2, quality=0.9),
        Stored("bad hit.jpg", at(3), pid=7, camid=3, quality=0.2),
        Stored("other.jpg", at(4), pid=8, camid=2, quality=0.8),
    ]
    put(engine, model, "g", gallery)
    plain = reid(engine, "q", ("g",))
    filtered = reid(engine, "q", ("g",), where="quality >= 0.5")
    assert plain.metrics.mAP == pytest.approx((1 / 2 + 2 / 3) / 2)
    # hit, other | junk, bad hit
    assert filtered.metrics.mAP == pytest.approx((1 + 2 / 4) / 2)
    assert (plain.num_aside, filtered.num_aside) == (0, 2)
    assert plain.num_gallery == filtered.num_gallery == 4
