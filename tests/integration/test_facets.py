"""Counts beside the attributes and the histogram of distances, against brute force."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from sqlalchemy import Engine

from gallery.collections import all_collections
from gallery.model_rows import ModelRow, all_models
from search.facets import facet_counts, joined, take_apart
from search.filters.leaves import LabelIs
from search.filters.parse import parse
from search.filters.tree import Filter
from search.histogram import BINS, histogram
from search.question import QueryPerson, Question, Scope
from tests.fakes import Stored, collection, register_fake_model
from tests.fakes import store as store_items
from tests.filter_oracle import Row, holds
from tests.filter_rows import random_row, store
from tests.filter_trees import trees
from vocabulary import FIELDS


@pytest.fixture
def rows(engine: Engine) -> list[Row]:
    chance = random.Random(27)
    with engine.begin() as connection:
        return list(
            store(connection, [random_row(chance, number) for number in range(90)]).values()
        )


@pytest.fixture
def scope(engine: Engine, rows: list[Row]) -> Scope:
    assert rows
    with engine.connect() as connection:
        (model,) = all_models(connection)
        return Scope(model, tuple(all_collections(connection)))


def expected(rows: list[Row], filter: Filter | None, field: str, word: str) -> int:
    """The filter with this value in the place of its field's own, asked of every row."""
    apart = take_apart(filter)
    others = [leaf for name, leaf in apart.shown.items() if name != field]
    wanted = joined([*apart.rest, *others, LabelIs(field, (word,))])
    assert wanted is not None
    return sum(holds(wanted, row) for row in rows)


def check(engine: Engine, scope: Scope, rows: list[Row], filter: Filter | None) -> None:
    with engine.connect() as connection:
        counts = facet_counts(connection, scope, filter)
    assert {name: list(words) for name, words in counts.items()} == {
        field.name: list(field.words) for field in FIELDS
    }
    for name, words in counts.items():
        for word, count in words.items():
            assert count == expected(rows, filter, name, word), (name, word)


@pytest.mark.parametrize(
    "text",
    [
        "gender = female",
        "upper_color in (red, unknown) and age = young and camera = 3",
        "hat and hat = no",
        "gender = male or backpack",
        "not upper_color = red and pid in (1, 7) and lower_type = dress",
        "backpack >= 0.5 and bag",
    ],
)
def test_counts_of_written_filters(
    engine: Engine, scope: Scope, rows: list[Row], text: str
) -> None:
    check(engine, scope, rows, parse(text))


def test_counts_of_any_filter(engine: Engine, scope: Scope, rows: list[Row]) -> None:
    check(engine, scope, rows, None)

    @settings(max_examples=30, deadline=None)
    @given(trees())
    def any_filter(filter: Filter) -> None:
        check(engine, scope, rows, filter)

    any_filter()


def test_counts_of_some_collections(engine: Engine, scope: Scope, rows: list[Row]) -> None:
    first = scope.galleries[0]
    own = [row for row in rows if row.collection == first.name]
    assert 0 < len(own) < len(rows)
    check(engine, Scope(scope.model, (first,)), own, parse("hair = long"))


# --- distances


def far(model: ModelRow, engine: Engine, distances: list[float]) -> Scope:
    """A gallery whose images have these distances to the zero vector."""
    row = collection(engine, "line")
    vectors = np.zeros((len(distances), 512), np.float32)
    vectors[:, 0] = distances
    items = [Stored(f"{n}.jpg", vector, camid=n % 2 + 1) for n, vector in enumerate(vectors)]
    with engine.begin() as connection:
        store_items(connection, model, row, items)
    return Scope(model, (row,))


ZERO = QueryPerson("zero", np.zeros(512, np.float32), camid=1)


def test_every_distance_is_in_the_histogram(engine: Engine) -> None:
    distances = [0.0, 0.25, 0.25, 0.5, 1.0, 1.0, 1.5, 2.0]
    scope = far(register_fake_model(engine), engine, distances)
    with engine.connect() as connection:
        found = histogram(connection, scope, Question(), ZERO, limit=0.5)
    counts, _ = np.histogram(distances, BINS, (0, 2))
    assert found.counts == tuple(counts)
    assert (found.total, found.nearest, found.far, found.within) == (8, 0.0, 2.0, 4)
    assert found.median == pytest.approx(0.5, abs=2 / BINS)


def test_what_the_question_leaves_out_is_not_counted(engine: Engine) -> None:
    scope = far(register_fake_model(engine), engine, [0.1, 0.2, 0.3, 0.4])
    with engine.connect() as connection:
        others = histogram(connection, scope, Question(not_same_camera=True), ZERO)
        nobody = histogram(connection, scope, Question(parse("camera = 9")), ZERO, 1.0)
        filtered = histogram(connection, scope, Question(parse("camera = 1"), 0.1), ZERO)
    assert (others.total, others.within) == (2, None)
    assert (nobody.total, nobody.nearest, nobody.median, nobody.within) == (0, None, None, 0)
    assert filtered.total == 2, "a distance limit leaves nobody out of the histogram"


def test_copies_of_the_query_alone(engine: Engine) -> None:
    scope = far(register_fake_model(engine), engine, [0.0, 0.0])
    with engine.connect() as connection:
        found = histogram(connection, scope, Question(), ZERO)
    assert (found.counts[0], found.total, found.far) == (2, 2, 0.0)
