"""`reid calibrate`: the distance of `auto`, from stored features to the model's row."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from sqlalchemy import Engine

from errors import UsageError
from evaluation.calibrate_people import CannotCalibrate, DistanceReport
from gallery.model_rows import ModelRow
from metrics.calibration import MIN_PEOPLE, TooFewPeople
from models.checkpoint import read_header
from search.distance import exact_l2
from tests.calibrating import (
    PEOPLE,
    RARE,
    TRAINED,
    calibrate,
    images,
    known_people,
    now,
    person,
    put,
    report,
    strangers,
    trained_model,
    written_annotations,
)
from tests.fakes import Stored, collection
from tests.rows import column

SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "schemas" / "calibrate.json"


@pytest.fixture
def model(engine: Engine) -> ModelRow:
    return trained_model(engine)


@pytest.fixture
def people(engine: Engine, model: ModelRow) -> list[Stored]:
    return known_people(engine, model)


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    return written_annotations(tmp_path)


def split(items: list[Stored]) -> tuple[list[Stored], list[Stored]]:
    """(queries, gallery): the first image of each person and camera, and the rest."""
    firsts: dict[tuple[int | None, int | None], Stored] = {}
    for item in sorted(items, key=lambda item: item.path):
        firsts.setdefault((item.pid, item.camid), item)
    chosen = [item.path for item in firsts.values()]
    return (
        [item for item in items if item.path in chosen],
        [item for item in items if item.path not in chosen],
    )


def counted(
    limit: float, queries: list[Stored], gallery: list[Stored]
) -> tuple[float, float, int, int]:
    """(precision, recall, pairs, pairs of one person), pair by pair."""
    true = false = same = pairs = 0
    for q in queries:
        for g in gallery:
            if g.pid == q.pid and g.camid == q.camid:
                continue
            within = bool(exact_l2(q.embedding, g.embedding[None])[0] <= limit)
            pairs += 1
            same += g.pid == q.pid
            true += within and g.pid == q.pid
            false += within and g.pid != q.pid
    return true / (true + false), true / same, pairs, same


# --- the distance


def test_the_distance_is_stored_with_what_it_gives(
    engine: Engine, model: ModelRow, people: list[Stored]
) -> None:
    put(engine, model, "others", strangers(60), "elsewhere")
    found = report(engine, distractors=("others",))
    queries, gallery = split(people)
    wanted = counted(found.calibration.max_distance, queries, [*gallery, *strangers(60)])
    calibration = found.calibration
    assert (calibration.precision, calibration.recall) == pytest.approx(wanted[:2], abs=1e-12)
    assert (calibration.num_pairs, calibration.num_positive_pairs) == wanted[2:]
    assert calibration.num_identities == PEOPLE
    assert (found.num_queries, found.num_gallery) == (2 * PEOPLE, 2 * PEOPLE + 60)
    assert (found.num_strangers, found.trained_left_out, found.num_waiting) == (60, 0, 0)
    row = now(engine)
    assert row.max_distance == calibration.max_distance != 0.5
    assert (row.calibration["collection"], row.calibration["distractors"]) == ("people", ["others"])
    assert row.calibration["recall"] == calibration.recall
    assert set(row.calibration["points"]) == set(calibration.points)
    assert row.header["max_distance"] == 0.5, "the checkpoint says what it said"
    assert column(engine, "SELECT action FROM audit") == ["calibrate"]


@pytest.mark.usefixtures("people")
def test_strangers_move_the_limit(engine: Engine, model: ModelRow) -> None:
    put(engine, model, "others", strangers(400), "elsewhere")
    alone, among = report(engine), report(engine, distractors=("others",))
    assert alone.num_strangers == 0
    assert among.calibration.max_distance < alone.calibration.max_distance
    assert now(engine).max_distance == among.calibration.max_distance


@pytest.mark.usefixtures("people")
def test_a_false_positive_rate(engine: Engine) -> None:
    found = report(engine, false_positive_rate=0.02).calibration
    assert found.chosen_by == "FPR 2e-2"
    assert 0.01 < found.false_positive_rate <= 0.02
    with pytest.raises(TooFewPeople, match="one in 1,000,000 pairs of strangers, and there are"):
        calibrate(engine, false_positive_rate=1e-6)


def test_junk_and_copies_are_no_strangers(
    engine: Engine, model: ModelRow, people: list[Stored]
) -> None:
    before = report(engine, dry_run=True)
    copies = [
        Stored(f"copy{n}.jpg", item.embedding, content_hash=_hash(item.path))
        for n, item in enumerate(people)
    ]
    junk = [Stored(f"-1_c1_{n}.jpg", person(1, n), pid=-1, camid=1) for n in range(9)]
    put(engine, model, "others", [*copies, *junk], "elsewhere")
    after = report(engine, distractors=("others",))
    assert after.calibration == before.calibration
    assert (after.num_strangers, after.num_gallery) == (0, before.num_gallery)


def _hash(path: str) -> bytes:
    return hashlib.sha256(path.encode()).digest()


@pytest.mark.usefixtures("people")
def test_a_collection_of_the_same_people_is_no_stranger(engine: Engine, model: ModelRow) -> None:
    """Distractors whose names are known in the same space are who they are."""
    more = [Stored(f"0001_c3_{n}.jpg", person(1, 77 + n), pid=1, camid=3) for n in range(5)]
    put(engine, model, "more", more, "market")
    found = report(engine, distractors=("more",))
    assert found.num_strangers == 0
    assert found.calibration.num_positive_pairs == 2 * PEOPLE + 2 * 5


# --- whom the model was trained on


@pytest.mark.usefixtures("people")
def test_people_of_the_training_are_left_out(engine: Engine, model: ModelRow) -> None:
    before = report(engine, dry_run=True)
    put(engine, model, "people", images(list(TRAINED)), "market")
    put(engine, model, "seen", [Stored("0900_c5.jpg", person(900, 1), pid=900)], "market")
    after = report(engine, distractors=("seen",))
    assert after.calibration == before.calibration
    assert (after.trained_left_out, after.num_strangers) == (3, 0)


def test_equal_numbers_of_another_space_are_told(engine: Engine, model: ModelRow) -> None:
    put(engine, model, "people", images([*range(1, PEOPLE + 1), 900, 901]), "default")
    found = calibrate(engine)
    assert isinstance(found.report, DistanceReport)
    assert (found.report.trained_left_out, found.report.same_numbers) == (0, 2)
    assert found.report.calibration.num_identities == PEOPLE + 2
    assert found.trained_space == "market"


def test_too_few_people_besides_the_trained(engine: Engine, model: ModelRow) -> None:
    put(engine, model, "people", images([*range(1, MIN_PEOPLE), *TRAINED]), "market")
    with pytest.raises(CannotCalibrate) as caught:
        calibrate(engine)
    assert str(caught.value) == (
        "a limit needs 20 people who were taken by two cameras, 'people' has 19 besides 3 that the "
        "model was trained on; ingest more people whose names are known"
    )
    assert now(engine) == model


# --- what cannot be calibrated on


def test_one_camera_only(engine: Engine, model: ModelRow) -> None:
    put(engine, model, "people", images(list(range(1, 40)), cameras=(4, 4, 4)), "market")
    with pytest.raises(CannotCalibrate) as caught:
        calibrate(engine)
    assert str(caught.value) == (
        "nobody of 'people' was taken by two cameras, and a limit is chosen on pairs of images "
        "across cameras; ingest the other cameras' images of the same people into it"
    )


def test_cameras_that_nobody_knows(engine: Engine, model: ModelRow) -> None:
    put(engine, model, "people", images(list(range(1, 30)), cameras=(None, None, None)), "market")
    found = report(engine)
    assert (found.num_without_camera, found.num_queries) == (3 * 29, 29)
    assert found.calibration.num_positive_pairs == 2 * 29


@pytest.mark.usefixtures("people")
def test_nothing_to_calibrate_on(engine: Engine, model: ModelRow) -> None:
    put(engine, model, "nameless", strangers(30), "market")
    collection(engine, "empty", "market")
    with pytest.raises(CannotCalibrate, match="no file of 'nameless' names a person; expected"):
        calibrate(engine, "nameless")
    for name, others in (("empty", ()), ("people", ("empty",))):
        with pytest.raises(CannotCalibrate, match="nothing in 'empty' is stored by model 'fake'"):
            calibrate(engine, name, distractors=others)
    with pytest.raises(UsageError, match="no collection 'peple'; did you mean 'people'"):
        calibrate(engine, "peple")
    with pytest.raises(UsageError, match="'people' cannot be its own --distractors"):
        calibrate(engine, distractors=("people",))
    with pytest.raises(UsageError, match="--dry-run writes nothing; leave out --write-to"):
        calibrate(engine, dry_run=True, write_to=Path("x"))


# --- the command


@pytest.mark.usefixtures("people")
def test_the_command(annotations: Path, reid: Any) -> None:
    arguments = ("calibrate", "--collection", "people", "--annotations", annotations)
    code, out, err = reid(*arguments, "--format", "json", "--dry-run")
    document = json.loads(out)
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(document)
    assert (code, document["stored"], document["num_identities"]) == (0, False, PEOPLE)
    assert "warning: 1 rows of" in err
    assert "warning: the gallery has no strangers" in err
    code, out, err = reid(*arguments)
    assert code == 0
    assert [line.split("  ")[0] for line in out.splitlines()[1:4]] == [
        "best F1", "FPR 1e-4", "FPR 1e-3",
    ]  # fmt: skip
    assert f"model fake: `auto` is {document['max_distance']:.4f} from now on" in err
    assert f"{4 * RARE} stored images were decided differently" in err
    listed = json.loads(reid("model", "list", "--format", "json")[1])
    assert [(row["calibrated_on"], row["cutoffs"]) for row in listed] == [("people", 1)]
    card = json.loads(reid("model", "card")[1])
    assert card["max_distance"] == document["max_distance"]
    assert card["calibration"]["recall"] == document["recall"]
    assert set(card["cutoffs"]) == {"hat"}


@pytest.mark.usefixtures("people")
def test_exit_codes(reid: Any) -> None:
    assert reid("calibrate", "--collection", "nobody")[0] == 2
    for rate in ("1", "0", "-1", "nan", "often"):
        assert reid("calibrate", "--collection", "people", "--false-positive-rate", rate)[0] == 2
    assert reid("calibrate", "--collection", "people", "--false-positive-rate", "1e-9")[0] == 1


def test_a_checkpoint_for_another_database(engine: Engine, tmp_path: Path, reid: Any) -> None:
    """The shipped model's file with the new figures; the registered one stays as it is."""
    assert reid("model", "list")[0] == 0  # registers it
    shipped = now(engine, "default")
    put(engine, shipped, "people", images(list(range(20_001, 20_030))), "mine")
    out = tmp_path / "mine.safetensors"
    code, _, err = reid("calibrate", "--collection", "people", "--write-to", out)
    assert code == 0
    assert "is another file to `reid model add`: it has no features yet" in err
    header = read_header(out)
    assert header.max_distance == now(engine, "default").max_distance
    assert header.calibration["collection"] == "people"
    assert header.trained_pids == tuple(shipped.header["trained_pids"])
