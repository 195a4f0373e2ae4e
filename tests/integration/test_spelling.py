"""One name in two forms of Unicode is one name; paths stay as the disk has them."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from db.spelling import as_stored, spellings
from evaluation.annotated import load_annotated
from gallery import collections, retention
from gallery.model_rows import ModelRow, model_named
from images.facts_file import read_facts
from query_sets import queries, verdicts
from query_sets.runs import run_set
from search.answering import search
from search.request import SearchRequest
from tests.fakes import collection, ingest, register_fake_model, write_pictures
from tests.rows import column
from vocabulary import COLUMNS

ONE, TWO = "café", "cafe\u0301"  # as a keyboard writes it, and as macOS does
FORMS = [(ONE, TWO), (TWO, ONE)]


@pytest.fixture
def model(engine: Engine) -> ModelRow:
    return register_fake_model(engine, ONE)


@pytest.mark.parametrize(("given", "asked"), FORMS)
def test_a_collection(engine: Engine, given: str, asked: str) -> None:
    made = collection(engine, given)
    assert made.name == ONE
    assert collection(engine, asked) == made
    with engine.connect() as connection:
        assert collections.collection_named(connection, asked) == made


def test_a_collection_from_before_is_found_in_either_form(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO collection (name) VALUES (%s)", (TWO,))
    assert collection(engine, ONE).name == TWO
    assert column(engine, "SELECT count(*) FROM collection") == [1]


def test_two_that_are_there_are_two(engine: Engine) -> None:
    with engine.begin() as connection:
        for name in (ONE, TWO):
            connection.exec_driver_sql("INSERT INTO collection (name) VALUES (%s)", (name,))
    for name in (ONE, TWO):
        assert collection(engine, name).name == name


def test_a_model(engine: Engine, model: ModelRow) -> None:
    with engine.connect() as connection:
        assert model_named(connection, TWO).id == model.id


def test_a_term_of_retention(engine: Engine) -> None:
    collection(engine, ONE)
    retention.set_terms(engine, 30, TWO, None)
    assert [row["name"] for row in retention.show(engine)] == [ONE]
    retention.switch_off(engine, TWO, audit=False)
    assert retention.show(engine) == []


@pytest.fixture(params=FORMS)
def stored(engine: Engine, tmp_path: Path, model: ModelRow, request: pytest.FixtureRequest) -> str:
    """A gallery with `café/café.png`, in one form on the disk; gives the other form."""
    on_disk, other = request.param
    folder = write_pictures(tmp_path / "people", [f"{on_disk}/{on_disk}.png", "b.png"])
    registered, _ = ingest(engine, folder, "g", model)
    assert registered.refused == {}
    assert f"{on_disk}/{on_disk}.png" in column(engine, "SELECT path FROM image")
    return str(other)


@pytest.mark.parametrize(
    "where",
    ['path = "{0}/{0}.png"', 'path = "{0}/"', 'path starts with "{0}/ca"', 'collection = "{0}g"'],
)
def test_a_filter(engine: Engine, stored: str, where: str) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE collection SET name = %s", (f"{ONE}g",))
    asked = SearchRequest((f"{TWO}g",), where=where.format(stored))
    found = search(engine, asked)
    assert found.answers[0].candidates == (2 if "collection" in where else 1)


def test_a_manifest(engine: Engine, tmp_path: Path, model: ModelRow, stored: str) -> None:
    table = tmp_path / "facts.csv"
    table.write_text(f"path,pid\n{stored}\\{stored}.png,7\n", encoding="utf-8")
    registered, _ = ingest(engine, tmp_path / "people", "g", model, told=read_facts(table))
    assert (registered.refused, registered.unlisted, registered.corrected) == ({}, 1, 1)
    assert column(engine, "SELECT pid FROM image WHERE pid IS NOT NULL") == [7]


def test_annotations(engine: Engine, tmp_path: Path, model: ModelRow, stored: str) -> None:
    table = tmp_path / "truth.csv"
    values = ",1" * len(COLUMNS)
    table.write_text(f"id,{','.join(COLUMNS)}\n{stored}.png{values}\n", encoding="utf-8")
    with engine.connect() as connection:
        found = load_annotated(
            connection, model, collections.collection_named(connection, "g"), table
        )
    assert len(found.truth_NC) == 1


def test_a_query_and_its_verdict(
    engine: Engine, tmp_path: Path, model: ModelRow, stored: str
) -> None:
    queries.add(engine, ONE, SearchRequest(("g",)), [tmp_path / "people"])
    with engine.begin() as connection:
        run_set(connection, TWO, model)
    verdicts.decide(engine, TWO, f"{stored}.png", [f"{stored}/{stored}.png"], "confirmed")
    assert column(engine, "SELECT count(*) FROM verdict") == [1]


def test_what_is_written_so_comes_first() -> None:
    assert as_stored(TWO, [ONE, TWO]) == TWO
    assert as_stored(TWO, [ONE, "b"]) == ONE
    assert as_stored("a", [ONE]) is None
    assert spellings("plain.png") == ["plain.png"]
