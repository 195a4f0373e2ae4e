"""The worker: each image once, whatever happens to the files meanwhile."""

import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import Engine, text

from gallery import collections, manifest
from gallery.model_rows import ModelRow
from images.preprocessing import Pixels
from models.outputs import Outputs
from tests.fakes import (
    FakeNetwork,
    everything_stored,
    ingest,
    names,
    picture,
    register,
    register_fake_model,
    work,
    write_pictures,
)
from tests.rows import column, failures, states, touch


@pytest.fixture
def model(engine: Engine) -> ModelRow:
    return register_fake_model(engine)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "people", names(20))


# --- what is stored, and what is known


def test_a_folder_is_stored(engine: Engine, folder: Path, model: ModelRow) -> None:
    network = FakeNetwork()
    registered, progress = ingest(engine, folder, "g", model, network)
    assert (registered.pending, registered.known, registered.missing) == (20, 0, 0)
    assert (progress.stored, progress.known, progress.failed, progress.copied) == (20, 0, 0, 0)
    assert network.seen == [8, 8, 4]
    stored = everything_stored(engine)
    assert [row[1] for row in stored] == sorted(names(20))
    with Image.open(folder / names(1)[0]) as image:
        scores, embeddings, quality = network(network.pixels_of(image.convert("RGB"))[None])
    assert quality is not None
    assert np.array_equal(np.float32(stored[0][12]), scores[0])
    found = column(engine, "SELECT embedding FROM feature ORDER BY image_id LIMIT 1")
    assert np.array_equal(np.fromstring(found[0].strip("[]"), np.float32, sep=","), embeddings[0])
    assert stored[0][3:5] == (1, 1)  # pid and camid, from the name
    assert stored[0][6:8] == (32, 64)
    assert np.float32(stored[0][13]) == quality[0]
    assert stored[0][15] == "done"


