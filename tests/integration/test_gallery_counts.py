"""What is kept of how many images there are equals what counting gives, whatever happened."""

from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from alembic import command
from alembic.config import Config
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, event, text

from db.upgrade import upgrade
from gallery import collections, manifest
from gallery.counts import Counts, counts, fold_counts
from gallery.labels import decide_again
from gallery.manifest import FileFacts
from gallery.model_rows import ModelRow
from gallery.store import Batch, Failure, Features, ReadImage, store_batch
from query_sets.batch_request import answer_many
from search.answer import Answer
from search.exact import answer_one
from search.question import QueryPerson, Question, Scope
from tests.fakes import (
    FakeNetwork,
    Stored,
    collection,
    ingest,
    register_fake_model,
    store,
    write_pictures,
)
from tests.fakes import names as file_names

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"
Act = tuple[str, int, int, int]  # what, to which collection, with which model, a number

COUNTED = text(
    "SELECT (SELECT count(*) FROM feature WHERE model_id = :model"
    " AND collection_id = ANY(:collections)) AS embedded,"
    " (SELECT count(*) FROM image i WHERE i.collection_id = ANY(:collections)"
    " AND NOT EXISTS (SELECT FROM feature f WHERE f.model_id = :model AND f.image_id = i.id)"
    " AND NOT EXISTS (SELECT FROM task t WHERE t.model_id = :model AND t.image_id = i.id"
    " AND t.state = 'failed')) AS waiting"
)


def counted(connection: Connection, model_id: int, collection_ids: list[int]) -> Counts:
    """Read from the tables themselves."""
    values = {"model": model_id, "collections": collection_ids}
    return Counts(*connection.execute(COUNTED, values).one())


class Shop:
    """Two models, two collections, and all that can happen to their images."""

    def __init__(self, connection: Connection, models: list[ModelRow]) -> None:
        self.connection, self.models = connection, models
        self.worker = manifest.become_worker(connection)

    def collection_id(self, number: int) -> int:
        return collections.collection_called(self.connection, f"c{number}", None).id

    def register(self, number: int, model: ModelRow, many: int) -> None:
        """Some new files and some again, in one statement as an ingest does it."""
        files = [FileFacts(f"{n}.jpg", None, 1, 1, None, None) for n in range(many)]
        manifest.register(self.connection, self.collection_id(number), model.id, "/s", files)

    def work(self, number: int, model: ModelRow, seed: int) -> None:
        """A batch with what can come of an image: computed, shared, unchanged, failed, lost."""
        rng = np.random.default_rng(seed)
        wanted = None if seed % 3 == 0 else self.collection_id(number)
        claims = manifest.claim(self.connection, self.worker, model.id, 6, wanted)
        if seed % 7 == 0:
            manifest.release(self.connection, self.worker)
        parts: dict[str, list[Any]] = {"computed": [], "copied": [], "unchanged": [], "failed": []}
        for claim in claims:
            read = ReadImage(
                claim.image_id, claim.collection_id, 1, bytes([rng.integers(3)]) * 32, 4, 8, b"j"
            )
            known = manifest.with_features(self.connection, model.id, [claim.image_id])
            match rng.integers(6):
                case 0 | 1 | 2:
                    parts["computed"].append(read)
                case 3:
                    parts["copied"].append((read, int(rng.integers(1, 30))))
                case 4 if known:
                    parts["unchanged"].append(claim.image_id)
                case _:
                    parts["failed"].append(Failure(claim.image_id, "damaged", "damaged"))
        size = len(parts["computed"])
        features = Features(
            rng.random((size, 56), np.float32), rng.random((size, 512), np.float32), (None,) * size
        )
        batch = Batch(features=features, **{name: tuple(part) for name, part in parts.items()})
        store_batch(self.connection, self.worker, model.id, batch)

    def prune(self, number: int, _model: ModelRow, share: int) -> None:
        ids = self.connection.scalars(
            text("SELECT id FROM image WHERE collection_id = :c AND id % 4 <= :share"),
            {"c": self.collection_id(number), "share": share % 4},
        )
        collections.mark_missing(self.connection, list(ids))
        collections.prune(self.connection, self.collection_id(number))

    def remove(self, number: int, _model: ModelRow, _: int) -> None:
        collections.remove(self.connection, self.collection_id(number))

    def retry(self, _number: int, _model: ModelRow, _: int) -> None:
        manifest.retry(self.connection, None)

    def fold(self, number: int, _model: ModelRow, _: int) -> None:
        fold_counts(self.connection, self.collection_id(number))

    def relabel(self, _number: int, model: ModelRow, _: int) -> None:
        decide_again(self.connection, model.id)

    def by_hand(self, number: int, model: ModelRow, which: int) -> None:
        """Somebody at psql."""
        statements = (
            "DELETE FROM feature WHERE model_id = :model AND image_id % 3 = 0",
            "DELETE FROM image WHERE collection_id = :collection AND id % 3 = 0",
            "DELETE FROM task WHERE model_id = :model AND image_id % 2 = 0",
            "UPDATE task SET state = 'failed', reason = 'x' WHERE image_id % 4 = 0",
            "TRUNCATE feature",
            "TRUNCATE image CASCADE",
        )
        values = {"model": model.id, "collection": self.collection_id(number)}
        self.connection.execute(text(statements[which % len(statements)]), values)

    def undone(self, number: int, model: ModelRow, which: int) -> None:
        """What is rolled back was not."""
        with self.connection.begin_nested() as savepoint:
            self.register(number, model, which)
            self.work(number, model, which)
            savepoint.rollback()


