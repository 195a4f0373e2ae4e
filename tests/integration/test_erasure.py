"""What is erased is nowhere, and what is left answers as if it had never been there."""

import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from gallery import erase as actions
from gallery import scrub
from gallery.erase import ErasureRequest, NothingNamed
from gallery.model_rows import ModelRow
from tests.erased import (
    answers,
    database_files,
    dumped,
    everywhere,
    found,
    ids,
    never_held,
    stored,
    traces,
    two_folders,
    used,
)
from tests.fakes import (
    everything_stored,
    names,
    register,
    register_fake_model,
)


@pytest.fixture
def model(engine: Engine) -> ModelRow:
    return register_fake_model(engine, max_distance=1.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return two_folders(tmp_path)


@pytest.mark.parametrize("seed", [1, 2])
def test_what_is_erased_is_nowhere_and_leaves_no_gap(
    engine: Engine,
    folder: Path,
    model: ModelRow,
    clone: Callable[[], AbstractContextManager[str]],
    seed: int,
) -> None:
    used(engine, folder, model)
    named = random.Random(seed).sample(names(12), 1 + 2 * seed)
    copies = {f"copy_{name}" for name in named} & {f"copy_{name}" for name in names(2)}
    gone = {*named, *copies}
    needles = traces(engine, gone)
    assert len(found(everywhere(engine), needles)) >= len(needles)  # it would be seen
    done, _ = actions.erase(
        engine, ErasureRequest(tuple(ids(engine, named).values())), quick=seed == 1
    )
    assert (done.extent.images, done.copies) == (len(gone), len(copies))
    assert found(everywhere(engine), needles) == []
    assert found({"pg_dump": dumped(engine)}, needles) == []
    with never_held(clone, folder, gone) as other:
        assert everything_stored(engine) == everything_stored(other)
        for name in gone:
            (folder / "g" / name).unlink(missing_ok=True)
        assert answers(engine, folder) == answers(other, folder)


def test_its_bytes_leave_the_files(engine: Engine, folder: Path, model: ModelRow) -> None:
    used(engine, folder, model)
    with engine.begin() as connection:
        connection.execute(
            text(
                f"CREATE INDEX ix_feature_hnsw_{model.id} ON feature USING hnsw"
                " ((embedding::halfvec(512)) halfvec_l2_ops) WHERE model_id = 1"
            )
        )
        rows = connection.execute(
            text(
                "SELECT i.path, t.jpeg, i.content_hash FROM image i JOIN thumbnail t"
                " ON t.image_id = i.id WHERE i.path = ANY(:paths)"
            ),
            {"paths": names(6)},
        ).all()
    needles = [part for r in rows for part in (r.path.encode(), bytes(r.jpeg), r.content_hash)]
    before = database_files(engine)
    assert all(needle in before for needle in needles)
    _, dropped = actions.erase(
        engine, ErasureRequest(tuple(ids(engine, names(6)).values())), quick=True
    )
    with engine.connect() as connection:
        assert scrub.is_pending(connection)
    assert (dropped, any(needle in database_files(engine) for needle in needles)) == ([], True)
    _, dropped = actions.erase(engine, ErasureRequest())
    after = database_files(engine)
    hashes = [bytes(r.content_hash) for r in rows]
    assert [n for n in needles if n in after and n not in hashes] == []
    assert dropped == [f"ix_feature_hnsw_{model.id}"]
    with engine.connect() as connection:
        assert not scrub.is_pending(connection)


def test_a_table_in_use_is_said_and_done_later(
    engine: Engine, folder: Path, model: ModelRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(engine, folder, model)
    monkeypatch.setattr("gallery.scrub.PATIENCE_S", 0.1)
    with engine.connect() as reader:
        reader.execute(text("SELECT count(*) FROM image"))
        with pytest.raises(scrub.BytesLeft, match="run `reid erase` once nobody searches"):
            actions.erase(engine, ErasureRequest(collections=("g",)))
    assert ids(engine, names(12)) == {}
    actions.erase(engine, ErasureRequest())
    with engine.connect() as connection:
        assert not scrub.is_pending(connection)


def test_an_erased_collection_leaves_no_statistics(
    engine: Engine, folder: Path, model: ModelRow
) -> None:
    """ANALYZE does nothing to the statistics of an empty table."""
    used(engine, folder, model)
    needles = traces(engine, names(12)) | traces(engine, names(4, first=101))
    for name in ("g", "h"):
        actions.erase(engine, ErasureRequest(collections=(name,)), quick=True)
    if engine.dialect.server_version_info < (18,):  # type: ignore[operator]
        pytest.skip("Postgres 18 is the first that can forget them")
    assert found(everywhere(engine), needles) == []
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM collection")) == 0
        assert connection.scalar(text("SELECT count(*) FROM query_set")) == 0


# --- by whom, and what of it


def test_a_person_goes_with_the_queries_for_them(
    engine: Engine, folder: Path, model: ModelRow
) -> None:
    """Their picture need not be stored in a collection."""
    used(engine, folder, model)
    gone = ids(engine, names(2))
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE image SET content_hash = sha256(path::bytea) WHERE collection_id = 1")
        )
        connection.execute(text("UPDATE query_image SET image_id = NULL"))
    done, _ = actions.erase(engine, ErasureRequest(collections=("g",), pid=1), quick=True)
    assert (done.extent.images, done.extent.queries, done.extent.query_sets) == (4, 3, 1)
    assert ids(engine, names(12)).keys() == set(names(12)) - gone.keys()
    with engine.connect() as connection:
        left = set(connection.scalars(text("SELECT name FROM query")))
        assert left == set(names(8)) - gone.keys()
        assert list(connection.scalars(text("SELECT name FROM query_set"))) == ["all"]
        assert connection.scalar(text("SELECT count(*) FROM collection")) == 2


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (ErasureRequest((1, 999)), "no image 999 .1 of 2"),
        (ErasureRequest(collections=("g",), pid=77), "holds no image of person 77"),
    ],
)
def test_what_was_never_there_is_a_mistake(
    engine: Engine, folder: Path, model: ModelRow, asked: ErasureRequest, says: str
) -> None:
    stored(engine, folder, model)
    before = everywhere(engine)
    with pytest.raises(NothingNamed, match=says):
        actions.erase(engine, asked)
    assert everywhere(engine) == before


def test_looking_changes_nothing(engine: Engine, folder: Path, model: ModelRow) -> None:
    used(engine, folder, model)
    before = everywhere(engine)
    plan, remains = actions.plan(engine, ErasureRequest(collections=("h",)))
    assert everywhere(engine) == before
    assert plan.to_json() == {
        "images": 8, "copies": 2, "unread": 0, "features": 8, "matches": 102, "verdicts": 2,
        "queries": 3, "query_sets": 1, "runs": 2, "contents": 6,
    }  # fmt: skip
    assert remains.folders == {str(folder / "g"): 2, str(folder / "h"): 6}
    done, _ = actions.erase(engine, ErasureRequest(collections=("h",)), quick=True)
    assert done.to_json() == plan.to_json()


def test_what_was_never_read_goes_too(engine: Engine, folder: Path, model: ModelRow) -> None:
    register(engine, folder / "g", "g", model)
    done, _ = actions.erase(engine, ErasureRequest(collections=("g",)), quick=True)
    assert (done.extent.images, done.to_json()["unread"], done.copies) == (12, 12, 0)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM tombstone")) == 0
        assert connection.scalar(text("SELECT count(*) FROM task")) == 0
