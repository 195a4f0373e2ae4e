"""What a search answers, in single facts, and what it says of its limits."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sqlalchemy import Engine

from gallery.collections import UnknownCollection, collections_named
from gallery.model_rows import ModelRow
from query_sets.batch_request import answer_many
from query_sets.batch_search import load_gallery
from search.answer import Answer
from search.exact import answer_filter, answer_one
from search.filters.parse import parse
from search.question import BadQuestion, QueryPerson, Question, Scope, resolve_max_distance
from tests.fakes import Stored, collection, register_fake_model, store

Floats = npt.NDArray[np.float32]


@pytest.fixture
def model(engine: Engine) -> ModelRow:
    return register_fake_model(engine, max_distance=0.75)


@pytest.fixture
def small(engine: Engine, model: ModelRow) -> tuple[Scope, list[Stored]]:
    """Five images on a line at 0, 1, 1, 2 and 3, the two at 1 in the "wrong" order of paths."""
    row = collection(engine, "gallery")
    items = [
        Stored(path, at(position), pid=pid, camid=camid)
        for path, position, pid, camid in (
            ("0.jpg", 0, 1, 1), ("z.jpg", 1, 1, 2), ("a.jpg", 1, 2, 2), ("2.jpg", 2, None, None),
            ("3.jpg", 3, 0, 3),
        )
    ]  # fmt: skip
    with engine.begin() as connection:
        store(connection, model, row, items)
    return Scope(model, (row,)), items


def at(position: float) -> Floats:
    vector = np.zeros(512, np.float32)
    vector[7] = position
    return vector


def paths(answer: Answer) -> list[str]:
    return [match.path for match in answer.matches]


def test_ties_stand_by_path(engine: Engine, small: tuple[Scope, list[Stored]]) -> None:
    with engine.connect() as connection:
        answer = answer_one(connection, small[0], Question(), QueryPerson("q", at(0)))
        first = answer_one(connection, small[0], Question(limit=2), QueryPerson("q", at(0)))
    assert paths(answer) == ["0.jpg", "a.jpg", "z.jpg", "2.jpg", "3.jpg"]
    assert [match.rank for match in answer.matches] == [1, 2, 3, 4, 5]
    assert [match.distance for match in answer.matches] == [0, 1, 1, 2, 3]
    assert paths(first) == ["0.jpg", "a.jpg"]


def test_the_limit_of_distance_is_within(engine: Engine, small: tuple[Scope, list[Stored]]) -> None:
    with engine.connect() as connection:
        for limit, count in ((1.0, 3), (np.nextafter(1.0, 0), 1), (0.0, 1), (100.0, 5)):
            question = Question(max_distance=float(limit))
            answer = answer_one(connection, small[0], question, QueryPerson("q", at(0)))
            assert (len(answer.matches), answer.complete, answer.candidates) == (count, True, 5)


def test_an_answer_says_what_a_limit_left_out(
    engine: Engine, small: tuple[Scope, list[Stored]]
) -> None:
    with engine.connect() as connection:
        query = QueryPerson("q", at(0))
        cut = answer_one(connection, small[0], Question(limit=4), query)
        whole = answer_one(connection, small[0], Question(limit=5), query)
    assert (cut.complete, cut.incomplete_reason) == (False, "cut off at the limit of 4")
    assert (whole.complete, whole.incomplete_reason) == (True, None)


def test_many_copies_at_one_distance(engine: Engine, model: ModelRow) -> None:
    """More ties than are read at first: still the first ones by path."""
    row = collection(engine, "copies")
    order = np.random.default_rng(0).permutation(300).tolist()
    with engine.begin() as connection:
        store(connection, model, row, [Stored(f"{n:03}.jpg", at(1)) for n in order])
        answer = answer_one(
            connection, Scope(model, (row,)), Question(limit=3), QueryPerson("q", at(0))
        )
    assert paths(answer) == ["000.jpg", "001.jpg", "002.jpg"]
    assert not answer.complete


def test_a_filter_alone(engine: Engine, small: tuple[Scope, list[Stored]]) -> None:
    with engine.connect() as connection:
        answer = answer_filter(connection, small[0], Question(parse("pid >= 0")))
        assert paths(answer) == ["0.jpg", "3.jpg", "a.jpg", "z.jpg"]
        assert {match.distance for match in answer.matches} == {None}
        assert (answer.candidates, answer.complete, answer.filter) == (4, True, "pid >= 0")
        answer = answer_filter(connection, small[0], Question(parse("pid >= 0"), limit=2))
        assert (paths(answer), answer.candidates) == (["0.jpg", "3.jpg"], 4)
        assert answer.incomplete_reason == "cut off at the limit of 2"
        answer = answer_filter(connection, small[0], Question(parse("camera = 77")))
        assert (answer.matches, answer.candidates, answer.complete) == ((), 0, True)


def test_an_empty_gallery(engine: Engine, model: ModelRow) -> None:
    scope = Scope(model, (collection(engine, "empty"),))
    query = QueryPerson("q", at(0))
    with engine.connect() as connection:
        one = answer_one(connection, scope, Question(), query)
        assert answer_many(connection, scope, Question(), [query]) == [one]
        assert len(load_gallery(connection, scope, Question())) == 0
    assert (one.matches, one.candidates, one.complete) == ((), 0, True)


def test_other_models_and_collections_do_not_meet(engine: Engine, model: ModelRow) -> None:
    other = register_fake_model(engine, "other")
    here, there = collection(engine, "here"), collection(engine, "there")
    with engine.begin() as connection:
        store(connection, model, here, [Stored("a.jpg", at(1))])
        store(connection, other, here, [Stored("b.jpg", at(1))])
        store(connection, model, there, [Stored("c.jpg", at(1))])
        for model_, rows, expected in (
            (model, (here,), ["a.jpg"]),
            (other, (here, there), ["b.jpg"]),
        ):
            scope, query = Scope(model_, rows), QueryPerson("q", at(0))
            assert paths(answer_one(connection, scope, Question(), query)) == expected
            assert paths(answer_many(connection, scope, Question(), [query])[0]) == expected


def test_an_unknown_collection(engine: Engine) -> None:
    with engine.connect() as connection:
        with pytest.raises(UnknownCollection) as caught:
            collections_named(connection, ("galery",))
        assert str(caught.value) == "no collection 'galery'; see `reid ingest --help`"
    collection(engine, "gallery"), collection(engine, "queries")
    for name, hint in (
        ("galery", "did you mean 'gallery'?"),
        ("zzz", "there are gallery, queries"),
    ):
        with engine.connect() as connection, pytest.raises(UnknownCollection) as caught:
            collections_named(connection, ("gallery", name))
        assert str(caught.value) == f"no collection {name!r}; {hint}"
        assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"limit": 0}, "--limit is 0; expected 1 or more, to 1,000,000,000"),
        ({"max_distance": -1.0}, "--max-distance is -1.0; expected 0 or more"),
        ({"max_distance": 1e200}, "--max-distance is 1e+200; expected at most 1,000,000,000"),
        ({"max_distance": float("nan")}, "--max-distance is nan; expected 0 or more"),
        ({"max_distance": float("inf")}, "--max-distance is inf; expected 0 or more"),
    ],
)
def test_a_bad_limit(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadQuestion) as caught:
        Question(**arguments)
    assert str(caught.value) == sentence


def test_the_models_own_limit(engine: Engine, model: ModelRow) -> None:
    assert resolve_max_distance("auto", model) == 0.75
    assert resolve_max_distance("0.5", model) == 0.5
    assert resolve_max_distance(None, model) is None
    with pytest.raises(BadQuestion) as caught:
        resolve_max_distance("auto", register_fake_model(engine, "raw"))
    assert str(caught.value) == (
        "model 'raw' has no calibrated distance; give --max-distance a number"
    )
    with pytest.raises(BadQuestion, match="expected auto or a number"):
        resolve_max_distance("near", model)
