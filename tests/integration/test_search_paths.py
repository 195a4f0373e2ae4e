"""Both paths of a search give what brute force gives, and say whether that is all."""

import pytest
from hypothesis import given, settings
from sqlalchemy import Engine

from gallery.collections import CollectionRow
from gallery.model_rows import ModelRow
from query_sets.batch_request import answer_many
from search.exact import answer_one
from search.question import Scope
from tests.fakes import collection, register_fake_model
from tests.search_oracle import Case, brute_force, cases, fill, limit_of


@pytest.fixture
def model(engine: Engine) -> ModelRow:
    return register_fake_model(engine, max_distance=0.75)


def check(engine: Engine, model: ModelRow, rows: list[CollectionRow], case: Case) -> None:
    scope = Scope(model, tuple(rows))
    with engine.connect() as connection:
        gallery, queries = fill(connection, model, rows, case)
        for query in queries:
            question = case.question(limit_of(case, gallery, query))
            one = answer_one(connection, scope, question, query)
            expected, candidates, complete = brute_force(gallery, case, query, question)
            assert [(m.image_id, m.distance) for m in one.matches] == expected
            assert (one.candidates, one.complete) == (candidates, complete)
            assert answer_many(connection, scope, question, [query]) == [one]
        together = answer_many(connection, scope, question, queries)
        assert together == [answer_one(connection, scope, question, q) for q in queries]
        connection.rollback()


def test_both_paths_equal_brute_force(engine: Engine, model: ModelRow) -> None:
    rows = [collection(engine, "one"), collection(engine, "two")]
    settings(max_examples=60, deadline=None)(
        given(cases)(lambda c: check(engine, model, rows, c))
    )()


@pytest.mark.long
def test_both_paths_equal_brute_force_for_long(engine: Engine, model: ModelRow) -> None:
    rows = [collection(engine, "one"), collection(engine, "two")]
    settings(max_examples=2000, deadline=None)(
        given(cases)(lambda c: check(engine, model, rows, c))
    )()
