"""A re-ranked answer holds what the plain one holds, in the order that `search.rerank` gives."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, text

from gallery.model_rows import ModelRow
from query_sets.batch_search import load_gallery
from search.answer import Answer
from search.distance import exact_l2
from search.exact import answer_one
from search.filters.parse import parse
from search.plan import plan_of
from search.question import BadQuestion, QueryPerson, Question, Scope
from search.request import SearchRequest
from search.rerank import Reranking, rerank
from search.reranked import reranking
from search.statement import distance_to
from tests.fakes import Stored, collection, register_fake_model, store

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class People:
    """A stored gallery of a few people, and one of them as a query."""

    connection: Connection
    scope: Scope
    query: QueryPerson

    def answer(self, question: Question, candidates: int | None = None) -> Answer:
        how = None if candidates is None else Reranking(candidates=candidates)
        return answer_one(self.connection, self.scope, question, self.query, how)


def people(
    connection: Connection, engine: Engine, model: ModelRow, seed: int, count: int
) -> People:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(max(1, count // 6), 512))
    who = rng.integers(len(centres), size=count + 1)
    vectors = centres[who] + 0.8 * rng.normal(size=(count + 1, 512))
    rows = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    if count > 4:
        rows[2:5] = rows[1]  # copies, whose order is that of their paths
    scope = Scope(model, (collection(engine, "one"), collection(engine, "two")))
    for number, gallery in enumerate(scope.galleries):
        items = [
            Stored(f"{(n * 7) % 50:02}/{n}.jpg", rows[n], pid=int(who[n]), camid=n % 3)
            for n in range(number, count, 2)
        ]
        store(connection, model, gallery, items)
    return People(connection, scope, QueryPerson("q.jpg", rows[-1], pid=int(who[-1]), camid=1))


@pytest.fixture
def model(engine: Engine) -> ModelRow:
    return register_fake_model(engine, max_distance=0.75)


def ids(answer: Answer) -> list[int]:
    return [match.image_id for match in answer.matches]


def by_the_whole_gallery(
    people: People, question: Question, candidates: int
) -> tuple[list[int], bool]:
    """(image ids in order, complete), from `search.rerank` over everything that passes."""
    gallery = load_gallery(people.connection, people.scope, question)
    allowed = np.ones(len(gallery), bool)
    if question.not_same_camera:
        allowed = gallery.camids_G != people.query.camid
    own, embeddings = gallery.ids_G[allowed], gallery.embeddings_GD[allowed]
    if not len(own):
        return [], True
    how = Reranking(candidates=candidates)
    (new,) = rerank(people.query.embedding_D[None], embeddings, how)
    order = np.argsort(new, kind="stable")
    if question.max_distance is not None:
        distances = exact_l2(people.query.embedding_D, embeddings)
        order = order[distances[order] <= question.max_distance]
    limit = question.effective_limit
    return own[order][:limit].tolist(), limit is None or len(order) <= limit


def test_the_order_is_that_of_the_whole_gallery(engine: Engine, model: ModelRow) -> None:
    @settings(max_examples=40, deadline=None)
    @given(
        seed=st.integers(0, 2**32 - 1),
        count=st.integers(0, 60),
        candidates=st.integers(1, 70),
        limit=st.sampled_from([None, 1, 5, 30, 100]),
        max_distance=st.sampled_from([None, 0.9, 1.2, 2.0]),
        filter=st.sampled_from([None, "camera != 2", "collection = one", "pid = 1"]),
        not_same_camera=st.booleans(),
    )
    def check(
        seed: int, count: int, candidates: int, limit: int | None, max_distance: float | None,
        filter: str | None, not_same_camera: bool,
    ) -> None:  # fmt: skip
        tree = None if filter is None else parse(filter)
        question = Question(tree, max_distance, limit, not_same_camera)
        with engine.connect() as connection:
            stored = people(connection, engine, model, seed, count)
            plain, new = stored.answer(question), stored.answer(question, candidates)
            assert (ids(new), new.complete) == by_the_whole_gallery(stored, question, candidates)
            assert (new.complete, new.candidates) == (plain.complete, plain.candidates)
            if plain.complete:
                assert sorted(ids(new)) == sorted(ids(plain))
            connection.rollback()

    check()


def test_a_match_keeps_its_distance_and_gets_another(engine: Engine, model: ModelRow) -> None:
    with engine.connect() as connection:
        stored = people(connection, engine, model, seed=3, count=40)
        plain = stored.answer(Question(max_distance=2.0))
        new = stored.answer(Question(max_distance=2.0), candidates=25)
        assert ids(new) != ids(plain)
        assert {m.image_id: m.distance for m in new.matches} == {
            m.image_id: m.distance for m in plain.matches
        }
        assert {match.rerank_distance for match in plain.matches} == {None}
        first, rest = new.matches[:25], new.matches[25:]
        numbers = [match.rerank_distance for match in first if match.rerank_distance is not None]
        assert len(numbers) == 25
        assert numbers == sorted(numbers)
        assert 0 <= numbers[0] <= numbers[-1] <= 1
        assert set(ids(new)[:25]) == set(ids(plain)[:25])
        assert [m.image_id for m in rest] == ids(plain)[25:]
        assert {match.rerank_distance for match in rest} == {None}
        assert [match.rank for match in new.matches] == list(range(1, 41))
        assert (new.rerank, plain.rerank) == (Reranking(candidates=25), None)


def test_only_what_passes_is_a_neighbour(engine: Engine, model: ModelRow) -> None:
    """What the filter leaves out changes nothing, neither the list nor its numbers."""
    with engine.connect() as connection:
        stored = people(connection, engine, model, seed=5, count=40)
        filtered = stored.answer(Question(parse("collection = one")), candidates=30)
        alone = People(connection, Scope(model, stored.scope.galleries[:1]), stored.query)
        assert filtered.matches == alone.answer(Question(), candidates=30).matches


def test_a_far_candidate_is_a_neighbour_but_no_match(engine: Engine, model: ModelRow) -> None:
    with engine.connect() as connection:
        stored = people(connection, engine, model, seed=7, count=40)
        every = stored.answer(Question(), candidates=40)
        near = stored.answer(Question(max_distance=1.2), candidates=40)
        expected = [
            (m.image_id, m.rerank_distance)
            for m in every.matches
            if m.distance is not None and m.distance <= 1.2
        ]
        assert 0 < len(expected) < 40
        assert [(m.image_id, m.rerank_distance) for m in near.matches] == expected


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_small_gallery(engine: Engine, model: ModelRow, count: int) -> None:
    with engine.connect() as connection:
        stored = people(connection, engine, model, seed=1, count=count)
        answer = stored.answer(Question(), candidates=200)
        assert (len(answer.matches), answer.complete, answer.candidates) == (count, True, count)


def test_how_many_are_put_in_order() -> None:
    assert reranking(50, None, wanted=False) is None
    for limit, expected in ((None, 500), (1, 500), (200, 800), (5_000, 2_000)):
        assert reranking(limit, None, wanted=True) == Reranking(candidates=expected)
    assert reranking(50, 7, wanted=True) == Reranking(candidates=7)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (
            {"candidates": 5},
            "--candidates says how many images --rerank puts in order; add --rerank",
        ),
        (
            {"rerank": True, "candidates": 30_000},
            "--candidates is 30,000; expected at most 20,000: time grows with the square",
        ),
        ({"rerank": True, "candidates": 0}, "re-ranking got 0 candidates; expected 1 or more"),
        ({"rerank": True}, "--rerank needs an image; a filter alone gives no order to change"),
    ],
)
def test_a_bad_re_ranking(asked: dict[str, int], sentence: str) -> None:
    with pytest.raises(BadQuestion) as caught:
        SearchRequest(("gallery",), where="hat", **asked).check()  # type: ignore[arg-type]
    assert str(caught.value) == sentence


def test_an_approximate_index_loses_nobody(engine: Engine, model: ModelRow) -> None:
    """Plain pgvector would order by it and lose rows; an exact answer does not look at it."""
    with engine.connect() as connection:
        stored = people(connection, engine, model, seed=9, count=60)
        expected = ids(stored.answer(Question()))
        connection.execute(
            text(
                "CREATE INDEX guess ON feature USING hnsw (embedding vector_l2_ops)"
                f" WHERE model_id = {model.id}"
            )
        )
        for setting in ("enable_seqscan = off", "enable_sort = off", "hnsw.ef_search = 1"):
            connection.execute(text(f"SET LOCAL {setting}"))
        answer = stored.answer(Question(parse("camera != 2")))
        assert answer.work and answer.work.statement is not None
        by_index = answer.work.filtered.order_by(distance_to(stored.query)).limit(50)
        lost = connection.execute(by_index).all()
        assert len(lost) < min(50, answer.candidates)
        plan = plan_of(connection, by_index)
        assert not plan.exact
        assert plan.words.startswith("approximate, candidates from the index guess: ")
        assert plan_of(connection, answer.work.statement).exact
        assert len(answer.matches) == min(50, answer.candidates)
        assert ids(stored.answer(Question())) == expected
