"""The SQL of a filter, as text; `tests/integration/test_filter_sql.py` runs it."""

import sys

import pytest
from hypothesis import given, settings
from sqlalchemy import create_engine

from search.filters.parse import parse
from search.filters.sql import needs_collection, needs_image, where
from search.filters.tree import Filter
from tests.filter_trees import trees
from vocabulary import LABEL_OF

DIALECT = create_engine("postgresql+psycopg://").dialect


def compiled(filter: Filter) -> tuple[str, list[object]]:
    statement = where(filter).compile(dialect=DIALECT)
    return str(statement), list(statement.params.values())


@pytest.mark.parametrize(
    ("text", "sql", "values"),
    [
        ("gender = female", "feature.labels @> %(param_1)s::SMALLINT[]", [[LABEL_OF["gender-2"]]]),
        (
            "gender in (male, female)",
            "feature.labels && %(param_1)s::SMALLINT[]",
            [[LABEL_OF["gender-1"], LABEL_OF["gender-2"]]],
        ),
        ("not hat", "NOT (feature.labels @> %(param_1)s::SMALLINT[])", [[LABEL_OF["hat-2"]]]),
        (
            "hat >= 0.8",
            "feature.scores[%(param_1)s::INTEGER] >= CAST(%(param_2)s AS REAL)",
            [LABEL_OF["hat-2"], 0.800000011920929],
        ),
        (
            "camera != 3",
            "NOT (feature.camid IS NOT NULL AND feature.camid = %(param_1)s::SMALLINT)",
            [3],
        ),
        (
            "pid in (1, 2)",
            "image.pid IS NOT NULL AND image.pid = ANY (%(param_1)s::INTEGER[])",
            [[1, 2]],
        ),
        ("path = a_%/", "starts_with(image.path, %(param_1)s::VARCHAR)", ["a_%/"]),
    ],
)
def test_statement(text: str, sql: str, values: list[object]) -> None:
    assert compiled(parse(text)) == (sql, values)


def test_nothing_of_the_text_is_in_the_sql() -> None:
    words = ["Robert'); drop table", "zebra", "98765", "12345", "0.4321", "2026"]
    text = (
        f'collection = "{words[0]}" and path starts with {words[1]} and pid in ({words[2]}, 7)'
        f" and pid < {words[3]} and hat >= {words[4]} and ingested > {words[5]}-11-01"
    )
    sql, values = compiled(parse(text))
    assert not [word for word in words if word in sql]
    assert words[0] in values


@settings(max_examples=100, deadline=None)
@given(trees())
def test_the_joins_that_are_needed_are_told(filter: Filter) -> None:
    sql, _ = compiled(filter)
    assert ("image." in sql) == needs_image(filter)
    assert ("collection." in sql) == needs_collection(filter)


def test_a_thousand_values_are_one_parameter() -> None:
    _, values = compiled(parse(f"pid in ({','.join(map(str, range(1_000)))})"))
    assert values == [list(range(1_000))]


def test_the_deepest_filter_compiles_under_a_deep_stack() -> None:
    deepest = parse("(not(hat or " * 24 + "bag and hat" + "))" * 24)

    def below(levels: int) -> str:
        return below(levels - 1) if levels else compiled(deepest)[0]

    assert sys.getrecursionlimit() == 1_000
    assert below(300).count("NOT") == 24
