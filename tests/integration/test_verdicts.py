"""Reviewers' verdicts."""

import threading

import numpy as np
import pytest
from sqlalchemy import Engine, text

from db.audit import entries
from errors import UsageError
from gallery import collections
from gallery.collections import CollectionRow
from gallery.model_rows import ModelRow
from query_sets.judged import NotAsked, judged_pairs
from query_sets.read_run import UnknownRun
from query_sets.runs import CannotRun
from query_sets.set_rows import UnknownQuerySet, remove_set
from query_sets.verdict_rows import AmbiguousImage, NotInGallery, UnknownQuery
from query_sets.verdicts import (
    Decided,
    count_verdicts,
    decide,
    list_verdicts,
    show_list,
    take_back,
)
from search.question import Question
from tests.fakes import Stored, collection, register_fake_model, store
from tests.query_sets import add, at, query, run


@pytest.fixture(autouse=True)
def reviewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REID_ACTOR", "ann")


@pytest.fixture
def model(engine: Engine) -> ModelRow:
    return register_fake_model(engine, max_distance=1.5)


@pytest.fixture(autouse=True)
def gallery(engine: Engine, model: ModelRow) -> CollectionRow:
    """Images at 0, 1, 2 ... 9, called cam/0.jpg, cam/1.jpg ...; two queries, at 3 and at 8."""
    row = collection(engine, "gallery")
    with engine.begin() as connection:
        store(connection, model, row, [Stored(f"cam/{n}.jpg", at(n), pid=n) for n in range(10)])
    add(engine, model, [row], [query("a.jpg", 3), query("b.jpg", 8)])
    return row


def confirm(engine: Engine, *images: str, note: str | None = None) -> Decided:
    return decide(engine, "set", "a.jpg", images, "confirmed", note)


def reject(engine: Engine, *images: str, note: str | None = None) -> Decided:
    return decide(engine, "set", "a.jpg", images, "rejected", note)


def stands(engine: Engine) -> list[tuple[str, str, str, str | None]]:
    return [(j.query, j.path, j.verdict, j.note) for j in list_verdicts(engine, "set")]


def image_id(engine: Engine, path: str) -> int:
    with engine.connect() as connection:
        stmt = text("SELECT id FROM image WHERE path = :path")
        number: int = connection.execute(stmt, {"path": path}).scalar_one()
    return number


# --- giving


def test_a_verdict_survives_a_new_run(engine: Engine, model: ModelRow) -> None:
    first = run(engine, model)
    decided = confirm(engine, "cam/4.jpg", f"id:{image_id(engine, 'cam/2.jpg')}", note="same bag")
    assert [image.path for image in decided.changed] == ["cam/4.jpg", "cam/2.jpg"]
    assert decided.never_listed == ()
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM run WHERE id = :id"), {"id": first.id})
    run(engine, model)
    shown = show_list(engine, "set", "a.jpg", None)
    assert [(m.path, m.rank, m.distance, m.verdict, m.reviewer) for m in shown.matches] == [
        ("cam/3.jpg", 1, 0.0, None, None),
        ("cam/2.jpg", 2, 1.0, "confirmed", "ann"),
        ("cam/4.jpg", 3, 1.0, "confirmed", "ann"),
    ]
    # what is said of one query says nothing of another
    assert {m.verdict for m in show_list(engine, "set", "b.jpg", None).matches} == {None}