def test_again_nothing_is_read(
    engine: Engine, folder: Path, model: ModelRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(engine, folder, "g", model)
    before, network = everything_stored(engine), FakeNetwork()
    monkeypatch.setattr("ingest.reader.read_file", lambda _: pytest.fail("a file was read"))
    registered, progress = ingest(engine, folder, "g", model, network)
    assert (registered.pending, registered.known) == (0, 20)
    assert progress.settled == network.images == 0
    assert everything_stored(engine) == before


def test_a_touched_file_is_known(engine: Engine, folder: Path, model: ModelRow) -> None:
    """Read again, since its time is another; not inferred again, since its content is not."""
    ingest(engine, folder, "g", model)
    revision = column(engine, "SELECT revision FROM collection")
    touch(folder / names(1)[0])
    network = FakeNetwork()
    registered, progress = ingest(engine, folder, "g", model, network)
    assert (registered.pending, registered.known) == (1, 19)
    assert (progress.stored, progress.known, network.images) == (0, 1, 0)
    assert column(engine, "SELECT revision FROM collection") == revision
    assert ingest(engine, folder, "g", model, network)[0].known == 20


def test_a_changed_file_is_noticed(engine: Engine, folder: Path, model: ModelRow) -> None:
    ingest(engine, folder, "g", model)
    picture(99).save(folder / names(1)[0])
    touch(folder / names(1)[0])
    network = FakeNetwork()
    registered, progress = ingest(engine, folder, "g", model, network)
    assert (registered.known, progress.stored, network.images) == (19, 1, 1)
    assert len(everything_stored(engine)) == 20


def test_a_new_file_joins(engine: Engine, folder: Path, model: ModelRow) -> None:
    ingest(engine, folder, "g", model)
    write_pictures(folder, ["later/x.png"], first_seed=99)
    registered, progress = ingest(engine, folder, "g", model)
    assert (registered.known, progress.stored) == (20, 1)


def test_another_model_computes_its_own(engine: Engine, folder: Path, model: ModelRow) -> None:
    ingest(engine, folder, "g", model)
    network = FakeNetwork(1)
    _, progress = ingest(engine, folder, "g", register_fake_model(engine, "other"), network)
    assert (progress.stored, network.images) == (20, 20)
    assert column(engine, "SELECT count(*) FROM feature GROUP BY model_id") == [20, 20]
    assert column(engine, "SELECT count(*) FROM image") == [20]


def test_overwriting_computes_again(engine: Engine, folder: Path, model: ModelRow) -> None:
    ingest(engine, folder, "g", model)
    before, network = everything_stored(engine), FakeNetwork(1)
    registered, progress = ingest(engine, folder, "g", model, network, overwrite=True)
    assert (registered.pending, progress.stored, network.images) == (20, 20, 20)
    after = everything_stored(engine)
    assert [row[:10] for row in after] == [row[:10] for row in before]
    assert all(a[14] != b[14] for a, b in zip(after, before, strict=True))


# --- equal content


def test_copies_cost_no_inference(engine: Engine, tmp_path: Path, model: ModelRow) -> None:
    """Within a batch, in a later batch, in a later ingest and in another collection."""
    folder = write_pictures(tmp_path / "people", ["0001_c1_1.png", "0001_c1_2.png"])
    for copy in ("0002_c3_1.png", "z/0009_c2_1.png"):
        (folder / copy).parent.mkdir(exist_ok=True)
        shutil.copy(folder / "0001_c1_1.png", folder / copy)
    network = FakeNetwork()
    _, progress = ingest(engine, folder, "g", model, network, batch_size=3)
    assert (progress.stored, progress.copied, network.images) == (4, 2, 2)
    shutil.copy(folder / "0001_c1_2.png", folder / "0003_c1_1.png")
    _, progress = ingest(engine, folder, "g", model, network, batch_size=3)
    assert (progress.stored, progress.copied, network.images) == (1, 1, 2)
    _, progress = ingest(engine, folder, "other", model, network, batch_size=3)
    assert (progress.stored, progress.copied, network.images) == (5, 5, 2)
    rows = [row for row in everything_stored(engine) if row[0] == "g"]
    same = [row for row in rows if row[5] == rows[0][5]]
    assert len({row[11:14] for row in same}) == 1
    assert [(row[3], row[4], row[10]) for row in same] == [(1, 1, 1), (2, 3, 3), (9, 2, 2)]


def test_copies_with_overwrite_are_computed_once(
    engine: Engine, tmp_path: Path, model: ModelRow
) -> None:
    folder = write_pictures(tmp_path / "people", ["a.png"])
    shutil.copy(folder / "a.png", folder / "b.png")
    network = FakeNetwork()
    ingest(engine, folder, "g", model, network)
    _, progress = ingest(engine, folder, "g", model, network, overwrite=True)
    assert (progress.stored, progress.copied, network.images) == (2, 1, 2)


def test_a_twin_that_changes_meanwhile_lends_nothing(
    engine: Engine, tmp_path: Path, model: ModelRow
) -> None:
    """b.png is what a.png was; a.png is something else now, in the same batch."""
    folder = write_pictures(tmp_path / "people", ["a.png"])
    ingest(engine, folder, "g", model)
    shutil.copy(folder / "a.png", folder / "b.png")
    picture(99).save(folder / "a.png")
    touch(folder / "a.png")
    _, progress = ingest(engine, folder, "g", model)
    assert (progress.stored, progress.failed) == (2, 0)
    expect_features_of_the_files(engine, folder)


def test_files_that_change_places(engine: Engine, tmp_path: Path, model: ModelRow) -> None:
    folder = write_pictures(tmp_path / "people", ["a.png", "b.png"])
    ingest(engine, folder, "g", model)
    (folder / "a.png").rename(folder / "c")
    (folder / "b.png").rename(folder / "a.png")
    (folder / "c").rename(folder / "b.png")
    touch(folder / "a.png")
    touch(folder / "b.png", 200)
    ingest(engine, folder, "g", model)
    expect_features_of_the_files(engine, folder)


def expect_features_of_the_files(engine: Engine, folder: Path) -> None:
    network = FakeNetwork()
    stored = everything_stored(engine)
    assert len(stored) == len(list(folder.iterdir()))
    for row in stored:
        with Image.open(folder / row[1]) as image:
            scores, *_ = network(network.pixels_of(image.convert("RGB"))[None])
        assert np.array_equal(np.float32(row[12]), scores[0]), row[1]
        assert row[15:] == ("done", None)


def test_a_twin_that_is_removed_meanwhile_is_no_endless_loop(
    engine: Engine, tmp_path: Path, model: ModelRow
) -> None:
    folder = write_pictures(tmp_path / "people", ["a.png", "b.png"])
    shutil.copy(folder / "a.png", folder / "c.png")

    def remove_the_first(call: int) -> None:
        if call == 2:  # c.png is read already, to share what a.png has
            while not column(engine, "SELECT 1 FROM feature"):
                time.sleep(0.01)
            with engine.begin() as connection:
                connection.execute(text("DELETE FROM image WHERE path = 'a.png'"))

    network = FakeNetwork(on_call=remove_the_first)
    _, progress = ingest(engine, folder, "g", model, network, batch_size=1)
    assert states(engine) == {"done": 2}
    assert [row[1] for row in everything_stored(engine)] == ["b.png", "c.png"]
    assert progress.failed == 0


# --- what cannot be stored


def test_what_fails_is_reported_and_stops_nothing(
    engine: Engine, folder: Path, model: ModelRow
) -> None:
    (folder / "text.jpg").write_text("no picture")
    (folder / "empty.jpg").write_bytes(b"")
    whole = (folder / names(1)[0]).read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    picture(50, (320, 64)).save(folder / "wide.png")
    _, progress = ingest(engine, folder, "g", model)
    assert (progress.stored, progress.failed) == (20, 4)
    found = failures(engine)
    assert found.keys() == {"text.jpg", "empty.jpg", "cut.png", "wide.png"}
    assert found["empty.jpg"] == "an empty file"
    assert found["cut.png"].startswith("a damaged image: ")
    assert "--allow-any-shape" in found["wide.png"]
    _, progress = ingest(engine, folder, "g", model, allow_any_shape=True)
    assert (progress.stored, progress.failed) == (1, 3)
    assert failures(engine).keys() == {"text.jpg", "empty.jpg", "cut.png"}
    picture(51).save(folder / "empty.jpg")
    assert ingest(engine, folder, "g", model)[1].stored == 1
    with engine.begin() as connection:
        assert manifest.retry(connection, "DAMAGED") == 1
    assert states(engine) == {"done": 22, "failed": 1, "pending": 1}


def test_a_file_that_goes_between_walk_and_reading(
    engine: Engine, folder: Path, model: ModelRow
) -> None:
    row, _ = register(engine, folder, "g", model)
    (folder / names(1)[0]).unlink()
    progress = work(engine, FakeNetwork(), model, row)
    assert (progress.stored, progress.failed) == (19, 1)
    assert failures(engine) == {names(1)[0]: "cannot be read: No such file or directory"}


def test_what_was_erased_is_not_taken_in_again(
    engine: Engine, folder: Path, model: ModelRow
) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO tombstone (content_hash, actor) VALUES (sha256(:data), 'a test')"),
            {"data": (folder / names(1)[0]).read_bytes()},
        )
    _, progress = ingest(engine, folder, "g", model)
    assert (progress.stored, progress.failed) == (19, 1)
    assert failures(engine) == {names(1)[0]: "this image was erased; it is not taken in again"}
    assert len(column(engine, "SELECT 1 FROM thumbnail")) == 19


