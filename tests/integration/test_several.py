"""Several images of one person: their mean, or the nearest of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from gallery.collections import CollectionRow
from gallery.model_rows import ModelRow
from search.exact import answer_one
from search.filters.parse import parse
from search.multi_image import nearest_of
from search.query_images import one_by_one, one_query
from search.question import QueryPerson, Question, Scope
from search.rerank import Reranking
from tests.fakes import collection, register_fake_model
from tests.search_oracle import Case, fill, l2


@pytest.fixture
def model(engine: Engine) -> ModelRow:
    return register_fake_model(engine, max_distance=0.75)


def check(engine: Engine, model: ModelRow, row: CollectionRow, case: Case, radius: float) -> None:
    with engine.connect() as connection:
        gallery, queries = fill(connection, model, [row], case)
        question = case.question(None if case.distance is None else radius)
        each = one_by_one(queries)
        answers = [answer_one(connection, Scope(model, (row,)), question, one) for one in each]
        found = nearest_of(answers, question, "three")
        passing = gallery.passing(case, one_query(queries))
        wanted = sorted(
            (min(l2(q.embedding_D, item.embedding) for q in queries), item.path, image_id)
            for image_id, _, item in passing
        )
        if question.max_distance is not None:
            wanted = [one for one in wanted if one[0] <= question.max_distance]
        limit = question.effective_limit
        assert [(m.distance, m.path, m.image_id) for m in found.matches] == wanted[:limit]
        assert found.candidates == len(passing)
        assert found.complete == (limit is None or len(wanted) <= limit)
        connection.rollback()


def test_the_nearest_image_decides(engine: Engine, model: ModelRow) -> None:
    row = collection(engine, "one")
    cases = st.builds(
        Case,
        seed=st.integers(0, 2**32 - 1),
        count=st.integers(0, 40),
        scale=st.sampled_from([0.0, 1.0]),
        filter=st.sampled_from([None, parse("camera = 2"), parse("gender = female")]),
        limit=st.sampled_from([None, 1, 5, 100]),
        distance=st.sampled_from([None, "random"]),
        not_same_camera=st.booleans(),
        no_duplicates=st.booleans(),
    )
    settings(max_examples=30, deadline=None)(
        given(cases, st.floats(0, 2))(lambda case, radius: check(engine, model, row, case, radius))
    )()


def test_one_person_s_images_share_what_they_agree_on() -> None:
    ones, twos = np.ones(512, np.float32), np.full(512, 2, np.float32)
    images = [
        QueryPerson("a", ones, (b"1",), 7, 1, "x"),
        QueryPerson("b", twos, (b"2",), 7, 2, "x"),
    ]
    each = one_by_one(images)
    assert [query.embedding_D[0] for query in each] == [1, 2]
    for query in each:
        assert (query.name, query.content_hashes) == ("a and 1 more", (b"1", b"2"))
        assert (query.pid, query.camid, query.identities) == (7, None, "x")


def test_re_ranked_lists_have_no_nearest(engine: Engine, model: ModelRow) -> None:
    scope = Scope(model, (collection(engine, "one"),))
    query = QueryPerson("a", np.ones(512, np.float32))
    with engine.connect() as connection:
        answer = answer_one(connection, scope, Question(), query, Reranking(candidates=5))
    with pytest.raises(ValueError, match="ordered by distance"):
        nearest_of([answer], Question(), "a")
