"""What is older than its term goes, and nothing else; the log's rows only so."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from db.audit_log import newest
from gallery import erase, retention
from gallery import retention_rows as terms
from gallery.model_rows import ModelRow
from gallery.retention import BadTerm, Removed
from gallery.retention_rows import LogInUse
from gallery.store import ERASED
from query_sets import queries
from search.request import SearchRequest
from tests.fakes import ingest, names, register_fake_model, write_pictures

ALL = sorted(names(6))
OLD, KEPT = ALL[:3], ALL[3:]


@pytest.fixture
def model(engine: Engine) -> ModelRow:
    return register_fake_model(engine, max_distance=1.0)


@pytest.fixture
def folder(engine: Engine, model: ModelRow, tmp_path: Path) -> Path:
    """Six images in `g`, of which three are ten days old."""
    folder = write_pictures(tmp_path / "g", names(6))
    ingest(engine, folder, "g", model)
    older(engine, "UPDATE image SET ingested_at = now() - interval '10 days' WHERE path = ANY(:p)")
    return folder


def older(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE audit DISABLE TRIGGER audit_append_only"))
        connection.execute(text(statement), {"p": OLD} if ":p" in statement else {})
        connection.execute(text("ALTER TABLE audit ENABLE TRIGGER audit_append_only"))


def column(engine: Engine, statement: str) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.scalars(text(statement)))


def paths(engine: Engine) -> list[str]:
    return column(engine, "SELECT path FROM image ORDER BY path")


def actions_logged(engine: Engine) -> list[str]:
    return column(engine, "SELECT action FROM audit ORDER BY id")


@pytest.mark.usefixtures("folder")
def test_without_a_term_everything_stays(engine: Engine) -> None:
    assert retention.run(engine) == Removed()
    assert retention.show(engine) == []
    assert len(paths(engine)) == 6
    assert actions_logged(engine) == []


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("days", "gone"), [(10, 3), (11, 0)])
def test_what_is_older_goes(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, days: int, gone: int
) -> None:
    monkeypatch.setattr(retention, "CHUNK", 2)
    retention.set_terms(engine, days, None, None)
    assert [row["due"] for row in retention.show(engine)] == [gone, 0]
    assert retention.run(engine) == Removed(images=gone)
    assert paths(engine) == (KEPT if gone else ALL)
    assert column(engine, "SELECT count(*) FROM thumbnail") == [6 - gone]
    ran = newest(engine, 9, None, None, "retention run")
    assert [(row["question"]["images"], len(row["result_ids"])) for row in ran] == (
        [(3, 3)] if gone else []
    )
    assert retention.run(engine) == Removed()


def test_a_collection_has_its_own_term(engine: Engine, folder: Path, model: ModelRow) -> None:
    other = write_pictures(folder.parent / "h", names(3, first=50), first_seed=80)
    ingest(engine, other, "h", model)
    older(engine, "UPDATE image SET ingested_at = now() - interval '10 days'")
    retention.set_terms(engine, 5, None, None)
    retention.set_terms(engine, 20, "g", None)
    assert retention.run(engine).images == 3
    assert paths(engine) == ALL
    retention.set_terms(engine, 8, "g", None)
    assert retention.run(engine).images == 6
    assert column(engine, "SELECT DISTINCT reason FROM tombstone ORDER BY 1") == [
        "retention", "retention of g",
    ]  # fmt: skip
    with pytest.raises(BadTerm, match="no term of its own"):
        retention.switch_off(engine, "h", audit=False)
    assert retention.switch_off(engine, "g", audit=False) == 6
    assert retention.switch_off(engine, None, audit=False) == 3


def test_the_next_ingest_does_not_bring_it_back_while_the_term_is_set(
    engine: Engine, folder: Path, model: ModelRow
) -> None:
    erase.erase(engine, erase.ErasureRequest(files=(folder / KEPT[0],)), quick=True)
    retention.set_terms(engine, 9, None, None)
    retention.run(engine)
    ingest(engine, folder, "g", model)
    reasons = column(engine, "SELECT DISTINCT reason FROM task WHERE state = 'failed'")
    assert reasons == [ERASED]
    assert column(engine, "SELECT count(*) FROM thumbnail") == [2]
    assert retention.switch_off(engine, None, audit=False) == 3
    ingest(engine, folder, "g", model)
    assert column(engine, "SELECT count(*) FROM thumbnail") == [5]  # what was erased stays away
    assert retention.run(engine) == Removed()


def test_bytes_that_another_collection_holds_longer_are_not_kept_out(
    engine: Engine, folder: Path, model: ModelRow
) -> None:
    ingest(engine, folder, "archive", model)
    retention.set_terms(engine, 9, "g", None)
    assert retention.run(engine).images == 3
    assert column(engine, "SELECT count(*) FROM tombstone") == [0]
    assert column(engine, "SELECT count(*) FROM image") == [9]


def test_stored_queries_go_with_their_picture_or_by_their_own_age(
    engine: Engine, folder: Path
) -> None:
    asked = SearchRequest(("g",))
    queries.add(engine, "mixed", asked, [folder / OLD[0], folder / KEPT[0]])
    queries.add(engine, "young", asked, [folder / KEPT[1]])
    queries.add(engine, "aged", asked, [folder / KEPT[2]])
    older(
        engine,
        "UPDATE question SET created_at = now() - interval '10 days' WHERE query_set_id ="
        " (SELECT id FROM query_set WHERE name = 'aged')",
    )
    retention.set_terms(engine, 9, "g", None)
    assert retention.run(engine) == Removed(images=3, queries=1)
    assert column(engine, "SELECT name FROM query ORDER BY name") == KEPT
    retention.set_terms(engine, 9, None, None)
    assert retention.run(engine) == Removed(queries=1)
    assert column(engine, "SELECT name FROM query_set ORDER BY 1") == ["mixed", "young"]
    assert paths(engine) == KEPT


@pytest.mark.usefixtures("folder")
def test_a_run_that_is_broken_off_goes_on(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "CHUNK", 2)
    retention.set_terms(engine, 9, None, None)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        retention.run(engine, killed)
    assert len(paths(engine)) == 4
    retention.run(engine)
    assert paths(engine) == KEPT
    assert column(engine, "SELECT count(*) FROM tombstone") == [3]


# --- the audit log


@pytest.fixture
def logged(engine: Engine) -> Engine:
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO audit (actor, action, question) SELECT 'a', 'search', '{}'"
                 " FROM generate_series(1, 5)")
        )  # fmt: skip
    older(engine, "UPDATE audit SET at = now() - interval '40 days' WHERE id <= 3")
    return engine


def test_rows_of_the_log_go_by_their_own_term_alone(
    logged: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terms, "_AUDIT_AT_ONCE", 2)
    retention.set_terms(logged, 30, None, None)
    assert retention.run(logged).audit_rows == 0
    retention.set_terms(logged, None, None, 39)
    assert retention.show(logged)[-1] == {
        "what": "audit log", "name": None, "days": 39, "due": 3,
    }  # fmt: skip
    assert retention.run(logged).audit_rows == 3
    assert column(logged, "SELECT id FROM audit WHERE action = 'search' ORDER BY id") == [4, 5]
    said = [row["question"] for row in newest(logged, 9, None, None, "retention audit")]
    assert said == [
        {"days": 39, "rows": 1, "first": 3, "last": 3},
        {"days": 39, "rows": 2, "first": 1, "last": 2},
    ]
    with pytest.raises(DBAPIError, match="only ever added"), logged.begin() as connection:
        connection.execute(text("DELETE FROM audit"))


@pytest.mark.usefixtures("folder")
def test_the_log_is_kept_as_long_as_the_images(logged: Engine) -> None:
    retention.set_terms(logged, 60, "g", None)
    with pytest.raises(BadTerm, match="kept 59 days, images 60"):
        retention.set_terms(logged, None, None, 59)
    retention.set_terms(logged, None, None, 60)
    with pytest.raises(BadTerm, match="kept 60 days, images 61"):
        retention.set_terms(logged, 61, None, None)
    assert len(retention.show(logged)) == 2


def test_a_log_that_is_written_to_is_left_alone(
    logged: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terms, "_AUDIT_PATIENCE_S", 0.1)
    retention.set_terms(logged, None, None, 39)
    with logged.begin() as writer:
        writer.execute(text("INSERT INTO audit (actor, action, question) VALUES ('b', 'x', '{}')"))
        with pytest.raises(LogInUse, match="run it again later"):
            retention.run(logged)
    assert retention.run(logged).audit_rows == 3


@pytest.mark.parametrize(
    ("given", "says"),
    [((None, None, None), "after how many days"), ((None, "g", 9), "the images of 'g'")],
)
def test_a_term_that_says_nothing(engine: Engine, given: Any, says: str) -> None:
    with pytest.raises(BadTerm, match=says):
        retention.set_terms(engine, *given)
