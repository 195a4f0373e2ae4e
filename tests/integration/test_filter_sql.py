"""The SQL of a filter finds exactly the rows that `tests/filter_oracle.py` says it means."""

import random
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from sqlalchemy import Engine, Select, func, select, text

from db.schema import Collection, Feature, Image
from search.filters.parse import parse
from search.filters.sql import needs_collection, needs_image, where
from search.filters.tree import Filter
from tests.filter_oracle import Row, holds, real
from tests.filter_rows import random_labels, random_row, store
from tests.filter_trees import trees
from vocabulary import FIELDS


def statement(filter: Filter) -> Select[int]:
    """Only the joins that the filter says it needs."""
    stmt = select(Feature.image_id).where(where(filter))
    if needs_image(filter):
        stmt = stmt.join(Image, Image.id == Feature.image_id)
    if needs_collection(filter):
        stmt = stmt.join(Collection, Collection.id == Feature.collection_id)
    return stmt


@pytest.fixture
def stored(engine: Engine) -> dict[int, Row]:
    chance = random.Random(512)
    with engine.begin() as connection:
        return store(connection, [random_row(chance, number) for number in range(120)])


def test_sql_finds_what_the_filter_means(engine: Engine, stored: dict[int, Row]) -> None:
    with engine.connect() as connection:

        @settings(max_examples=300, deadline=None)
        @given(trees())
        def check(filter: Filter) -> None:
            found = set(connection.scalars(statement(filter)))
            assert found == {key for key, row in stored.items() if holds(filter, row)}

        check()


def test_the_condition_is_never_null(engine: Engine, stored: dict[int, Row]) -> None:
    """Each field alone: true or false for every row, and its opposite is the rest."""
    texts = [
        "camera = 3", "camera < 3", "pid in (1, 7)", "pid >= 0", "quality = 0.8", "quality < 0.5",
        "collection = gallery", "path starts with cam", "ingested >= 2026-11-02", "hat",
        "taken >= 2026-11-02", "taken = 2026-11-02T12:30:00.000002",
        "lower_color in (unknown, pink)", "hat >= 0.8",
    ]  # fmt: skip
    texts += [f"{field.name} = {word}" for field in FIELDS for word in field.words]
    with engine.connect() as connection:
        for question in texts:
            found = set(connection.scalars(statement(parse(question))))
            rest = set(connection.scalars(statement(parse(f"not ({question})"))))
            assert found | rest == stored.keys(), question
            assert not found & rest, question
            assert found, question


def test_a_stored_score_equals_its_own_number(engine: Engine, stored: dict[int, Row]) -> None:
    """0.8 as float4 is above 0.8 as float8, 0.1 and 0.7 below: `>=` and `<=` must not care."""
    with engine.connect() as connection:
        for number in (0.1, 0.5, 0.8):
            has = {key for key, row in stored.items() if row.scores[0] == real(number)}
            assert has
            for op in ("=", ">=", "<="):
                assert has <= set(connection.scalars(statement(parse(f"age-1 {op} {number}"))))
            for op in ("!=", ">", "<"):
                assert not has & set(connection.scalars(statement(parse(f"age-1 {op} {number}"))))


def test_prefixes_mean_themselves(engine: Engine, stored: dict[int, Row]) -> None:
    with engine.connect() as connection:
        for prefix in ("cam%", "cam_", "cam\\", "cam3/", "CAM", "日", "it's"):
            found = set(connection.scalars(statement(parse(f'path starts with "{prefix}"'))))
            assert found == {key for key, row in stored.items() if row.path.startswith(prefix)}, (
                prefix
            )
            assert found, prefix


@pytest.mark.parametrize("question", ["gender = female and hat", "upper_color in (red, white)"])
def test_labels_can_use_their_index(engine: Engine, question: str) -> None:
    with engine.connect() as connection:
        connection.execute(text("SET enable_seqscan = off"))
        stmt = statement(parse(question))
        compiled = stmt.compile(connection, compile_kwargs={"render_postcompile": True})
        plan = connection.exec_driver_sql(f"EXPLAIN {compiled}", compiled.params).scalars().all()
    assert any("ix_feature_labels" in line for line in plan), plan


def test_the_planner_estimates_a_camera(engine: Engine) -> None:
    """The planner looks through `IS NOT NULL AND`; through `coalesce(..., false)` it cannot."""
    chance = random.Random(3)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [
        Row(random_labels(chance), (0.5,) * 56, None, number % 10, None, "g", str(number), start)
        for number in range(300)
    ]
    with engine.begin() as connection:
        store(connection, rows)
        connection.execute(text("ANALYZE feature"))
        stmt = statement(parse("camera = 3"))
        assert connection.scalar(select(func.count()).select_from(stmt.subquery())) == 30
        compiled = stmt.compile(connection)
        plan = connection.exec_driver_sql(
            f"EXPLAIN (FORMAT JSON) {compiled}", compiled.params
        ).scalar()
    assert plan is not None
    assert 25 <= plan[0]["Plan"]["Plan Rows"] <= 35
