"""What is found through the approximate index: near enough, and never called complete wrongly."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, text

from gallery import vector_index
from gallery.collections import CollectionRow
from gallery.model_rows import ModelRow
from search import approximate
from search.exact import answer_one
from search.filters.parse import parse
from search.plan import plan_of
from search.question import QueryPerson, Question, Scope
from search.rerank import Reranking
from tests.fakes import Stored, collection, register_fake_model, store
from tests.search_oracle import Case, brute_force, cases, fill, limit_of
from vocabulary import LABEL_OF, NAMES


@pytest.fixture
def model(engine: Engine) -> ModelRow:
    return register_fake_model(engine, max_distance=0.75)


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """The index is used for the smallest gallery too."""
    monkeypatch.setattr(approximate, "VISIT", -1)


def check(
    engine: Engine,
    model: ModelRow,
    rows: list[CollectionRow],
    case: Case,
    breadth: int,
    seen: Counter[str],
) -> None:
    scope = Scope(model, tuple(rows))
    with engine.connect() as connection:
        gallery, queries = fill(connection, model, rows, case)
        vector_index.store_facts(connection, model.id, {"breadth": breadth})
        for query in queries:
            question = case.question(limit_of(case, gallery, query))
            answer = answer_one(connection, scope, question, query, approximate=True)
            expected, candidates, complete = brute_force(gallery, case, query, question)
            found = [(m.image_id, m.distance) for m in answer.matches]
            seen["complete" if answer.complete else "not complete"] += 1
            if answer.complete:
                assert (found, answer.candidates) == (expected, candidates)
                assert complete
            if answer.plan.startswith("approximate"):
                assert not answer.complete
                everything = replace(question, limit=None, max_distance=question.max_distance or 99)
                allowed = dict(brute_force(gallery, case, query, everything)[0])
                assert all(allowed[image] == distance for image, distance in found)
                assert [d for _, d in found] == sorted(d or 0.0 for _, d in found)
                seen["through the index"] += 1
                seen["wanted"] += len(expected)
                # of images at one distance any is as good
                near = Counter(d for _, d in expected) & Counter(d or 0.0 for _, d in found)
                seen["found"] += near.total()
            else:
                assert (found, answer.complete) == (expected, complete)
        connection.rollback()


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("examples", [60, pytest.param(2000, marks=pytest.mark.long)])
def test_an_answer_called_complete_is_complete(
    engine: Engine,
    model: ModelRow,
    examples: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [collection(engine, "one"), collection(engine, "two")]
    vector_index.build(engine, model)
    seen: Counter[str] = Counter()

    def example(case: Case, breadth: int, first: int, most: int) -> None:
        monkeypatch.setattr(approximate, "_FIRST_RADIUS", first)
        monkeypatch.setattr(approximate, "_SPARE", first)
        monkeypatch.setattr(approximate, "MOST_CANDIDATES", most)
        check(engine, model, rows, case, breadth, seen)

    settings(max_examples=examples, deadline=None)(
        given(cases, st.integers(1, 40), st.integers(1, 4), st.sampled_from([5, 200]))(example)
    )()
    recall = seen["found"] / seen["wanted"]
    assert min(seen["complete"], seen["not complete"], seen["through the index"]) > examples / 10
    assert recall > 0.7  # graphs of few rows, searched narrowly: it is no empty list


@pytest.fixture
def clustered(engine: Engine, model: ModelRow) -> Iterator[tuple[Scope, QueryPerson]]:
    """1,500 images of 150 people; of the person of the query, and far from it, a few wear hats."""
    rng = np.random.default_rng(5)
    row = collection(engine, "one")
    centres = rng.normal(size=(150, 512)).astype(np.float32)
    people = rng.integers(0, 150, 1500)
    vectors = centres[people] + 0.8 * rng.normal(size=(1500, 512)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    first_values = [0.9 if name.endswith("-1") else 0.1 for name in NAMES]
    with_hat = [0.99 if name == "hat-2" else s for name, s in zip(NAMES, first_values, strict=True)]
    stored = [
        Stored(
            path=f"{n:05d}.jpg",
            embedding=vector,
            scores=tuple(with_hat if n % 75 == 0 else first_values),
            camid=1 + n % 2,
        )
        for n, vector in enumerate(vectors)
    ]
    with engine.begin() as connection:
        store(connection, model, row, stored)
        connection.execute(text("ANALYZE feature"))
    vector_index.build(engine, model)
    query = centres[3] + 0.8 * rng.normal(size=512).astype(np.float32)
    yield Scope(model, (row,)), QueryPerson("q", query / np.float32(np.linalg.norm(query)))


def plain_pgvector(connection: Connection, query: QueryPerson) -> int:
    """How many of the closest fifty with a hat the extension gives by itself."""
    with connection.begin_nested() as savepoint:
        connection.execute(text("SET LOCAL enable_sort = off"))
        rows = connection.execute(
            text(
                "SELECT image_id FROM feature WHERE model_id = 1"
                " AND labels @> ARRAY[CAST(:hat AS smallint)]"
                " ORDER BY embedding::halfvec(512) <-> CAST(:query AS halfvec(512)) LIMIT 50"
            ),
            {"query": str(query.embedding_D.tolist()), "hat": LABEL_OF["hat-2"]},
        ).all()
        savepoint.rollback()
    return len(rows)


@pytest.mark.usefixtures("eager")
def test_a_filter_loses_nobody_where_plain_pgvector_loses_most(
    engine: Engine, clustered: tuple[Scope, QueryPerson]
) -> None:
    scope, query = clustered
    question = Question(parse("hat"))
    with engine.connect() as connection:
        exact = answer_one(connection, scope, question, query)
        assert (len(exact.matches), exact.complete) == (20, True)
        assert plain_pgvector(connection, query) < 10
        answer = answer_one(connection, scope, question, query, approximate=True)
    assert answer.matches == exact.matches
    assert answer.complete
    assert answer.plan == "exact: the index fell short"


def test_few_images_that_pass_are_all_compared(
    engine: Engine, clustered: tuple[Scope, QueryPerson]
) -> None:
    scope, query = clustered
    with engine.connect() as connection:
        answer = answer_one(connection, scope, Question(parse("hat")), query, approximate=True)
    assert (answer.complete, answer.plan) == (True, "exact: few images pass")


def test_without_an_index_the_answer_is_exact_and_says_so(engine: Engine, model: ModelRow) -> None:
    scope = Scope(model, (collection(engine, "one"),))
    query = QueryPerson("q", np.ones(512, np.float32))
    with engine.connect() as connection:
        answer = answer_one(connection, scope, Question(), query, approximate=True)
    assert answer.complete
    assert "`reid index build`" in answer.plan


@pytest.mark.usefixtures("eager")
def test_the_index_is_used_and_the_settings_end_with_the_statement(
    engine: Engine, clustered: tuple[Scope, QueryPerson]
) -> None:
    scope, query = clustered
    with engine.connect() as connection:
        before = connection.execute(text("SELECT name, setting FROM pg_settings")).all()
        answer = answer_one(connection, scope, Question(limit=10), query, approximate=True)
        assert answer.work is not None and answer.work.statement is not None
        after = connection.execute(text("SELECT name, setting FROM pg_settings")).all()
        assert "ix_feature_hnsw_1" in answer.plan
        assert not answer.complete
        connection.execute(text("SET LOCAL enable_sort = off"))
        assert not plan_of(connection, answer.work.statement).exact
    changed = set(before) ^ set(after)
    assert not {name for name, _ in changed if name.startswith("enable")}


@pytest.mark.usefixtures("eager")
def test_a_radius_widens_until_it_is_exhausted(
    engine: Engine, clustered: tuple[Scope, QueryPerson], monkeypatch: pytest.MonkeyPatch
) -> None:
    scope, query = clustered
    monkeypatch.setattr(approximate, "_FIRST_RADIUS", 3)
    with engine.connect() as connection:
        exact = answer_one(connection, scope, Question(max_distance=1.2), query)
        answer = answer_one(connection, scope, Question(max_distance=1.2), query, approximate=True)
        assert len(exact.matches) > 5
        assert answer.plan.startswith("approximate")
        assert {m.image_id for m in answer.matches} == {m.image_id for m in exact.matches}
        everything = answer_one(
            connection, scope, Question(max_distance=9.0), query, approximate=True
        )
    assert (everything.complete, len(everything.matches)) == (True, 1500)


@pytest.mark.usefixtures("eager")
def test_a_reranked_list_can_come_through_the_index(
    engine: Engine, clustered: tuple[Scope, QueryPerson]
) -> None:
    scope, query = clustered
    how = Reranking(candidates=60)
    with engine.connect() as connection:
        exact = answer_one(connection, scope, Question(limit=10), query, how)
        answer = answer_one(connection, scope, Question(limit=10), query, how, approximate=True)
    assert [m.image_id for m in answer.matches] == [m.image_id for m in exact.matches]
    assert answer.plan.startswith("approximate")
