"""People in the database: found, found again, erased, filtered, read in SQL, written to files."""

import csv
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from jsonschema import Draft202012Validator
from sqlalchemy import Engine, text

from evaluation.evaluate_people import evaluate_people
from gallery.collections import CollectionRow
from gallery.erase import ErasureRequest, erase
from gallery.model_rows import ModelRow
from people.export import FolderInUse, export_csv, export_market
from people.find import BadDensity, How, find, people, update
from people.grouping import ContradictingVerdicts
from people.rows import NothingFound
from query_sets.set_rows import NewImage, NewQuery, add_queries
from search.exact import answer_filter
from search.filters.parse import parse
from search.question import Question, Scope
from tests.fakes import Stored, collection, register_fake_model, store, write_pictures

ROOT = Path(__file__).resolve().parents[2]
PEOPLE, IMAGES = 12, 24


def rows_of(count: int, seed: int, people: int = PEOPLE) -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(PEOPLE, 512))
    rows_ND = centres[np.arange(count) % people] + 0.7 * rng.normal(size=(count, 512))
    rows_ND /= np.linalg.norm(rows_ND, axis=1, keepdims=True)
    return rows_ND.astype(np.float32)


@pytest.fixture
def model(engine: Engine) -> ModelRow:
    return register_fake_model(engine)


@pytest.fixture
def station(engine: Engine, model: ModelRow) -> CollectionRow:
    row = collection(engine, "station")
    add(engine, model, row, PEOPLE * IMAGES, 1, "a")
    return row


def add(
    engine: Engine, model: ModelRow, row: CollectionRow, count: int, seed: int, folder: str
) -> None:
    rows_ND = rows_of(count, seed)
    items = [
        Stored(f"{folder}/{n:03}.jpg", rows_ND[n], pid=n % PEOPLE + 1, camid=n % 3, quality=0.9)
        for n in range(count)
    ]
    with engine.begin() as connection:
        store(connection, model, row, items)
        connection.execute(text("UPDATE collection SET revision = revision + 1"))


def persons(engine: Engine) -> dict[str, int]:
    """The person of each image, by path."""
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT path, person FROM gallery ORDER BY path"))
        return {row.path: row.person for row in rows}


def judge(
    engine: Engine, model: ModelRow, row: CollectionRow, pair: tuple[str, str], verdict: str
) -> None:
    """A query with the first image, and what a reviewer said of the second."""
    with engine.begin() as connection:
        found = connection.execute(text("SELECT path, id FROM image"))
        ids = {row.path: row.id for row in found}
        first, second = (ids[path] for path in pair)
        image = NewImage(pair[0].encode(), b"jpeg", rows_of(1, 1)[0], first)
        query = NewQuery(f"{first}-{second}-{verdict}", (image,), None, None)
        add_queries(
            connection, "set", model, [row], Question(), auto_distance=False, queries=[query]
        )
        connection.execute(
            text(
                "INSERT INTO verdict (query_id, image_id, verdict, reviewer)"
                " SELECT max(id), :image, :verdict, 'test' FROM query"
            ),
            {"image": second, "verdict": verdict},
        )


def test_people_are_found_and_keep_their_numbers(
    engine: Engine, model: ModelRow, station: CollectionRow
) -> None:
    done = find(engine, ["station"])
    assert (done.people, done.images, done.nobody, done.kept, done.new) == (12, 288, 0, 0, 12)
    before = persons(engine)
    groups: dict[int, set[int]] = {}
    for path, person in before.items():
        groups.setdefault(person, set()).add(int(path[2:5]) % PEOPLE)
    assert all(len(who) == 1 for who in groups.values())
    again = find(engine, ["station"])
    assert (again.kept, again.new) == (12, 0)
    assert persons(engine) == before
    assert update(engine) == []
    add(engine, model, station, PEOPLE * 2, 2, "b")
    rows, stale = people(engine, ["station"])
    assert stale
    assert [(row["images"], row["cameras"]) for row in rows][:2] == [(24, 1), (24, 1)]
    (updated,) = update(engine, ["station"])
    assert (updated.kept, updated.new, updated.images) == (12, 0, 312)
    after = persons(engine)
    assert {path: after[path] for path in before} == before
    assert after["b/003.jpg"] == before["a/003.jpg"]
    assert not people(engine, ["station"])[1]


def test_what_reviewers_said_holds(engine: Engine, model: ModelRow, station: CollectionRow) -> None:
    judge(engine, model, station, ("a/000.jpg", "a/001.jpg"), "confirm")  # two people, they look so
    judge(engine, model, station, ("a/002.jpg", "a/014.jpg"), "reject")  # one, they look so
    done = find(engine, ["station"])
    assert (done.confirmed, done.rejected) == (1, 1)
    found = persons(engine)
    assert found["a/000.jpg"] == found["a/001.jpg"]
    assert found["a/002.jpg"] != found["a/014.jpg"]
    with engine.connect() as connection:
        sure = connection.scalar(
            text("SELECT person_confidence FROM gallery WHERE path = 'a/001.jpg'")
        )
    assert sure == 1.0
    judge(engine, model, station, ("a/000.jpg", "a/001.jpg"), "reject")
    with pytest.raises(ContradictingVerdicts):
        find(engine, ["station"])
    assert persons(engine) == found  # nothing has changed