ACTS: dict[str, Callable[[Shop, int, ModelRow, int], None]] = {
    act.__name__: act
    for act in (
        Shop.register, Shop.work, Shop.prune, Shop.remove, Shop.retry, Shop.fold, Shop.relabel,
        Shop.by_hand, Shop.undone,
    )
}  # fmt: skip
# most of the time images come and are worked on
names = st.sampled_from(["register", "work", *ACTS])
FIRST: list[Act] = [
    ("register", 0, 0, 9), ("work", 0, 0, 1), ("register", 1, 1, 5), ("work", 1, 1, 2),
    ("register", 0, 1, 4), ("work", 0, 1, 4),
]  # fmt: skip
acts = st.lists(
    st.tuples(names, st.integers(0, 1), st.integers(0, 1), st.integers(0, 14)), max_size=10
)


def check(shop: Shop, done: list[Act]) -> None:
    transaction = shop.connection.begin()
    try:
        for what, number, model, amount in FIRST + done:
            ACTS[what](shop, number, shop.models[model], amount)
            ids = [row.id for row in collections.all_collections(shop.connection)]
            for some in (list(part) for size in range(3) for part in combinations(ids, size)):
                for each in shop.models:
                    kept = counts(shop.connection, each.id, some)
                    assert kept == counted(shop.connection, each.id, some), (what, some)
    finally:
        transaction.rollback()


@pytest.mark.parametrize("examples", [60, pytest.param(2000, marks=pytest.mark.long)])
def test_what_is_kept_is_what_is_there(engine: Engine, examples: int) -> None:
    models = [register_fake_model(engine), register_fake_model(engine, "other")]
    with engine.connect() as connection:
        shop = Shop(connection, models)
        for what in ACTS:  # each alone, so that none depends on chance
            for amount in range(6):
                check(shop, [(what, 0, 0, amount)])
        settings(max_examples=examples, deadline=None)(given(acts)(lambda a: check(shop, a)))()


def item(name: str) -> Stored:
    return Stored(name, np.zeros(512, np.float32))


def test_others_see_rows_and_their_number_together(engine: Engine) -> None:
    """Nothing of a transaction that has not ended, all of one that has."""
    model, row = register_fake_model(engine), collection(engine, "c")
    with engine.connect() as writing, engine.connect() as reading:
        store(writing, model, row, [item("a.jpg")])
        assert counts(reading, model.id, [row.id]) == Counts(0, 0)
        assert counts(writing, model.id, [row.id]) == Counts(1, 0)
        writing.commit()
        assert counts(reading, model.id, [row.id]) == Counts(1, 0)


def test_several_workers_count_together(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All add to the same numbers, and each store adds them up: nobody waits for ever."""
    monkeypatch.setattr(collections, "_FOLD_EVERY", 1)
    folder = write_pictures(tmp_path / "people", file_names(40))
    model = register_fake_model(engine)
    errors: list[BaseException] = []

    def run(name: str) -> None:
        try:
            for _ in range(3):
                ingest(engine, folder, name, model, FakeNetwork(), batch_size=2, overwrite=True)
        except BaseException as error:
            errors.append(error)

    threads = [Thread(target=run, args=[name]) for name in ("a", "b", "a")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with engine.connect() as connection:
        ids = [row.id for row in collections.all_collections(connection)]
        assert counts(connection, model.id, ids) == counted(connection, model.id, ids)
        assert counts(connection, model.id, ids) == Counts(80, 0)
        rows = connection.scalar(text("SELECT count(*) FROM gallery_count"))
    assert rows is not None
    assert rows < 80  # of the hundreds that were added


def test_what_was_there_before_is_counted(engine: Engine) -> None:
    """The rows of a database of the schema before."""
    model, rows = register_fake_model(engine), [collection(engine, name) for name in "ab"]
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
        store(connection, model, rows[0], [item("a.jpg"), item("b.jpg")])
        store(connection, model, rows[1], [item("a.jpg")])
        connection.execute(text("DELETE FROM feature WHERE image_id = 1"))
    upgrade(engine)
    with engine.begin() as connection:
        store(connection, model, rows[1], [item("c.jpg")])
        for some, expected in ((rows[:1], Counts(1, 1)), (rows, Counts(3, 1))):
            ids = [row.id for row in some]
            assert counts(connection, model.id, ids) == expected
            assert counted(connection, model.id, ids) == expected


def in_bulk(connection: Connection, scope: Scope, question: Question, query: QueryPerson) -> Answer:
    return answer_many(connection, scope, question, [query])[0]


@pytest.mark.parametrize(("ask", "reading"), [(answer_one, "<->"), (in_bulk, "coalesce(image")])
def test_what_is_stored_while_a_search_reads_is_not_called_there(
    engine: Engine, ask: Callable[..., Answer], reading: str
) -> None:
    """The image was waiting when the search began, and is not among its rows."""
    model, row = register_fake_model(engine), collection(engine, "c")
    with engine.begin() as connection:
        store(connection, model, row, [item("a.jpg"), item("late.jpg")])
        connection.execute(
            text("CREATE TABLE later AS SELECT * FROM feature WHERE image_id = 2;"
                 "DELETE FROM feature WHERE image_id = 2")
        )  # fmt: skip

    def arrives(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if reading in statement:
            with engine.begin() as other:
                other.execute(text("INSERT INTO feature SELECT * FROM later"))

    event.listen(engine, "after_cursor_execute", arrives)
    with engine.connect() as connection:
        query = QueryPerson("q", np.zeros(512, np.float32))
        answer = ask(connection, Scope(model, (row,)), Question(), query)
        event.remove(engine, "after_cursor_execute", arrives)
        again = ask(connection, Scope(model, (row,)), Question(), query)
    assert [match.path for match in answer.matches] == ["a.jpg"]
    assert not answer.complete
    assert (len(again.matches), again.complete) == (2, True)