def test_the_last_word_stands_and_the_audit_log_has_all(
    engine: Engine, model: ModelRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(engine, model)
    reject(engine, "cam/4.jpg", note="other shoes")
    monkeypatch.setenv("REID_ACTOR", "bob")
    decided = confirm(engine, "cam/4.jpg", "cam/3.jpg")
    four = image_id(engine, "cam/4.jpg")
    assert decided.replaced == {four: "rejected"}
    assert stands(engine) == [
        ("a.jpg", "cam/3.jpg", "confirmed", None),
        ("a.jpg", "cam/4.jpg", "confirmed", None),
    ]
    with engine.connect() as connection:
        rows = [row for row in entries(connection, 9) if row["result_ids"] == [four]]
        asked = connection.scalar(text("SELECT id FROM query WHERE name = 'a.jpg'"))
    assert [(row["actor"], row["action"], row["question"]) for row in rows] == [
        ("bob", "match confirm", {"set": "set", "query": asked, "replaces": "rejected"}),
        ("ann", "match reject", {"set": "set", "query": asked, "replaces": None}),
    ]


def test_the_same_again_changes_nothing(engine: Engine, model: ModelRow) -> None:
    run(engine, model)
    confirm(engine, "cam/4.jpg", note="same bag")
    before = list_verdicts(engine, "set")
    with engine.connect() as connection:
        logged = len(entries(connection, 99))
    assert confirm(engine, "cam/4.jpg").changed == ()
    assert confirm(engine, "cam/4.jpg", "cam/4.jpg", note="same bag").changed == ()
    with engine.connect() as connection:
        assert len(entries(connection, 99)) == logged
    assert list_verdicts(engine, "set") == before
    assert len(confirm(engine, "cam/4.jpg", note="and the same hat").changed) == 1
    assert stands(engine)[0][3] == "and the same hat"
    reject(engine, "cam/4.jpg")
    assert stands(engine) == [("a.jpg", "cam/4.jpg", "rejected", None)]


def test_a_verdict_is_taken_back(engine: Engine, model: ModelRow) -> None:
    run(engine, model)
    confirm(engine, "cam/4.jpg")
    taken = take_back(engine, "set", "a.jpg", ["cam/4.jpg", "cam/3.jpg"])
    assert [image.path for image in taken.changed] == ["cam/4.jpg"]
    assert stands(engine) == []
    with engine.connect() as connection:
        assert [row["action"] for row in entries(connection, 3)] == [
            "match list", "match withdraw", "match confirm",
        ]  # fmt: skip


def test_an_image_that_no_run_has_listed(engine: Engine, model: ModelRow) -> None:
    """A person whom the search has missed: the verdict is kept, and said to be about no match."""
    run(engine, model)
    decided = confirm(engine, "cam/3.jpg", "cam/9.jpg")
    assert [image.path for image in decided.never_listed] == ["cam/9.jpg"]
    shown = show_list(engine, "set", "a.jpg", None)
    assert (len(shown.matches), shown.unlisted_verdicts) == (3, 1)
    assert [(j.path, j.rank, j.distance) for j in list_verdicts(engine, "set")] == [
        ("cam/3.jpg", 1, 0.0),
        ("cam/9.jpg", None, 6.0),
    ]


# --- what is refused


def test_all_images_or_none(engine: Engine, model: ModelRow) -> None:
    run(engine, model)
    with pytest.raises(NotInGallery) as caught:
        confirm(engine, "cam/4.jpg", "cam/44.jpg")
    assert str(caught.value) == (
        "no image 'cam/44.jpg' where query 'a.jpg' searches; did you mean 'cam/4.jpg'?"
    )
    assert stands(engine) == []


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("4.jpg", "no image '4.jpg' where query 'a.jpg' searches; did you mean 'cam/4.jpg'?"),
        ("id:0", "no image 'id:0' where query 'a.jpg' searches; `reid query show set a.jpg` lists"),
        ("id:" + "9" * 30, "no image 'id:999"),
        ("", "no image '' where"),
        ("'; DROP TABLE verdict; --", "no image "),
    ],
)
def test_an_image_that_is_not_there(
    engine: Engine, model: ModelRow, word: str, message: str
) -> None:
    run(engine, model)
    with pytest.raises(NotInGallery) as caught:
        confirm(engine, word)
    assert str(caught.value).startswith(message)


def test_an_image_of_another_collection(engine: Engine, model: ModelRow) -> None:
    other = collection(engine, "other")
    with engine.begin() as connection:
        (number,) = store(connection, model, other, [Stored("x.jpg", at(3))])
    for word in ("x.jpg", f"id:{number}"):
        with pytest.raises(NotInGallery):
            confirm(engine, word)


def test_a_path_that_two_images_have(engine: Engine, model: ModelRow) -> None:
    galleries = [collection(engine, name) for name in ("one", "two")]
    with engine.begin() as connection:
        ids = [store(connection, model, row, [Stored("x.jpg", at(3))])[0] for row in galleries]
    add(engine, model, galleries, [query("two.jpg", 3)])
    with pytest.raises(AmbiguousImage) as caught:
        decide(engine, "set", "two.jpg", ["x.jpg"], "confirmed")
    assert str(caught.value) == (
        f"2 images are called 'x.jpg': give one of id:{ids[0]} in one, id:{ids[1]} in two"
    )
    decided = decide(engine, "set", "two.jpg", [f"id:{ids[1]}"], "confirmed")
    assert [image.collection for image in decided.changed] == ["two"]


def test_names_that_are_not_there(engine: Engine) -> None:
    with pytest.raises(UnknownQuery, match=r"set 'set' has no query 'a.jgp'; did you mean 'a.jpg"):
        decide(engine, "set", "a.jgp", ["cam/4.jpg"], "confirmed")
    with pytest.raises(UnknownQuery, match=r"no query '000'; its queries are named like 'a.jpg'"):
        decide(engine, "set", "000", ["cam/4.jpg"], "confirmed")
    with pytest.raises(UnknownQuerySet, match=r"no query set 'sett'; did you mean 'set'\?"):
        decide(engine, "sett", "a.jpg", ["cam/4.jpg"], "confirmed")
    with pytest.raises(UnknownQuerySet):
        list_verdicts(engine, "sett")
    with pytest.raises(UsageError, match="the note has 2001 characters; expected 2000 at most"):
        confirm(engine, "cam/4.jpg", note="x" * 2001)


