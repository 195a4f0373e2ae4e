"""Stored query sets and their runs."""

from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, insert, text

from db.schema import Image
from gallery import collections
from gallery.collections import CollectionRow
from gallery.model_rows import ModelRow, activate
from query_sets.batch_request import answer_many
from query_sets.read_run import UnknownRun, stored_answers
from query_sets.runs import CannotRun, is_stale, latest_run, runs_of
from query_sets.set_rows import (
    QueryExists,
    UnknownQuerySet,
    add_queries,
    all_sets,
    describe_set,
    remove_set,
)
from search.filters.parse import parse
from search.question import QueryPerson, Question, Scope, mean_embedding
from tests.fakes import (
    Stored,
    collection,
    ingest,
    names,
    register_fake_model,
    store,
    write_pictures,
)
from tests.query_sets import add, at, exported, query, run


@pytest.fixture
def model(engine: Engine) -> ModelRow:
    return register_fake_model(engine, max_distance=1.5)


@pytest.fixture
def gallery(engine: Engine, model: ModelRow) -> CollectionRow:
    """Images at 0, 1, 2 ... 9, called 0.jpg, 1.jpg ..."""
    row = collection(engine, "gallery")
    items = [Stored(f"{n}.jpg", at(n), pid=n, camid=n % 2) for n in range(10)]
    with engine.begin() as connection:
        store(connection, model, row, items)
    return row


# --- sets


def test_a_set_from_adding_to_removing(
    engine: Engine, model: ModelRow, gallery: CollectionRow
) -> None:
    question = Question(parse("camera = 1"), max_distance=2.0)
    assert add(engine, model, [gallery], [query("b.jpg", 4), query("a.jpg", 0)], question) == 2
    assert add(engine, model, [gallery], [query("c.jpg", 9)], Question(not_same_camera=True)) == 1
    with engine.connect() as connection:
        assert [(s["name"], s["queries"], s["runs"]) for s in all_sets(connection)] == [
            ("set", 3, 0)
        ]
        assert describe_set(connection, "set") == [
            {
                "queries": 2, "galleries": ["gallery"], "filter": "camera = 1", "max_distance": 2.0,
                "limit": None, "not_same_camera": False, "no_duplicates": False,
            "rerank": False,
            },
            {
                "queries": 1, "galleries": ["gallery"], "filter": None, "max_distance": None,
                "limit": 50, "not_same_camera": True, "no_duplicates": False,
            "rerank": False,
            },
        ]  # fmt: skip
    summary = run(engine, model)
    assert (summary.queries, summary.with_matches, summary.matches) == (3, 3, 3 + 2 - 1 + 9)
    assert exported(engine).splitlines() == [
        "a.jpg: 1.jpg",
        "b.jpg: 3.jpg, 5.jpg",
        "c.jpg: " + ", ".join(f"{n}.jpg" for n in reversed(range(10))),
    ]
    with engine.begin() as connection:
        remove_set(connection, "set")
        for table in ("question", "query", "query_image", "query_embedding", "run", "match"):
            assert connection.scalar(text(f"SELECT count(*) FROM {table}")) == 0, table
        with pytest.raises(UnknownQuerySet):
            remove_set(connection, "set")


def test_auto_is_the_models_limit(engine: Engine, model: ModelRow, gallery: CollectionRow) -> None:
    add(engine, model, [gallery], [query("a.jpg", 5)], Question(max_distance=1.5), auto=True)
    with engine.connect() as connection:
        shown = describe_set(connection, "set")[0]
    assert (shown["max_distance"], shown["limit"]) == ("auto", None)
    assert run(engine, model).max_distance == 1.5
    assert exported(engine) == "a.jpg: 5.jpg, 4.jpg, 6.jpg\n"
    with engine.begin() as connection:
        found = list(stored_answers(connection, latest_run(connection, "set")))
        assert [kept.answer.max_distance_from for kept in found] == ["auto"]
        connection.execute(text("UPDATE model SET max_distance = 0.5"))
    assert run(engine, register_fake_model(engine)).matches == 1
    with engine.begin() as connection:
        connection.execute(text("UPDATE model SET max_distance = NULL"))
    with pytest.raises(CannotRun, match="model 'fake' has no calibrated distance for `auto`"):
        run(engine, register_fake_model(engine))