def test_a_person_is_a_field_of_filters(
    engine: Engine, model: ModelRow, station: CollectionRow
) -> None:
    find(engine, ["station"])
    number = persons(engine)["a/005.jpg"]
    scope = Scope(model, (station,))
    with engine.connect() as connection:
        for filter, expected in (
            (f"person = {number}", 24), (f"not person = {number}", 264), ("person > 0", 288),
            (f"person in ({number}, 999999)", 24), ("person = 999999", 0),
        ):  # fmt: skip
            answer = answer_filter(connection, scope, Question(parse(filter), limit=500))
            assert len(answer.matches) == expected, filter


def test_erased_people_are_gone_and_their_numbers_too(
    engine: Engine, station: CollectionRow
) -> None:
    assert station.name == "station"
    find(engine, ["station"])
    gone = persons(engine)["a/003.jpg"]
    erase(engine, ErasureRequest(collections=("station",), pid=4), quick=True)
    assert gone not in persons(engine).values()
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM person")) == 11
    done = find(engine, ["station"])
    assert (done.people, done.kept, done.new) == (11, 11, 0)


@pytest.mark.usefixtures("station")
def test_figures_beside_guessing(engine: Engine) -> None:
    report = evaluate_people(engine, ["station"], (0.4, 0.6), wanted=0.95)
    assert (report.images, report.judged, report.advised) == (288, 288, 0.6)
    Draft202012Validator(
        json.loads((ROOT / "docs/schemas/evaluate-people.json").read_text())
    ).validate(report.to_json())
    by_density = dict(report.by_density)
    assert (by_density[0.6].groups, by_density[0.6].f1, by_density[0.6].rand) == (12, 1.0, 1.0)
    alone, together = (quality for _, quality in report.trivial)
    assert (alone.precision, alone.recall) == (1.0, 1 / IMAGES)
    assert (together.precision, together.recall) == pytest.approx((1 / PEOPLE, 1.0))


def test_people_as_files(engine: Engine, tmp_path: Path, model: ModelRow) -> None:
    folder = write_pictures(tmp_path / "shots", [f"{n:03}.png" for n in range(48)])
    row, rows_ND = collection(engine, "shots"), rows_of(48, 1, people=2)
    with engine.begin() as connection:
        items = [Stored(f"{n:03}.png", rows_ND[n], camid=n % 2 + 1) for n in range(48)]
        store(connection, model, row, items)
        connection.execute(text("UPDATE image SET source = :folder"), {"folder": str(folder)})
    find(engine, ["shots"], How(least=2, quality=0.0))
    assert export_csv(engine, ["shots"], tmp_path / "people.csv") == 48
    with (tmp_path / "people.csv").open() as file:
        listed = list(csv.DictReader(file))
    assert listed[0]["path"] == "000.png"
    assert {row["person"] for row in listed} == {str(p) for p in persons(engine).values()}
    out = tmp_path / "data"
    assert export_market(engine, ["shots"], out, link=True) == (2, 48, {})
    number = persons(engine)["005.png"]
    files = sorted(path.name for path in (out / "train").iterdir())
    assert len([name for name in files if name.startswith(f"{number:04d}_c")]) == 24
    assert all((out / "train" / name).is_symlink() for name in files)
    with (out / "annotations_train.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 2
    with pytest.raises(FolderInUse):
        export_market(engine, ["shots"], out)
    (folder / "005.png").unlink()
    people_, images, failed = export_market(engine, ["shots"], tmp_path / "copies")
    assert (people_, images, list(failed)) == (2, 47, ["005.png"])


@pytest.mark.usefixtures("model")
def test_bad_questions(engine: Engine) -> None:
    collection(engine, "empty")
    for wrong in ({"density": 0.0}, {"density": 1.0}, {"least": 1}):
        with pytest.raises(BadDensity):
            How(**wrong)
    with pytest.raises(NothingFound) as caught:
        find(engine, ["empty"])
    assert str(caught.value) == (
        "nothing in empty is stored by model 'fake'; run `reid ingest` first"
    )
    with pytest.raises(NothingFound) as caught:
        people(engine, ["empty"])
    assert str(caught.value) == "no people were found in empty yet; run `reid people find`"
    with pytest.raises(NothingFound) as caught:
        update(engine)
    assert str(caught.value) == "no people were found there yet; see `reid people find`"