class NotANumber(FakeNetwork):
    """Gives NaN for one picture of its first batch, in one of the three outputs."""

    def __init__(self, output: int) -> None:
        super().__init__()
        self.output = output

    def __call__(self, pixels_NHWC: Pixels) -> Outputs:
        found = super().__call__(pixels_NHWC)
        broken = found[self.output]
        if len(self.seen) == 1 and broken is not None:
            broken[2, ...] = np.nan
        return found


@pytest.mark.parametrize("output", range(3))
def test_numbers_that_are_not_finite_fail_their_image_alone(
    engine: Engine, folder: Path, model: ModelRow, output: int
) -> None:
    _, progress = ingest(engine, folder, "g", model, NotANumber(output))
    assert (progress.stored, progress.failed) == (19, 1)
    assert failures(engine) == {sorted(names(20))[2]: "the model gave numbers that are not finite"}


# --- files that go


def test_missing_files_stay_until_pruned(engine: Engine, folder: Path, model: ModelRow) -> None:
    ingest(engine, folder, "g", model)
    (folder / names(1)[0]).rename(folder.parent / "kept.png")
    registered, _ = ingest(engine, folder, "g", model)
    assert (registered.missing, registered.known) == (1, 19)
    assert column(engine, "SELECT count(*) FROM feature") == [20]
    assert ingest(engine, folder, "g", model)[0].missing == 0  # told once

    (folder.parent / "kept.png").rename(folder / names(1)[0])
    network = FakeNetwork()
    assert ingest(engine, folder, "g", model, network)[1].known == 1
    assert column(engine, "SELECT count(*) FROM image WHERE missing_since IS NOT NULL") == [0]
    assert network.images == 0

    (folder / names(1)[0]).unlink()
    ingest(engine, folder, "g", model)
    with engine.begin() as connection:
        row = collections.collection_named(connection, "g")
        assert collections.prune(connection, row.id) == 1
        assert collections.collection_named(connection, "g").revision == row.revision + 1
        assert collections.prune(connection, row.id) == 0
    assert column(engine, "SELECT count(*) FROM feature") == [19]
    assert column(engine, "SELECT count(*) FROM thumbnail") == [19]


def test_another_folder_of_the_collection_is_not_missing(
    engine: Engine, folder: Path, model: ModelRow, tmp_path: Path
) -> None:
    ingest(engine, folder, "g", model)
    other = write_pictures(tmp_path / "other", ["x.png"], first_seed=99)
    assert ingest(engine, other, "g", model)[0].missing == 0


def test_a_folder_that_may_not_be_read_is_not_missing(
    engine: Engine, tmp_path: Path, model: ModelRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_pictures(tmp_path / "people", ["a.png", "cam1/b.png", "cam1/deep/c.png"])
    ingest(engine, folder, "g", model)
    real = os.scandir

    def scandir(path: bytes) -> Any:
        if path.endswith(b"cam1"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr("os.scandir", scandir)
    registered, _ = ingest(engine, folder, "g", model)
    assert (registered.missing, registered.known) == (0, 1)
    assert list(registered.refused) == ["cam1"]
