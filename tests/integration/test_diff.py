"""Two runs of a query set compared."""

import random
from collections.abc import Sequence

import psycopg
import pytest
from sqlalchemy import Connection, Engine, event, text

from gallery import collections
from gallery.collections import CollectionRow
from gallery.model_rows import ModelRow
from query_sets.diff import DifferentSets, RunDiff, compare_runs
from query_sets.read_run import UnknownRun
from search.question import Question
from tests.fakes import Stored, collection, register_fake_model, store
from tests.query_sets import add, at, query, run


@pytest.fixture
def model(engine: Engine) -> ModelRow:
    return register_fake_model(engine, max_distance=1.5)


@pytest.fixture
def gallery(engine: Engine, model: ModelRow) -> CollectionRow:
    """Images at 0, 1, 2 ... 9, called 0.jpg, 1.jpg ..."""
    row = collection(engine, "gallery")
    take_in(engine, model, row, range(10))
    return row


def take_in(
    engine: Engine, model: ModelRow, row: CollectionRow, positions: Sequence[float]
) -> list[int]:
    with engine.begin() as connection:
        collections.raise_revision(connection, row.id)
        return store(connection, model, row, [Stored(f"{n}.jpg", at(n)) for n in positions])


def change(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement))


def diff(engine: Engine, before: int, after: int) -> RunDiff:
    with engine.connect() as connection:
        return compare_runs(connection, before, after)


def changes(found: RunDiff) -> dict[str, list[tuple[str, str, int | None, int | None]]]:
    return {
        q.query: [(c.change, c.path, c.rank_before, c.rank_after) for c in q.changes]
        for q in found.queries
    }


def test_equal_runs(engine: Engine, model: ModelRow, gallery: CollectionRow) -> None:
    add(engine, model, [gallery], [query("a.jpg", 3), query("b.jpg", 7)])
    found = diff(engine, run(engine, model).id, run(engine, model).id)
    assert found.queries == ()
    assert found.reasons == ()
    assert found.totals() == {
        "queries": 2, "changed": 0, "kept": 6, "came": 0, "went": 0, "moved": 0,
    }  # fmt: skip
    assert (found.before.queries, found.before.matches, found.before.removed) == (2, 6, 0)


def test_what_came_went_and_moved(engine: Engine, model: ModelRow, gallery: CollectionRow) -> None:
    """An image at 3.5 comes; the one at 2 goes out of reach; the one at 4 comes nearer than 3."""
    add(engine, model, [gallery], [query("a.jpg", 3.125), query("b.jpg", 8)], Question(None, 1.25))
    first = run(engine, model)
    take_in(engine, model, gallery, [3.5])
    change(
        engine,
        "UPDATE feature f SET embedding = e FROM image i, (VALUES"
        f" ('2.jpg', '{at(1).tolist()}'::vector), ('4.jpg', '{at(3.0625).tolist()}'::vector))"
        " AS moved(p, e) WHERE i.path = p AND f.image_id = i.id",
    )
    found = diff(engine, first.id, run(engine, model).id)
    assert changes(found) == {
        "a.jpg": [
            ("moved", "4.jpg", 2, 1),
            ("moved", "3.jpg", 1, 2),
            ("came", "3.5.jpg", None, 3),
            ("went", "2.jpg", 3, None),
        ]
    }
    by_path = {c.path: c for c in found.queries[0].changes}
    moved = by_path["4.jpg"]
    assert (moved.distance_before, moved.distance_after) == (0.875, 0.0625)
    assert moved.distance_change == -0.8125
    assert by_path["3.jpg"].distance_change == 0
    assert by_path["3.5.jpg"].distance_change is None
    assert found.totals() == {
        "queries": 2, "changed": 1, "kept": 5, "came": 1, "went": 1, "moved": 2,
    }  # fmt: skip
    assert found.reasons == ("collection gallery has changed (revision 1, then 2)",)


def test_who_only_makes_room_has_not_moved(
    engine: Engine, model: ModelRow, gallery: CollectionRow
) -> None:
    add(engine, model, [gallery], [query("a.jpg", 3)])
    first = run(engine, model)
    take_in(engine, model, gallery, [3.25])
    found = diff(engine, first.id, run(engine, model).id)
    assert changes(found) == {"a.jpg": [("came", "3.25.jpg", None, 2)]}


