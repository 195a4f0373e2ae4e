"""The readable view, and the page that tells people who know SQL how to use it."""

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from sqlalchemy import Engine, text

from gallery.collections import collections_named
from gallery.model_rows import ModelRow
from search.exact import answer_one
from search.filters.parse import parse
from search.question import QueryPerson, Question, Scope
from tests.fakes import Stored, collection, register_fake_model, store
from vocabulary import FIELDS, LABEL_OF, NAMES, decide, describe

SQL_PAGE = Path(__file__).resolve().parents[2] / "docs" / "sql.md"
Floats = npt.NDArray[np.float32]


@pytest.fixture
def model(engine: Engine) -> ModelRow:
    return register_fake_model(engine, max_distance=0.75)


def at(position: float) -> Floats:
    vector = np.zeros(512, np.float32)
    vector[7] = position
    return vector


def scores_for(rng: np.random.Generator) -> tuple[float, ...]:
    return tuple(float(score) for score in rng.random(56, np.float32))


def test_the_view_reads_as_labels_describe(engine: Engine, model: ModelRow) -> None:
    rng = np.random.default_rng(27)
    row = collection(engine, "gallery")
    none = tuple(0.9 if name.endswith("-1") else 0.2 for name in NAMES)  # no colour at all
    items = [Stored(f"{n}.jpg", at(n), scores_for(rng), n, n % 3) for n in range(40)]
    items.append(Stored("none.jpg", at(0), none))
    other = register_fake_model(engine, "not active")
    with engine.begin() as connection:
        ids = store(connection, model, row, items)
        store(connection, other, row, [Stored("other.jpg", at(0))])
        rows = connection.execute(text("SELECT * FROM gallery ORDER BY image_id")).mappings().all()
    assert [found["image_id"] for found in rows] == ids
    for found, item in zip(rows, items, strict=True):
        labels = decide(item.scores)
        meant = describe(labels)
        assert {field.name: found[field.name] for field in FIELDS} == meant
        assert (found["path"], found["pid"], found["camid"]) == (item.path, item.pid, item.camid)
        assert (found["collection"], found["model"]) == ("gallery", "fake")
        for field in FIELDS:
            own = [item.scores[LABEL_OF[name] - 1] for name in field.values.values()]
            words = list(field.values)
            word = meant[field.name]
            score = 1 - max(own) if word == "unknown" else own[words.index(word)]
            assert found[f"{field.name}_score"] == pytest.approx(score, abs=1e-6), field.name


def statements_of_the_page() -> list[str]:
    return re.findall(r"```sql\n(.*?)```", SQL_PAGE.read_text(), re.DOTALL)


def test_every_statement_of_the_page_runs(engine: Engine, model: ModelRow) -> None:
    fill_the_page(engine, model)
    statements = statements_of_the_page()
    assert len(statements) == 4
    with engine.connect() as connection:
        for statement in statements:
            assert connection.exec_driver_sql(statement).all(), statement


def test_the_page_names_every_column_and_table(engine: Engine) -> None:
    page = SQL_PAGE.read_text()
    with engine.connect() as connection:
        names = connection.scalars(
            text(
                "SELECT column_name FROM information_schema.columns WHERE table_name = 'gallery'"
                " UNION SELECT table_name FROM information_schema.tables"
                " WHERE table_schema = 'public' AND table_name <> 'alembic_version'"
            )
        ).all()
    said = set(re.findall(r"`(\w+)`", page))
    assert {name for name in names if not name.endswith("_score")} <= said
    for field in FIELDS:
        assert {field.name, *field.words} <= said


def fill_the_page(engine: Engine, model: ModelRow) -> QueryPerson:
    rng = np.random.default_rng(474)
    here, there = collection(engine, "query"), collection(engine, "gallery")
    vectors = rng.normal(size=(201, 512)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[50:] = vectors[200] + 0.3 * vectors[50:]
    with engine.begin() as connection:
        store(connection, model, here, [Stored("0474_c3_012345678.jpg", vectors[200], camid=3)])
        items = [
            Stored(f"{n:04}_c{n % 4}_{n}.jpg", vectors[n], scores_for(rng), n, n % 4 or None)
            for n in range(200)
        ]
        store(connection, model, there, items)
        connection.execute(text("UPDATE image SET captured_at = '2026-11-01 08:30+01'"))
    return QueryPerson("0474_c3_012345678.jpg", vectors[200], camid=3)


def test_the_documented_search_is_the_programs(engine: Engine, model: ModelRow) -> None:
    query = fill_the_page(engine, model)
    question = Question(
        parse("gender = female and upper_color in (red, white) and not hat"),
        max_distance=1.2,
        limit=50,
        not_same_camera=True,
    )
    statement = next(s for s in statements_of_the_page() if "<->" in s)
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(statement).all()
        scope = Scope(model, tuple(collections_named(connection, ("gallery",))))
        answer = answer_one(connection, scope, question, query)
    assert 3 < len(rows) < 50
    assert [(row.rank, row.path, row.pid, row.camid) for row in rows] == [
        (match.rank, match.path, match.pid, match.camid) for match in answer.matches
    ]
    assert [row.distance for row in rows] == pytest.approx(
        [match.distance for match in answer.matches], abs=1e-6
    )
