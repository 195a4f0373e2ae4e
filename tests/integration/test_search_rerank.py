"""A re-ranked answer is what `search.rerank` gives: its order, and who is within its limit."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, text

from gallery.model_rows import ModelRow, set_rerank_calibration
from metrics.nearby import CANDIDATES
from query_sets.batch_request import answer_many
from query_sets.batch_search import load_gallery, question_reranking
from search.answer import Answer
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
        if how:
            question = replace(question, reranked=True)
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
        order = order[new[order] <= question.max_distance]
    limit = question.effective_limit
    return own[order][:limit].tolist(), limit is None or len(order) <= limit


def test_the_order_is_that_of_the_whole_gallery(engine: Engine, model: ModelRow) -> None:
    @settings(max_examples=40, deadline=None)
    @given(
        seed=st.integers(0, 2**32 - 1),
        count=st.integers(0, 60),
        candidates=st.integers(1, 70),
        limit=st.sampled_from([None, 1, 5, 30, 100]),
        max_distance=st.sampled_from([None, 0.0, 0.3, 0.6, 0.8, 1.0]),
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
            assert new.candidates == plain.candidates
            if max_distance is None:
                assert new.complete == plain.complete
                if plain.complete:
                    assert sorted(ids(new)) == sorted(ids(plain))
            connection.rollback()

    check()


def test_a_match_keeps_its_distance_and_gets_another(engine: Engine, model: ModelRow) -> None:
    with engine.connect() as connection:
        stored = people(connection, engine, model, seed=3, count=40)
        plain = stored.answer(Question(limit=50))
        new = stored.answer(Question(limit=50), candidates=25)
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


def test_the_limit_is_one_of_the_re_ranked_distance(engine: Engine, model: ModelRow) -> None:
    """Who is beyond it is a neighbour all the same; who is no candidate is beyond every limit."""
    with engine.connect() as connection:
        stored = people(connection, engine, model, seed=7, count=40)
        every = stored.answer(Question(), candidates=30)
        near = stored.answer(Question(max_distance=0.6), candidates=30)
        expected = [
            (m.image_id, m.rerank_distance)
            for m in every.matches
            if m.rerank_distance is not None and m.rerank_distance <= 0.6
        ]
        assert 0 < len(expected) < 30
        assert [(m.image_id, m.rerank_distance) for m in near.matches] == expected
        assert (near.complete, near.max_distance) == (True, 0.6)
        everybody = stored.answer(Question(max_distance=1.0), candidates=30)
        assert (len(everybody.matches), everybody.complete) == (30, True)
        cut = stored.answer(Question(max_distance=0.6, limit=1), candidates=30)
        assert (ids(cut), cut.complete) == ([expected[0][0]], False)
        assert cut.incomplete_reason == "cut off at the limit of 1"


@pytest.mark.parametrize("question", [
    Question(max_distance=0.6, reranked=True),
    Question(max_distance=0.7, limit=3, not_same_camera=True, reranked=True),
    Question(parse("camera != 2"), limit=20, reranked=True),
    Question(no_duplicates=True, reranked=True),
])  # fmt: skip
def test_many_queries_are_answered_as_each_alone(
    engine: Engine, model: ModelRow, question: Question
) -> None:
    with engine.connect() as connection:
        stored = people(connection, engine, model, seed=11, count=260)
        gallery = load_gallery(connection, stored.scope, Question())
        queries = [stored.query]
        queries += [
            QueryPerson(f"{n}.jpg", gallery.embeddings_GD[n], (bytes(gallery.hashes_G[n]),), 1, 1)
            for n in (0, 5, 90)
        ]
        together = answer_many(connection, stored.scope, question, queries)
        how = question_reranking(question)
        assert how is not None
        for query, answer in zip(queries, together, strict=True):
            assert answer == answer_one(connection, stored.scope, question, query, how)
            assert answer.rerank == how


def test_auto_is_the_re_ranked_limit_of_the_model(engine: Engine) -> None:
    model = register_fake_model(engine, max_distance=0.75)
    collection(engine, "one")
    request = SearchRequest(("one",), max_distance="auto", rerank=True, image_ids=(1,))
    with pytest.raises(BadQuestion) as caught:
        request.resolve(engine)
    assert str(caught.value) == (
        "model 'fake' has no calibrated re-ranked distance; give --max-distance a number"
    )
    with engine.begin() as connection:
        set_rerank_calibration(connection, model.id, 0.61, {})
    resolved = request.resolve(engine)
    assert resolved.question.max_distance == 0.61
    assert resolved.reranking == Reranking(candidates=CANDIDATES)
    assert replace(request, rerank=False).resolve(engine).question.max_distance == 0.75
    replace(request, max_distance="0.7", candidates=7).check()
    with pytest.raises(BadQuestion) as caught:
        replace(request, candidates=7).check()
    assert str(caught.value) == (
        "--max-distance auto of --rerank is calibrated for 200 candidates; leave out --candidates, "
        "or give --max-distance a number"
    )
    with pytest.raises(BadQuestion) as caught:
        replace(request, max_distance="1.2").resolve(engine)
    assert str(caught.value) == ("--max-distance is 1.2; a re-ranked distance lies between 0 and 1")


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