def test_the_other_way_round(engine: Engine, model: ModelRow, gallery: CollectionRow) -> None:
    add(engine, model, [gallery], [query("a.jpg", 3)])
    first = run(engine, model)
    take_in(engine, model, gallery, [3.25])
    found = diff(engine, run(engine, model).id, first.id)
    assert changes(found) == {"a.jpg": [("went", "3.25.jpg", 2, None)]}


def test_distances_of_two_models_are_not_compared(
    engine: Engine, model: ModelRow, gallery: CollectionRow
) -> None:
    add(engine, model, [gallery], [query("a.jpg", 3)])
    first, second = run(engine, model), run(engine, model)
    register_fake_model(engine, "other")
    change(
        engine,
        "UPDATE run SET model_id = (SELECT id FROM model WHERE name = 'other')"
        f" WHERE id = {second.id}",
    )
    change(engine, f"UPDATE match SET distance = distance * 2 WHERE run_id = {second.id}")
    found = diff(engine, first.id, second.id)
    assert not found.same_model
    assert found.queries == ()
    assert found.reasons == ("another model: fake, then other; their distances are not compared",)
    # 3, then 2 and 4: now 4 lies before 2
    change(engine, f"UPDATE match SET rank = rank + 10 WHERE run_id = {second.id} AND rank = 2")
    found = diff(engine, first.id, second.id)
    assert changes(found) == {"a.jpg": [("moved", "4.jpg", 3, 2), ("moved", "2.jpg", 2, 3)]}
    assert {c.distance_change for c in found.queries[0].changes} == {None}


def test_why_they_may_differ(engine: Engine, model: ModelRow, gallery: CollectionRow) -> None:
    add(engine, model, [gallery], [query("a.jpg", 3)], Question(max_distance=1.5), auto=True)
    first = run(engine, model)
    second_gallery = collection(engine, "second")
    add(engine, model, [second_gallery], [query("b.jpg", 3)], Question(limit=1))
    take_in(engine, model, second_gallery, [3, 4])
    change(engine, "UPDATE model SET max_distance = 2.5")
    after = run(engine, register_fake_model(engine))
    found = diff(engine, first.id, after.id)
    assert found.reasons == (
        "another max_distance for 1 queries: 1.5000, then 2.5000",
        "collection second was searched by one of the runs only",
        f"1 queries were not in the set when run {first.id} was made",
        f"1 lists of run {after.id} are not complete: cut off at the limit, or images were not "
        "embedded yet",
    )
    assert [(q.query, q.before, q.after) for q in found.queries] == [
        ("a.jpg", 3, 5),
        ("b.jpg", None, 1),
    ]
    assert found.totals()["kept"] == 3


def test_images_that_were_removed(engine: Engine, model: ModelRow, gallery: CollectionRow) -> None:
    """4.jpg is in both lists when it is removed, 3.jpg goes between the runs."""
    add(engine, model, [gallery], [query("a.jpg", 3), query("b.jpg", 8)])
    first = run(engine, model)
    change(engine, "UPDATE image SET missing_since = now() WHERE path = '3.jpg'")
    with engine.begin() as connection:
        assert collections.prune(connection, gallery.id) == 1
    second = run(engine, model)
    found = diff(engine, first.id, second.id)
    assert [(q.query, q.before, q.after, q.removed_before, q.removed_after, q.changes)
            for q in found.queries] == [("a.jpg", 3, 2, 1, 0, ())]  # fmt: skip
    change(engine, "DELETE FROM image WHERE path = '4.jpg'")
    found = diff(engine, first.id, second.id)
    assert [(q.removed_before, q.removed_after) for q in found.queries] == [(2, 1)]
    assert found.totals() == {
        "queries": 2, "changed": 1, "kept": 4, "came": 0, "went": 0, "moved": 0,
    }  # fmt: skip
    with engine.begin() as connection:
        collections.remove(connection, gallery.id)
    found = diff(engine, first.id, second.id)
    assert (found.before.removed, found.after.removed) == (6, 5)
    assert found.reasons == (f"collection number {gallery.id} was removed since",)


