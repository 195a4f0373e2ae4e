"""What was erased stays away, whoever works meanwhile and however often it is broken off."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from gallery import erase as actions
from gallery import erase_rows, scrub
from gallery.erase import ErasurePlan, ErasureRequest
from gallery.model_rows import ModelRow
from gallery.store import ERASED
from query_sets import queries
from query_sets.set_rows import ErasedQuery, UnknownQuerySet, query_set_id
from tests.erased import (
    ASKED,
    everywhere,
    found,
    ids,
    stored,
    traces,
    two_folders,
    used,
)
from tests.fakes import (
    FakeNetwork,
    ingest,
    names,
    register,
    register_fake_model,
    work,
)


@pytest.fixture
def model(engine: Engine) -> ModelRow:
    return register_fake_model(engine, max_distance=1.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return two_folders(tmp_path)


# --- what stays away, and what may come again


def failures(engine: Engine) -> dict[str, str]:
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT i.path, t.reason FROM task t JOIN image i ON i.id = t.image_id"
                " WHERE t.state = 'failed'"
            )
        )
        return {row.path: row.reason for row in rows}


def test_it_is_not_taken_in_again_until_that_is_lifted(
    engine: Engine, folder: Path, model: ModelRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.query_images.load_network", lambda *_: FakeNetwork())
    stored(engine, folder, model)
    first = folder / "g" / names(1)[0]
    actions.erase(engine, ErasureRequest(files=(first,)), quick=True)
    ingest(engine, folder / "g", "g", model)
    assert failures(engine) == {first.name: ERASED}
    with pytest.raises(queries.NoQueries, match="erased"):
        queries.add(engine, "s", ASKED, [first])
    assert actions.allow_again(engine, [sha256(first.read_bytes()).hexdigest()]) == 1
    ingest(engine, folder / "g", "g", model)
    assert failures(engine) == {}
    assert first.name in ids(engine, [first.name])


def test_a_picture_that_was_never_stored_is_kept_out(
    engine: Engine, folder: Path, model: ModelRow
) -> None:
    first = folder / "g" / names(1)[0]
    done, _ = actions.erase(engine, ErasureRequest(files=(first,)), quick=True)
    assert done.to_json() | {"contents": 1} == dict.fromkeys(done.to_json(), 0) | {"contents": 1}
    ingest(engine, folder / "g", "g", model)
    assert failures(engine) == {first.name: ERASED}


def test_a_worker_that_has_read_it_already_does_not_store_it(
    engine: Engine, folder: Path, model: ModelRow
) -> None:
    first = folder / "g" / names(1)[0]

    def erase_it(call: int) -> None:
        if call == 1:
            actions.erase(engine, ErasureRequest(files=(first,)), quick=True)

    row, _ = register(engine, folder / "g", "g", model)
    work(engine, FakeNetwork(on_call=erase_it), model, row, batch_size=12)
    assert failures(engine) == {first.name: ERASED}
    with engine.connect() as connection:
        hashed = "SELECT count(*) FROM image i JOIN tombstone t USING (content_hash)"
        assert connection.scalar(text(hashed)) == 0
        assert connection.scalar(text("SELECT count(*) FROM feature")) == 11
        assert connection.scalar(text("SELECT count(*) FROM thumbnail")) == 11


def test_a_query_that_was_read_already_is_not_stored(
    engine: Engine, folder: Path, model: ModelRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(engine, folder, model)
    first = folder / "g" / names(1)[0]

    def late(engine: Engine, *embedded: Any) -> Any:
        actions.erase(engine, ErasureRequest(files=(first,)), quick=True)
        return embedded

    monkeypatch.setattr(queries, "_storable", late)
    with pytest.raises(ErasedQuery, match="not as a query either"):
        queries.add(engine, "s", ASKED, [first])
    with engine.connect() as connection, pytest.raises(UnknownQuerySet):
        query_set_id(connection, "s")


# --- broken off


@dataclass
class Killed:
    """Ends an erasure after some of its steps."""

    after: int
    steps: int = 0

    def __call__(self, *_: object) -> None:
        self.steps += 1
        if self.steps == self.after:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("after", "again"), [(1, ErasureRequest(collections=("g",))), (4, ErasureRequest())]
)
def test_killed_anywhere_a_second_run_ends_it(
    engine: Engine,
    folder: Path,
    model: ModelRow,
    monkeypatch: pytest.MonkeyPatch,
    after: int,
    again: ErasureRequest,
) -> None:
    monkeypatch.setattr(erase_rows, "CHUNK", 3)
    monkeypatch.setattr(erase_rows, "_QUERIES_AT_ONCE", 5)
    used(engine, folder, model)
    needles = traces(engine, names(12))
    with pytest.raises(KeyboardInterrupt):
        actions.erase(engine, ErasureRequest(collections=("g",)), on_step=Killed(after))
    assert found(everywhere(engine), needles)
    ingest(engine, folder / "g", "g", model)  # comes in between, and brings nothing back
    actions.erase(engine, again)
    paths = [f"path of {name}" for name in names(12)]
    left = {what: needle for what, needle in needles.items() if what not in paths}
    assert found(everywhere(engine), left) == []
    with engine.connect() as connection:
        assert not scrub.is_pending(connection)
        assert connection.scalar(text("SELECT count(*) FROM tombstone")) == 12


def test_an_image_that_is_erased_already_is_no_mistake(
    engine: Engine, folder: Path, model: ModelRow
) -> None:
    stored(engine, folder, model)
    asked = ErasureRequest(tuple(ids(engine, names(2)).values()))
    assert actions.erase(engine, asked, quick=True)[0].extent.images == 4
    plan: ErasurePlan = actions.erase(engine, asked, quick=True)[0]
    assert plan.is_empty