def test_lists_that_are_not_there(engine: Engine, model: ModelRow, gallery: CollectionRow) -> None:
    with pytest.raises(CannotRun, match="was never run"):
        show_list(engine, "set", "a.jpg", None)
    first = run(engine, model)
    add(engine, model, [gallery], [query("late.jpg", 3)])
    with pytest.raises(NotAsked, match=f"'late.jpg' was not in the set when run {first.id} was"):
        show_list(engine, "set", "late.jpg", None)
    add(engine, model, [gallery], [query("a.jpg", 3)], name="other")
    other = run(engine, model, "other")
    with pytest.raises(UnknownRun, match=f"query set 'set' has no run {other.id}; `reid query sh"):
        show_list(engine, "set", "a.jpg", other.id)


# --- what becomes of them


def test_a_verdict_goes_with_its_image_and_with_its_set(
    engine: Engine, model: ModelRow, gallery: CollectionRow
) -> None:
    run(engine, model)
    confirm(engine, "cam/4.jpg", "cam/3.jpg", "cam/2.jpg")
    with engine.begin() as connection:
        connection.execute(text("UPDATE image SET missing_since = now() WHERE path = 'cam/4.jpg'"))
        collections.prune(connection, gallery.id)
    assert [row[1] for row in stands(engine)] == ["cam/3.jpg", "cam/2.jpg"]
    shown = show_list(engine, "set", "a.jpg", None)
    assert ([m.rank for m in shown.matches], shown.removed, shown.complete) == ([1, 2], 1, False)
    with engine.begin() as connection:
        remove_set(connection, "set")
        assert connection.scalar(text("SELECT count(*) FROM verdict")) == 0


def test_listed_by_verdict_and_by_query(engine: Engine, model: ModelRow) -> None:
    confirm(engine, "cam/3.jpg")
    reject(engine, "cam/2.jpg")
    decide(engine, "set", "b.jpg", ["cam/8.jpg"], "rejected")
    assert [(j.rank, j.distance, j.run) for j in list_verdicts(engine, "set")] == [
        (None, None, None)
    ] * 3
    found = run(engine, model)
    listed = list_verdicts(engine, "set", said="rejected")
    assert [(j.query, j.path, j.rank, j.distance, j.run, j.model) for j in listed] == [
        ("a.jpg", "cam/2.jpg", 2, 1.0, found.id, "fake"),
        ("b.jpg", "cam/8.jpg", 1, 0.0, found.id, "fake"),
    ]
    assert [j.path for j in list_verdicts(engine, "set", "b.jpg")] == ["cam/8.jpg"]
    assert count_verdicts(engine, "set") == {"confirmed": 1, "rejected": 2}


def test_pairs_to_calibrate_with(engine: Engine, model: ModelRow, gallery: CollectionRow) -> None:
    add(engine, model, [gallery], [query("two.jpg", 2, 4)], Question(limit=9))
    confirm(engine, "cam/5.jpg")
    decide(engine, "set", "two.jpg", ["cam/7.jpg"], "rejected")
    with engine.connect() as connection:
        pairs = judged_pairs(connection, "set", model.id)
        assert judged_pairs(connection, "set", register_fake_model(engine, "other").id) == []
    assert [(p.same_person, p.distance) for p in pairs] == [(True, 2.0), (False, 4.0)]
    assert np.array_equal(pairs[0].query_D, at(3))
    assert np.array_equal(pairs[0].image_D, at(5))


def test_two_reviewers_at_once(engine: Engine) -> None:
    """Whoever comes second sees what the first one said: each replacement is in the log."""
    words = [f"cam/{n}.jpg" for n in range(10)]
    start, failed = threading.Barrier(2), []

    def review(said: str, order: list[str]) -> None:
        start.wait()
        try:
            for _ in range(5):
                decide(engine, "set", "a.jpg", order, said)
        except Exception as error:
            failed.append(error)

    threads = [
        threading.Thread(target=review, args=("confirmed", words)),
        threading.Thread(target=review, args=("rejected", words[::-1])),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    with engine.connect() as connection:
        log = [row for row in entries(connection, 999) if row["result_ids"] != []][::-1]
    said: dict[int, str] = {}
    for row in log:
        (image,) = row["result_ids"]
        assert row["question"]["replaces"] == said.get(image)
        said[image] = {"match confirm": "confirmed", "match reject": "rejected"}[row["action"]]
    assert set(said.values()) == {list_verdicts(engine, "set")[0].verdict}