def test_a_name_twice(engine: Engine, model: ModelRow, gallery: CollectionRow) -> None:
    add(engine, model, [gallery], [query("a.jpg", 0), query("b.jpg", 0)])
    with pytest.raises(QueryExists) as caught:
        add(engine, model, [gallery], [query("c.jpg", 0), query("b.jpg", 0)])
    assert str(caught.value) == (
        "query set 'set' has 'b.jpg' already (1 of 2 are there); "
        "use another set, or `reid query remove set` first"
    )
    assert add(engine, model, [gallery], [query("b.jpg", 0)], name="another") == 1


def test_a_set_that_is_not_there(engine: Engine, model: ModelRow, gallery: CollectionRow) -> None:
    with pytest.raises(UnknownQuerySet) as caught:
        run(engine, model, "set")
    assert str(caught.value) == "no query set 'set'; see `reid query add --help`"
    add(engine, model, [gallery], [query("a.jpg", 0)])
    with pytest.raises(UnknownQuerySet, match=r"no query set 'sett'; did you mean 'set'\?"):
        run(engine, model, "sett")
    with engine.connect() as connection:
        with pytest.raises(CannotRun, match="was never run; run it with `reid query run set`"):
            latest_run(connection, "set")
        with pytest.raises(UnknownRun):
            stored_answers(connection, 77)


@pytest.mark.parametrize("name", ["", "  ", "x" * 201])
def test_a_set_needs_a_name(
    engine: Engine, model: ModelRow, gallery: CollectionRow, name: str
) -> None:
    with pytest.raises(Exception, match="a query set needs a name of 1 to 200 characters"):
        add(engine, model, [gallery], [query("a.jpg", 0)], name=name)


@pytest.mark.parametrize("name", ["", "a, b", "a: b", "a\nb", " a", "b "])
def test_a_query_name_that_no_file_could_hold(name: str) -> None:
    with pytest.raises(ValueError, match="expected an exported name"):
        query(name, 0)


def test_more_queries_than_a_statement_takes_parameters(
    engine: Engine, model: ModelRow, gallery: CollectionRow
) -> None:
    add(engine, model, [gallery], [query("first", 0)])
    many = [query(str(n), 0) for n in range(70_000)]
    with engine.begin() as connection, pytest.raises(QueryExists, match=r"1 of 70001"):
        add_queries(
            connection, "set", model, [gallery], Question(), auto_distance=False,
            queries=[*many, query("first", 0)],
        )  # fmt: skip


def test_more_missing_files_than_a_statement_takes_parameters(engine: Engine) -> None:
    row = collection(engine, "gallery")
    with engine.begin() as connection:
        connection.execute(
            insert(Image), {"collection_id": row.id, "path": "a.jpg", "source": "here"}
        )
        first = connection.scalar(text("SELECT id FROM image"))
        assert first is not None
        collections.mark_missing(connection, list(range(first, first + 70_000)))
        assert collections.prune(connection, row.id) == 1


# --- runs


def test_several_images_of_a_query_count_as_one(
    engine: Engine, model: ModelRow, gallery: CollectionRow
) -> None:
    add(engine, model, [gallery], [query("a.jpg", 2, 4)], Question(limit=1))
    run(engine, model)
    assert exported(engine) == "a.jpg: 3.jpg\n"


def test_the_mean_of_one_image_is_itself() -> None:
    alone = np.random.default_rng(0).normal(size=512).astype(np.float32)
    assert np.array_equal(mean_embedding([alone]), alone)
    assert np.linalg.norm(mean_embedding([alone, -alone])) == 0
    two = mean_embedding([alone / np.linalg.norm(alone), at(1)])
    assert np.linalg.norm(two) == pytest.approx(1, abs=1e-6)


