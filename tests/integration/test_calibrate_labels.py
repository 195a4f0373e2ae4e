"""Cut-offs of `reid calibrate`: stored labels follow them, runs go stale, workers agree."""

import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from sqlalchemy import Engine, text

from evaluation.calibrate import Calibrated
from evaluation.calibrate_people import CannotCalibrate
from evaluation.evaluate_reid import CannotEvaluate
from gallery import model_rows as registry
from gallery.model_rows import ModelRow, current_cutoffs
from images.annotations import BadAnnotations
from ingest.worker import Worker
from query_sets.runs import is_stale
from search.question import Question
from tests.calibrating import (
    RARE,
    calibrate,
    known_people,
    labels,
    now,
    person,
    put,
    revisions,
    scores,
    strangers,
    trained_model,
    written_annotations,
)
from tests.fakes import (
    DECODERS,
    FakeNetwork,
    Stored,
    collection,
    names,
    register,
    register_fake_model,
    store,
    write_pictures,
)
from tests.query_sets import add, query, run
from tests.rows import column
from vocabulary import LABEL_OF, decide


@pytest.fixture
def model(engine: Engine) -> ModelRow:
    return trained_model(engine)


@pytest.fixture
def people(engine: Engine, model: ModelRow) -> list[Stored]:
    return known_people(engine, model)


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    return written_annotations(tmp_path)


# --- cut-offs and labels


def test_cutoffs_decide_stored_labels_again(
    engine: Engine, model: ModelRow, people: list[Stored], annotations: Path
) -> None:
    put(engine, model, "others", strangers(30), "elsewhere")  # their hats score .35
    put(engine, model, "sure", [Stored("sure.jpg", person(1, 1), scores(0.01))], "elsewhere")
    other = register_fake_model(engine, "other")
    with engine.begin() as connection:
        second = collection(engine, "second", "elsewhere")
        store(connection, other, second, [Stored("second.jpg", person(3, 3), scores(0.35))])
    untouched, was = labels(engine, "other"), revisions(engine)
    found = calibrate(engine, annotations=annotations)
    chosen = found.chosen_cutoffs
    assert list(chosen) == ["hat"]
    assert 0.15 < chosen["hat"] < 0.35
    assert now(engine).cutoffs == chosen
    stored = {item.path: item.scores for item in [*people, *strangers(30)]}
    after = labels(engine)
    assert {path: after[path] for path in stored} == {
        path: decide(np.array(values, np.float32).tolist(), chosen)
        for path, values in stored.items()
    }
    assert found.labels_changed == 4 * RARE + 30
    assert labels(engine, "other") == untouched
    moved = {name for name, revision in revisions(engine).items() if revision != was[name]}
    assert moved == {"people", "others"}, "'sure' is decided as before, 'second' by another model"
    assert found.unused_rows == 1
    hats = "SELECT count(*) FROM gallery WHERE hat = 'yes'"
    assert column(engine, hats) == [4 * RARE + 30], "the view says the same"


@pytest.mark.usefixtures("people")
def test_the_distance_alone_keeps_the_cutoffs(engine: Engine, annotations: Path) -> None:
    first = calibrate(engine, annotations=annotations)
    was, decided = revisions(engine), labels(engine)
    calibrate(engine, false_positive_rate=0.02)
    row = now(engine)
    assert row.cutoffs == first.chosen_cutoffs
    assert row.calibration["chosen_by"] == "FPR 2e-2"
    assert [c["cutoff"] for c in row.calibration["cutoffs"] if c["name"] == "hat"] == [
        first.chosen_cutoffs["hat"]
    ]
    assert (revisions(engine), labels(engine)) == (was, decided)


@pytest.mark.usefixtures("people")
def test_runs_made_before_are_stale(engine: Engine, model: ModelRow, annotations: Path) -> None:
    gallery = [collection(engine, "people")]
    ask = [query("a.jpg", 5)]
    add(engine, model, gallery, ask, Question(max_distance=0.5), name="auto", auto=True)
    add(engine, model, gallery, ask, Question(max_distance=0.5), name="plain")

    def stale() -> list[bool]:
        with engine.connect() as connection:
            return [is_stale(connection, done.id) for done in runs]

    runs = [run(engine, model, "auto"), run(engine, model, "plain")]
    assert stale() == [False, False]
    calibrate(engine)
    assert stale() == [True, False], "`auto` is another distance now"
    runs = [run(engine, now(engine), "auto"), run(engine, now(engine), "plain")]
    assert runs[0].max_distance == now(engine).max_distance
    calibrate(engine)
    assert stale() == [False, False], "measured again, nothing is different"
    calibrate(engine, annotations=annotations)
    assert stale() == [True, True], "labels that a filter asks for have changed"


