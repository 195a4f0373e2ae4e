"""What an explanation says is what was done; it does not change the answer or ask again."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sqlalchemy import Connection, Engine, event, text

from gallery.model_rows import ModelRow
from search.answer import Answer
from search.exact import answer_filter, answer_one
from search.explain import Explanation, explain
from search.filters.parse import parse
from search.question import QueryPerson, Question, Scope
from search.rerank import Reranking
from search.statement import planned
from tests.fakes import Stored, collection, register_fake_model, store

Floats = npt.NDArray[np.float32]
COUNT = 300


@pytest.fixture
def scope(engine: Engine) -> Scope:
    """300 images on a line; the first 30 on camera 1."""
    model = register_fake_model(engine, max_distance=0.75)
    gallery = collection(engine, "gallery")
    with engine.begin() as connection:
        items = [Stored(f"{n:03}.jpg", at(n / 8), camid=1 + n // 30) for n in range(COUNT)]
        store(connection, model, gallery, items)
        connection.execute(text("ANALYZE feature"))
    return Scope(model, (gallery,))


def at(position: float) -> Floats:
    vector = np.zeros(512, np.float32)
    vector[7] = position
    return vector


QUERY = QueryPerson("q.jpg", at(0), content_hashes=(b"\x00%s\xff'",), camid=9)


def explained(
    connection: Connection, scope: Scope, question: Question, how: Reranking | None = None
) -> tuple[Answer, Explanation]:
    answer = answer_one(connection, scope, question, QUERY, how)
    return answer, explain(connection, scope.model, question, answer, 0.25)


def test_filter_rows_and_times(engine: Engine, scope: Scope) -> None:
    question = Question(parse("camera = 1 and not upper_color = red"), limit=5)
    with engine.connect() as connection:
        answer, said = explained(connection, scope, question)
    assert said.filter == "camera 1, upper colour is not red"
    assert (said.passed, answer.candidates) == (30, 30)
    assert 10 <= said.estimated <= 90
    assert said.exact
    assert list(said.seconds) == ["embedding", "count", "statement", "recheck"]
    assert said.seconds["embedding"] == 0.25
    assert all(seconds >= 0 for seconds in said.seconds.values())
    assert sum(said.seconds.values()) - 0.25 == pytest.approx(answer.seconds)


def test_the_statement_is_the_one_that_was_run(engine: Engine, scope: Scope) -> None:
    question = Question(parse("""path starts with "0%'; \\" """), 2.0, 7, no_duplicates=True)
    with engine.connect() as connection:
        _, said = explained(connection, scope, question)
        assert "'[0.0000, 0.0000, 0.0000, ... 512 numbers]'" in said.statement
        assert r"starts_with(image.path,  E'0%''; \\'::VARCHAR)" in said.statement
        assert r"copy.content_hash IN ('\x002573ff27'::bytea)" in said.statement
        assert "LIMIT 23" in said.statement
        assert f"feature.model_id = {scope.model.id}" in said.statement
        assert len(said.statement) < 2_000


def test_a_long_list_is_shortened(engine: Engine, scope: Scope) -> None:
    pids = ", ".join(map(str, range(100)))
    with engine.connect() as connection:
        _, said = explained(connection, scope, Question(parse(f"pid in ({pids})")))
    assert "17, 18, 19, ... 100 values}" in said.statement
    assert ", 20" not in said.statement


def test_the_plan_in_words(engine: Engine, scope: Scope) -> None:
    question = Question(parse("upper_color = red"))
    with engine.connect() as connection:
        _, scanned = explained(connection, scope, Question())
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        connection.execute(text("SET LOCAL enable_indexscan = off"))
        _, behind = explained(connection, scope, question)
    assert scanned.plan.startswith("exact scan: ")
    assert "reads all of feature" in scanned.plan
    assert "reads all of feature, sorts, cuts at the limit, " in scanned.plan
    assert behind.plan.startswith("exact behind the index ix_feature_")
    assert "asks ix_feature_" in behind.plan
    assert "reads what it names of feature" in behind.plan


def test_nothing_is_asked_again(engine: Engine, scope: Scope) -> None:
    """Neither the search nor the count: explaining asks for plans, and for kinds of indexes."""
    question = Question(parse("camera = 1"))
    with engine.connect() as connection:
        answer = answer_one(connection, scope, question, QUERY)
        asked: list[str] = []

        @event.listens_for(engine, "before_cursor_execute")
        def note(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            asked.append(statement)

        before = scans(connection)
        asked.clear()
        explain(connection, scope.model, question, answer)
        assert all("FROM pg_class" in statement for statement in asked)
        assert scans(connection) == before
        event.remove(engine, "before_cursor_execute", note)
        assert answer == answer_one(connection, scope, question, QUERY)


def scans(connection: Connection) -> tuple[int, ...]:
    """How often this transaction has read the table, by whatever way."""
    row = connection.execute(
        text(
            "SELECT pg_stat_get_xact_numscans('feature'::regclass),"
            " pg_stat_get_xact_tuples_fetched('feature'::regclass)"
        )
    ).one()
    return tuple(row)


def test_a_filter_alone(engine: Engine, scope: Scope) -> None:
    question = Question(parse("camera = 2"))
    with engine.connect() as connection:
        answer = answer_filter(connection, scope, question)
        said = explain(connection, scope.model, question, answer)
    assert (said.passed, said.max_distance, said.rerank) == (30, "no limit", None)
    assert list(said.seconds) == ["count", "statement"]
    assert "<->" not in said.statement
    assert next(said.lines()) == "filter: camera 2"


def test_where_the_limit_came_from(engine: Engine, scope: Scope) -> None:
    auto = Question(max_distance=0.75, auto_distance=True)
    with engine.connect() as connection:
        answer, said = explained(connection, scope, auto)
        assert answer.max_distance_from == "auto"
        assert (
            said.max_distance == "at most 0.75, `auto` of model 'fake', chosen when it was trained"
        )
        measured = with_facts(scope.model, num_pairs=1234, precision=0.5, recall=0.25)
        said = explain(connection, measured, auto, answer)
        assert said.max_distance.endswith(
            "chosen when it was trained, over 1,234 pairs (precision 0.50, recall 0.25 there)"
        )
        mine = with_facts(
            scope.model, calibrated_at="2026-01-02T03:04:05+00:00", collection="mine",
            distractors=["crowd"],
        )  # fmt: skip
        said = explain(connection, mine, auto, answer)
        assert said.max_distance.endswith(
            "calibrated 2026-01-02T03:04:05+00:00 on 'mine' and 'crowd'"
        )
        judged = with_facts(
            scope.model, calibrated_at="2026-01-02T03:04:05+00:00", source="verdicts",
            sets=["lost", "found"],
        )  # fmt: skip
        said = explain(connection, judged, auto, answer)
        assert said.max_distance.endswith(
            "calibrated 2026-01-02T03:04:05+00:00 on the verdicts of 'lost' and 'found'"
        )
        answer, said = explained(connection, scope, Question(max_distance=0.75))
        assert (answer.max_distance_from, said.max_distance) == ("given", "at most 0.75, as given")
        answer, said = explained(connection, scope, Question())
        assert (answer.max_distance_from, said.max_distance) == (None, "no limit")


def with_facts(model: ModelRow, **facts: object) -> ModelRow:
    return replace(model, calibration=facts)


def test_a_new_order(engine: Engine, scope: Scope) -> None:
    with engine.connect() as connection:
        _, said = explained(connection, scope, Question(), Reranking(candidates=40))
    assert said.rerank == (
        "re-ranked by k-reciprocal neighbours among the 40 closest images that passed (k1 20, k2 6,"
        " lambda 0.3); the rest keep their order after"
    )
    assert list(said.seconds) == ["embedding", "count", "statement", "recheck", "rerank"]
    assert f"order: {said.rerank}" in list(said.lines())


def test_the_planner_is_asked_about_the_whole_embedding(engine: Engine, scope: Scope) -> None:
    """A shortened one would be no vector at all."""
    with engine.connect() as connection:
        answer, _ = explained(connection, scope, Question(max_distance=0.5))
        assert answer.work and answer.work.statement is not None
        assert planned(connection, answer.work.statement)["Plan Rows"] >= 1