def test_a_run_answers_as_a_search_does(
    engine: Engine, model: ModelRow, gallery: CollectionRow
) -> None:
    question = Question(
        parse("pid > 0"), max_distance=3.0, limit=4, not_same_camera=True, no_duplicates=True
    )
    content = b"x" * 31 + b"\0"
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE image SET content_hash = :hash WHERE path = '4.jpg'"), {"hash": content}
        )
    add(engine, model, [gallery], [query("a.jpg", 3.25, content=content, camid=1)], question)
    summary = run(engine, model)
    person = QueryPerson("a.jpg", at(3.25), (content,), 1, 1, "default")
    with engine.connect() as connection:
        stored = [s.answer for s in stored_answers(connection, summary.id)]
        assert stored == answer_many(connection, Scope(model, (gallery,)), question, [person])
    assert [match.path for match in stored[0].matches] == ["2.jpg", "6.jpg"]
    assert stored[0].candidates == 3
    assert summary.complete


def test_a_cut_list_is_said(engine: Engine, model: ModelRow, gallery: CollectionRow) -> None:
    add(engine, model, [gallery], [query("a.jpg", 3)], Question(limit=2))
    summary = run(engine, model)
    assert not summary.complete
    with engine.connect() as connection:
        answer = stored_answers(connection, summary.id)[0].answer
    assert (answer.complete, answer.incomplete_reason) == (False, "cut off at the limit of 2")


def test_a_run_is_stale_when_its_gallery_changes(
    engine: Engine, model: ModelRow, tmp_path: Path
) -> None:
    folder = write_pictures(tmp_path / "people", names(3))
    ingest(engine, folder, "gallery", model)
    gallery = collection(engine, "gallery")
    add(engine, model, [gallery], [query("a.jpg", 0)], Question(limit=9))
    first = run(engine, model)

    def stale(run_id: int) -> bool:
        with engine.connect() as connection:
            return is_stale(connection, run_id)

    assert not stale(first.id)
    ingest(engine, folder, "gallery", model)  # nothing new
    assert not stale(first.id)
    write_pictures(folder, ["more.jpg"], first_seed=50)
    ingest(engine, folder, "gallery", model)
    assert stale(first.id)
    second = run(engine, model)
    with engine.connect() as connection:
        listed = [(row["id"], row["matches"], row["stale"]) for row in runs_of(connection, "set")]
    assert listed == [(second.id, 4, False), (first.id, 3, True)]
    register_fake_model(engine, "other")
    with engine.begin() as connection:
        activate(connection, "other")
    assert stale(second.id)


def test_a_removed_gallery(engine: Engine, model: ModelRow, gallery: CollectionRow) -> None:
    add(engine, model, [gallery], [query("a.jpg", 0)])
    first = run(engine, model)
    with engine.begin() as connection:
        collections.remove(connection, gallery.id)
        assert is_stale(connection, first.id)
    with pytest.raises(CannotRun) as caught:
        run(engine, model)
    assert str(caught.value) == "a gallery of query set 'set' was removed; add its queries again"
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM run")) == 1


def test_one_removed_gallery_of_two(
    engine: Engine, model: ModelRow, gallery: CollectionRow
) -> None:
    with engine.begin() as connection:
        second = collections.collection_called(connection, "second", None)
    add(engine, model, [gallery, second], [query("a.jpg", 0)])
    run(engine, model)
    with engine.begin() as connection:
        collections.remove(connection, second.id)
    with pytest.raises(CannotRun, match="a gallery of query set 'set' was removed"):
        run(engine, model)


def test_another_model_is_refused(engine: Engine, model: ModelRow, gallery: CollectionRow) -> None:
    add(engine, model, [gallery], [query("a.jpg", 0), query("b.jpg", 0)])
    with pytest.raises(CannotRun) as caught:
        run(engine, register_fake_model(engine, "other"))
    assert str(caught.value) == (
        "2 queries of 'set' have no embedding by model 'other'; add the set again with this "
        "model: a distance across models means nothing"
    )