@pytest.mark.usefixtures("people")
def test_a_dry_run_changes_nothing(engine: Engine, model: ModelRow, annotations: Path) -> None:
    before = (labels(engine), revisions(engine))
    found = calibrate(engine, annotations=annotations, dry_run=True)
    assert found.chosen_cutoffs
    assert (now(engine), labels(engine), revisions(engine)) == (model, *before)
    assert column(engine, "SELECT count(*) FROM audit") == [0]


@pytest.mark.usefixtures("people")
def test_annotations_that_do_not_fit(engine: Engine, annotations: Path, tmp_path: Path) -> None:
    lines = annotations.read_text().splitlines()
    few, nobody = tmp_path / "few.csv", tmp_path / "nobody.csv"
    few.write_text("\n".join(lines[:8]))
    nobody.write_text("\n".join([lines[0], lines[-1]]))
    calibrate(engine, annotations=annotations)
    kept = now(engine)
    with pytest.raises(CannotCalibrate) as caught:
        calibrate(engine, annotations=few)
    assert str(caught.value) == (
        f"cut-offs need 20 people with annotations, {few} has 7 of 'people'; "
        "annotate more, or leave out --annotations"
    )
    with pytest.raises(CannotEvaluate, match="no image of 'people' has a row in"):
        calibrate(engine, annotations=nobody)
    with pytest.raises(BadAnnotations, match="no annotation file"):
        calibrate(engine, annotations=tmp_path / "none.csv")
    assert now(engine) == kept, "a question that was wrong changes nothing"


# --- workers that run at the same time


def mixed(engine: Engine) -> list[str]:
    """Paths whose labels are not what the model's cut-offs decide now."""
    stmt = text(
        "SELECT i.path, f.labels, f.scores FROM feature f JOIN image i ON i.id = f.image_id"
    )
    cutoffs = now(engine).cutoffs
    with engine.connect() as connection:
        return [
            row.path
            for row in connection.execute(stmt)
            if row.labels != decide(np.array(row.scores, np.float32).tolist(), cutoffs)
        ]


@pytest.mark.usefixtures("people")
def test_a_worker_that_began_before_decides_by_the_new_cutoffs(
    engine: Engine, tmp_path: Path, model: ModelRow, annotations: Path
) -> None:
    folder = write_pictures(tmp_path / "new", [f"new{n}.png" for n in range(40)])
    row, _ = register(engine, folder, "new", model)
    batches: list[int] = []

    def calibrate_in_between(_: object) -> None:
        batches.append(1)
        if len(batches) == 2:
            calibrate(engine, annotations=annotations)

    with Worker(engine, FakeNetwork(), model.id, batch_size=4, decoders=DECODERS) as worker:
        worker.work(row.id, calibrate_in_between)
    assert len(batches) == 10
    hats = [path for path, found in labels(engine).items() if LABEL_OF["hat-2"] in found]
    assert any(path.startswith("new") for path in hats)
    assert now(engine).cutoffs
    assert mixed(engine) == []


@pytest.mark.usefixtures("people")
def test_a_batch_that_is_being_stored_is_waited_for(
    engine: Engine, model: ModelRow, annotations: Path
) -> None:
    """It was decided by the old cut-offs: it must be there before labels are decided again."""
    done: list[Calibrated] = []
    thread = Thread(target=lambda: done.append(calibrate(engine, annotations=annotations)))
    late = collection(engine, "late", "elsewhere")
    with engine.begin() as connection:
        current_cutoffs(connection, model.id)  # as the batch store begins
        store(connection, model, late, [Stored("late.jpg", person(8, 8), scores(0.35))])
        thread.start()
        _wait_for(lambda: _waiting(engine))
        assert not done
    thread.join(20)
    assert len(done) == 1
    assert LABEL_OF["hat-2"] in labels(engine)["late.jpg"]
    assert mixed(engine) == []


@pytest.mark.usefixtures("people")
def test_a_batch_waits_for_labels_that_are_decided_again(
    engine: Engine, tmp_path: Path, model: ModelRow
) -> None:
    folder = write_pictures(tmp_path / "new", names(4))
    row, _ = register(engine, folder, "new", model)
    with Worker(engine, FakeNetwork(), model.id, decoders=DECODERS) as worker:
        thread = Thread(target=worker.work, args=[row.id])
        with engine.begin() as connection:
            registry.set_calibration(connection, model.id, 0.7, {}, {"hat": 0.0})
            thread.start()
            _wait_for(lambda: _waiting(engine))
        thread.join(20)
    fresh = [found for path, found in labels(engine).items() if path.endswith(".png")]
    assert len(fresh) == 4
    assert all(LABEL_OF["hat-2"] in found for found in fresh)


def _waiting(engine: Engine) -> bool:
    stmt = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    return column(engine, stmt) != [0]


def _wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)