def test_runs_that_cannot_be_compared(
    engine: Engine, model: ModelRow, gallery: CollectionRow
) -> None:
    add(engine, model, [gallery], [query("a.jpg", 3)])
    add(engine, model, [gallery], [query("a.jpg", 3)], name="other")
    first, other = run(engine, model), run(engine, model, "other")
    with pytest.raises(DifferentSets) as caught:
        diff(engine, first.id, other.id)
    assert str(caught.value) == (
        f"run {first.id} is of query set 'set', run {other.id} of 'other'; "
        "only runs of one set can be compared"
    )
    with pytest.raises(UnknownRun, match=r"no run 77; `reid query show SET` names the runs"):
        diff(engine, first.id, 77)


def test_a_verdict_stands_beside_a_change(
    engine: Engine, model: ModelRow, gallery: CollectionRow
) -> None:
    add(engine, model, [gallery], [query("a.jpg", 3)])
    first = run(engine, model)
    change(
        engine,
        "INSERT INTO verdict (query_id, image_id, verdict, reviewer) SELECT q.id, i.id, 'confirm',"
        " 'ann' FROM query q, image i WHERE i.path = '4.jpg'",
    )
    change(engine, "UPDATE question SET max_distance = 0.5")
    found = diff(engine, first.id, run(engine, model).id)
    assert [(c.path, c.change, c.verdict) for c in found.queries[0].changes] == [
        ("2.jpg", "went", None),
        ("4.jpg", "went", "confirmed"),
    ]


def _copy_run(connection: Connection, lists: dict[int, list[int]]) -> int:
    run_id: int = connection.execute(
        text(
            "INSERT INTO run (query_set_id, model_id, actor, gallery_revisions)"
            " SELECT query_set_id, model_id, actor, gallery_revisions FROM run LIMIT 1 RETURNING id"
        )
    ).scalar_one()
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    with driver.cursor() as cursor:
        with cursor.copy(
            "COPY run_query (run_id, query_id, candidates, found, complete) FROM STDIN"
        ) as copy:
            for query_id, images in lists.items():
                copy.write_row((run_id, query_id, 0, len(images), True))
        with cursor.copy("COPY match (run_id, query_id, rank, image_id, distance) FROM STDIN") as c:
            for query_id, images in lists.items():
                for rank, image_id in enumerate(images, 1):
                    c.write_row((run_id, query_id, rank, image_id, image_id / 7))
    return run_id


def test_any_size_takes_the_same_number_of_statements(
    engine: Engine, model: ModelRow, gallery: CollectionRow
) -> None:
    """Random lists against the same in Python, 500 queries with 13 matches each on average."""
    rng = random.Random(4)
    add(engine, model, [gallery], [query(f"{n:03}.jpg", 0) for n in range(500)])
    images = take_in(engine, model, gallery, range(100, 130))
    run(engine, model)
    with engine.begin() as connection:
        listed = connection.execute(text("SELECT id, name FROM query"))
        names: dict[int, str] = {row.id: row.name for row in listed}
        pair = [
            {i: rng.sample(images, rng.randrange(26)) if rng.random() < 0.9 else [] for i in names}
            for _ in range(2)
        ]
        runs = [_copy_run(connection, lists) for lists in pair]
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    found = diff(engine, *runs)
    assert len(statements) <= 4
    expected = {}
    for query_id, name in names.items():
        old, new = (lists[query_id] for lists in pair)
        both = [[i for i in one if i in other] for one, other in ((old, new), (new, old))]
        expected[name] = (
            {i for i in new if i not in old},
            {i for i in old if i not in new},
            {i for i, j in zip(*both, strict=True) if i != j}
            | {j for i, j in zip(*both, strict=True) if i != j},
        )
    got = {
        q.query: tuple(
            {c.image_id for c in q.changes if c.change == kind}
            for kind in ("came", "went", "moved")
        )
        for q in found.queries
    }
    assert got == {name: sets for name, sets in expected.items() if any(sets)}
    assert list(got) == sorted(got)
