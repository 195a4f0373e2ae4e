"""`ingest --watch`: each look at the folder is made by the test, which drops files in between."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from cli import run
from gallery import manifest
from gallery.collections import UnknownCollection, all_collections, remove
from gallery.model_rows import ModelRow
from images.listing import FoundFile, Listing
from ingest import watch as watching
from ingest.arrivals import Arrivals
from ingest.options import Options
from ingest.run import Summary
from ingest.worker import Worker
from tests.fakes import DECODERS, FakeNetwork, names, picture, register_fake_model, write_pictures
from tests.rows import column, failures, states

Step = Callable[[], object]
FIRST = names(4)


@pytest.fixture
def model(engine: Engine) -> ModelRow:
    return register_fake_model(engine)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return still(write_pictures(tmp_path / "drop", FIRST))


def still(folder: Path) -> Path:
    """As if its files had lain there for long."""
    for path in folder.iterdir():
        os.utime(path, (1e9, 1e9))
    return folder


class Watched:
    """Runs a watch in which each step is made after a look at the folder, and Ctrl-C at the end."""

    def __init__(self, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        self.engine, self.notes, self.networks = engine, list[str](), list[FakeNetwork]()
        self._steps: Iterator[Step] = iter(())
        monkeypatch.setattr(watching, "worker_for", self._worker)
        monkeypatch.setattr("ingest.watch.sleep", self._between)

    def __call__(self, folder: Path, *steps: Step, enqueue: bool = False) -> Summary:
        self._steps = iter(steps)
        options = Options(enqueue=enqueue)
        return watching.watch(self.engine, folder, "g", options, 2.0, None, self.notes.append)

    def _worker(self, engine: Engine, model: ModelRow, _: Options) -> Worker:
        self.networks.append(FakeNetwork())
        return Worker(engine, self.networks[-1], model.id, batch_size=4, decoders=DECODERS)

    def _between(self, seconds: float) -> None:
        assert seconds >= 2
        step = next(self._steps, None)
        if step is None:
            raise KeyboardInterrupt
        step()

    @property
    def images(self) -> int:
        return sum(network.images for network in self.networks)


@pytest.fixture
def watch(engine: Engine, model: ModelRow, monkeypatch: pytest.MonkeyPatch) -> Watched:  # noqa: ARG001
    return Watched(engine, monkeypatch)


def nothing() -> None:
    pass


def test_what_arrives_is_taken_in(engine: Engine, folder: Path, watch: Watched) -> None:
    seen: list[int] = []

    def arrive() -> None:
        seen.append(watch.images)
        write_pictures(folder, ["new.png", "sub/newer.png"], first_seed=40)

    summary = watch(folder, nothing, arrive, lambda: seen.append(watch.images), nothing)
    assert seen == [4, 4]  # they are left until a second look has found them the same
    assert (summary.stored, summary.failed, summary.known, summary.pending) == (6, 0, 0, 0)
    assert states(engine) == {"done": 6}
    assert len(watch.networks) == 1  # which stays loaded
    assert watch.notes == ["taken in: 4 stored", "taken in: 2 stored"]
    assert column(engine, "SELECT action FROM audit WHERE action LIKE 'ingest%' ORDER BY id") == [
        "ingest watch",
        "ingest",
    ]
    again = watch(folder, nothing)
    assert (again.stored, again.known) == (0, 6)
    assert len(watch.networks) == 1  # nothing to do: none was loaded


def test_a_file_that_grows_is_left_alone(engine: Engine, folder: Path, watch: Watched) -> None:
    picture(77).save(folder / "whole.png")
    whole = (folder / "whole.png").read_bytes()
    (folder / "whole.png").unlink()

    def grow(share: float) -> Step:
        return lambda: (folder / "slow.png").write_bytes(whole[: int(len(whole) * share)])

    summary = watch(folder, grow(0.2), grow(0.5), grow(1.0), nothing, nothing)
    assert (summary.stored, summary.failed) == (5, 0)
    assert failures(engine) == {}


def test_what_is_being_written_at_the_start_is_left_alone(folder: Path, watch: Watched) -> None:
    (folder / "half.png").write_bytes(b"half")  # just now
    summary = watch(
        folder, lambda: write_pictures(folder, ["half.png"], first_seed=9), nothing, nothing
    )
    assert (summary.stored, summary.failed) == (5, 0)


def test_a_failing_file_is_tried_once_a_version(
    engine: Engine, folder: Path, watch: Watched
) -> None:
    (folder / "bad.png").write_bytes(b"no image")
    attempts: list[int] = []

    def count() -> None:
        with engine.connect() as connection:
            attempts.extend(row["attempts"] for row in manifest.failed_items(connection))

    summary = watch(still(folder), count, nothing, count)
    assert (summary.stored, summary.failed, attempts) == (4, 1, [1, 1])
    assert summary.failures[0][0] == "bad.png"
    mend = lambda: write_pictures(folder, ["bad.png"], first_seed=60)  # noqa: E731
    assert watch(folder, mend, nothing, nothing).stored == 1
    assert failures(engine) == {}


def test_what_goes_is_noted(engine: Engine, folder: Path, watch: Watched) -> None:
    gone = "SELECT path FROM image WHERE missing_since IS NOT NULL ORDER BY path"
    summary = watch(folder, (folder / FIRST[0]).unlink, nothing)
    assert (summary.missing, column(engine, gone)) == (1, [FIRST[0]])
    back = lambda: write_pictures(folder, FIRST[:1])  # noqa: E731
    summary = watch(folder, back, nothing, nothing)
    assert (summary.missing, column(engine, gone)) == (0, [])


def test_a_folder_that_goes_away_is_waited_for(
    engine: Engine, folder: Path, watch: Watched
) -> None:
    away = folder.parent / "away"

    def back() -> None:
        away.rename(folder)
        still(write_pictures(folder, ["new.png"], first_seed=40))

    summary = watch(folder, lambda: folder.rename(away), nothing, nothing, back, nothing, nothing)
    assert (summary.stored, summary.missing) == (5, 0)
    assert watch.notes[1:3] == [f"{folder} is not there; waiting", f"{folder} is there again"]
    assert column(engine, "SELECT count(*) FROM image WHERE missing_since IS NOT NULL") == [0]


def test_an_emptied_folder_takes_nothing_away(engine: Engine, folder: Path, watch: Watched) -> None:
    """As where a drive has been unmounted and its mount point is left."""

    def empty() -> None:
        shutil.rmtree(folder)
        folder.mkdir()

    summary = watch(folder, empty, nothing, nothing)
    assert summary.missing == 0
    assert "holds no image file" in watch.notes[-1]
    assert column(engine, "SELECT count(*) FROM image WHERE missing_since IS NOT NULL") == [0]


def test_an_empty_folder_may_be_watched(tmp_path: Path, watch: Watched) -> None:
    (tmp_path / "drop").mkdir()
    fill = lambda: still(write_pictures(tmp_path / "drop", FIRST))  # noqa: E731
    assert watch(tmp_path / "drop", nothing, fill, nothing).stored == 4


def test_enqueue_leaves_the_work_to_others(engine: Engine, folder: Path, watch: Watched) -> None:
    summary = watch(folder, nothing, enqueue=True)
    assert (summary.pending, watch.networks, states(engine)) == (4, [], {"pending": 4})


def test_a_collection_that_is_removed_ends_it(engine: Engine, folder: Path, watch: Watched) -> None:
    def take_away() -> None:
        with engine.begin() as connection:
            remove(connection, all_collections(connection)[0].id)
        write_pictures(folder, ["new.png"], first_seed=40)

    with pytest.raises(UnknownCollection):
        watch(folder, take_away, nothing, nothing)


def test_ctrl_c_gives_the_summary_and_its_exit_code(
    engine: Engine,
    folder: Path,
    watch: Watched,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("commands.options.database", lambda: engine)
    command = ["ingest", str(folder), "--collection", "g", "--watch", "--format", "json"]
    assert run(command) == 130
    said = capsys.readouterr()
    assert json.loads(said.out)["stored"] == 4
    assert said.err.startswith(f"watching {folder}; Ctrl-C ends it\n")
    assert watch.images == 4


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["p.tar", "--watch"], "--watch is for a folder; "),
        (["memory://p", "--watch"], "--watch is for a folder; memory://p is none"),
        ([".", "--watch", "--manifest", "x.csv"], "--watch takes no --manifest"),
        (["nothing", "--watch"], "nothing is not there"),
    ],
)
def test_what_cannot_be_watched(
    tmp_path: Path,
    more: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.tar").write_bytes(b"x")
    assert run(["ingest", *more, "--collection", "g"]) == 2
    assert said in capsys.readouterr().err


def test_interrupted_before_anything_was_seen(tmp_path: Path, watch: Watched) -> None:
    (tmp_path / "drop").mkdir()
    with pytest.raises(KeyboardInterrupt):
        watch(tmp_path / "drop")


def test_files_out_of_sight_are_not_gone() -> None:
    files = [FoundFile(f"a/{n}.jpg", None, 1, 0) for n in range(2)]
    arrivals = Arrivals(2.0)
    assert arrivals.look(Listing(files), 10**10).ready == files
    hidden = arrivals.look(Listing([], {"a": "a folder that may not be read"}), 10**10)
    assert (hidden.ready, hidden.gone) == ([], set())
    assert arrivals.look(Listing(files), 10**10).ready == []
    assert arrivals.look(Listing(files[:1]), 10**10).gone == {("a/1.jpg", None)}
