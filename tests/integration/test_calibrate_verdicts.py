"""`reid calibrate --verdicts`: the distance of `auto` from what reviewers have said."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from sqlalchemy import Engine, text

from db.audit import entries
from errors import UsageError
from evaluation.calibrate import Calibrated, CalibrationRequest
from evaluation.calibrate import calibrate as run_calibration
from evaluation.calibrate_people import CannotCalibrate
from evaluation.calibrate_verdicts import MIN_REJECTED, VerdictReport
from gallery.collections import CollectionRow
from gallery.model_rows import ModelRow
from metrics.calibration import MIN_PEOPLE
from query_sets.set_rows import UnknownQuerySet
from query_sets.verdicts import decide
from tests.calibrating import now, trained_model
from tests.fakes import Stored, collection, register_fake_model, store
from tests.query_sets import add, at, query

SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "schemas" / "calibrate.json"
PEOPLE = MIN_PEOPLE + 4
GAP = 100.0  # between two queries' places on the line

# how far each query's confirmed and its rejected image are: no two alike, some rejected ones near,
# the rest dense where the confirmed ones end; 128ths are exact
CONFIRMED = [(6 + 2 * n) / 64 for n in range(PEOPLE)]
REJECTED = [21 / 128, 45 / 128, 61 / 128, *((97 + 2 * n) / 128 for n in range(PEOPLE - 3))]


@pytest.fixture
def model(engine: Engine) -> ModelRow:
    return trained_model(engine)


@pytest.fixture
def gallery(engine: Engine) -> CollectionRow:
    return collection(engine, "gallery", "market")


def image(path: str, place: float, **facts: Any) -> Stored:
    return Stored(path, at(place), **facts)


def put(engine: Engine, model: ModelRow, gallery: CollectionRow, items: Sequence[Stored]) -> None:
    with engine.begin() as connection:
        store(connection, model, gallery, list(items))


def ask(engine: Engine, model: ModelRow, gallery: CollectionRow, number: int = PEOPLE) -> None:
    """The set `set`: queries q0, q1 ... on a line, far from each other."""
    asked = [query(f"q{n}", n * GAP, content=f"q{n}".encode(), camid=4) for n in range(number)]
    add(engine, model, [gallery], asked)


def say(engine: Engine, verdict: str, said: dict[str, str], set_name: str = "set") -> None:
    """One verdict on each query's image, by their names."""
    stmt = text(
        "INSERT INTO verdict (query_id, image_id, verdict, reviewer) SELECT q.id, i.id, :verdict,"
        " 'ann' FROM unnest(:queries ::text[], :paths ::text[]) AS said (query, path)"
        " JOIN query q ON q.name = said.query JOIN query_set s ON s.id = q.query_set_id"
        " JOIN image i ON i.path = said.path WHERE s.name = :set"
    )
    values = {"queries": list(said), "paths": list(said.values()), "set": set_name}
    with engine.begin() as connection:
        assert connection.execute(stmt, {**values, "verdict": verdict}).rowcount == len(said)


@pytest.fixture
def reviewed(engine: Engine, model: ModelRow, gallery: CollectionRow) -> None:
    """Each query has a confirmed image yN and a rejected one xN."""
    put(engine, model, gallery, [image(f"y{n}", n * GAP + d) for n, d in enumerate(CONFIRMED)])
    put(engine, model, gallery, [image(f"x{n}", n * GAP - d) for n, d in enumerate(REJECTED)])
    ask(engine, model, gallery)
    say(engine, "confirm", {f"q{n}": f"y{n}" for n in range(PEOPLE)})
    say(engine, "reject", {f"q{n}": f"x{n}" for n in range(PEOPLE)})


def calibrate(engine: Engine, *sets: str, **options: Any) -> Calibrated:
    return run_calibration(engine, CalibrationRequest(verdicts=sets or ("set",), **options))


def report(engine: Engine, *sets: str, **options: Any) -> VerdictReport:
    found = calibrate(engine, *sets, **options).report
    assert isinstance(found, VerdictReport)
    # each verdict is a pair, or left out for one reason
    assert found.num_verdicts == found.calibration.num_pairs + sum(found.left_out.values())
    assert found.calibration.max_distance <= found.largest_judged
    return found


def f1(limit: float) -> float:
    true, false = (sum(d <= limit for d in part) for part in (CONFIRMED, REJECTED))
    return 2 * true / (len(CONFIRMED) + true + false)


# --- the limit


@pytest.mark.usefixtures("reviewed")
def test_the_limit_is_stored_with_what_it_gives(engine: Engine, model: ModelRow) -> None:
    found = report(engine)
    best = max(CONFIRMED, key=f1)
    calibration = found.calibration
    assert calibration.max_distance == pytest.approx(best, abs=1e-9)
    assert 0.6 < best < max(CONFIRMED), "there is a choice"
    true, false = (
        sum(d <= calibration.max_distance for d in part) for part in (CONFIRMED, REJECTED)
    )
    assert (calibration.precision, calibration.recall) == (true / (true + false), true / PEOPLE)
    assert (calibration.num_pairs, calibration.num_positive_pairs) == (2 * PEOPLE, PEOPLE)
    assert (calibration.num_identities, found.num_queries) == (PEOPLE, PEOPLE)
    assert found.largest_judged == pytest.approx(max(REJECTED))
    assert not found.at_the_edge
    row = now(engine)
    assert row.max_distance == calibration.max_distance != model.max_distance
    assert (row.calibration["source"], row.calibration["sets"]) == ("verdicts", ["set"])
    assert row.calibration["num_verdicts"] == 2 * PEOPLE
    with engine.connect() as connection:
        (entry,) = entries(connection, 9)
    assert (entry["action"], entry["question"]["source"]) == ("calibrate", "verdicts")
    assert entry["question"]["sets"] == ["set"]
    assert entry["question"]["max_distance"] == {"before": 0.5, "after": row.max_distance}


def test_no_limit_beyond_what_was_judged(
    engine: Engine, model: ModelRow, gallery: CollectionRow
) -> None:
    """The farthest image is a confirmed one, and the best limit takes it in."""
    put(engine, model, gallery, [image(f"x{n}", n * GAP + 0.2) for n in range(PEOPLE)])
    put(engine, model, gallery, [image(f"y{n}", n * GAP + 0.3 + n / 97) for n in range(PEOPLE)])
    ask(engine, model, gallery)
    say(engine, "confirm", {f"q{n}": f"y{n}" for n in range(PEOPLE)})
    say(engine, "reject", {f"q{n}": f"x{n}" for n in range(PEOPLE)})
    found = report(engine)
    assert found.at_the_edge
    assert found.calibration.max_distance == found.largest_judged
    assert (found.calibration.recall, found.calibration.precision) == (1.0, 0.5)
    assert {point.max_distance for point in found.calibration.points.values() if point} == {
        found.largest_judged
    }


@pytest.mark.usefixtures("reviewed")
def test_a_share_of_the_rejected_ones(engine: Engine) -> None:
    found = report(engine, false_positive_rate=0.13).calibration  # three of 24
    assert sum(d <= found.max_distance for d in REJECTED) == 3
    assert list(found.points) == ["best F1", "FPR 1.3e-1", "densities cross"]
    with pytest.raises(CannotCalibrate) as caught:
        calibrate(engine, false_positive_rate=0.01)
    assert str(caught.value) == (
        "a false-positive rate of 0.01 is one in 100 rejected matches, and there are 24; "
        "reject more, or ask for a higher rate"
    )


# --- which verdicts count


@pytest.mark.usefixtures("reviewed")
def test_copies_count_once_and_contradictions_not_at_all(
    engine: Engine, model: ModelRow, gallery: CollectionRow
) -> None:
    before = report(engine, dry_run=True)
    put(
        engine, model, gallery,
        [
            image("again", CONFIRMED[0], content_hash=_hash(engine, "y0")),
            image("turned", 0.0, content_hash=b"q0"),
            image("itself", GAP, content_hash=b"q1"),
            image("torn", 2 * GAP + 0.4),
        ],
    )  # fmt: skip
    say(engine, "confirm", {"q0": "again", "q1": "itself", "q2": "torn"})
    # the same two contents, asked the other way round and of a second set
    turned = query("turned", CONFIRMED[0], content=_hash(engine, "y0"))
    torn = query("torn", 2 * GAP, content=b"q2")
    add(engine, model, [gallery], [turned, torn], name="second")
    say(engine, "confirm", {"turned": "turned"}, "second")
    say(engine, "reject", {"torn": "torn"}, "second")
    found = report(engine, "set", "second", "set")
    assert found.calibration == before.calibration
    assert found.left_out == {
        "not_embedded": 0, "of_training": 0, "copies": 1, "contradicting": 2, "repeated": 2,
    }  # fmt: skip
    assert found.num_verdicts == before.num_verdicts + 5
    assert now(engine).calibration["sets"] == ["set", "second"]
    # in the first set alone, nobody contradicts it
    assert report(engine).left_out["contradicting"] == 0


def _hash(engine: Engine, path: str) -> bytes:
    with engine.connect() as connection:
        stmt = text("SELECT content_hash FROM image WHERE path = :path")
        found: bytes = connection.execute(stmt, {"path": path}).scalar_one()
    return found


@pytest.mark.usefixtures("reviewed")
def test_people_of_the_training_are_left_out(
    engine: Engine, model: ModelRow, gallery: CollectionRow
) -> None:
    before = report(engine, dry_run=True)
    put(engine, model, gallery, [image("0900_c1", 0.01, pid=900)])
    elsewhere = collection(engine, "elsewhere", "mine")
    put(engine, model, elsewhere, [image("theirs", GAP - 0.02, pid=900)])
    say(engine, "confirm", {"q0": "0900_c1"})
    found = report(engine, dry_run=True)
    assert (found.left_out["of_training"], found.calibration) == (1, before.calibration)
    say(engine, "confirm", {"q1": "theirs"})
    after = report(engine)
    assert after.left_out["of_training"] == 1, "a number of another identity space is somebody else"
    assert after.calibration.num_positive_pairs == PEOPLE + 1


@pytest.mark.usefixtures("reviewed")
def test_matches_of_the_own_camera_are_pointed_out(
    engine: Engine, model: ModelRow, gallery: CollectionRow
) -> None:
    put(engine, model, gallery, [image("near", 0.01, camid=4), image("far", 0.02, camid=5)])
    say(engine, "confirm", {"q0": "near"})
    say(engine, "confirm", {"q0": "far"})
    assert report(engine).num_one_camera == 1


@pytest.mark.usefixtures("reviewed")
def test_another_model_than_that_of_the_run(engine: Engine, model: ModelRow) -> None:
    """What is embedded by it counts, by its distances: three times as far; the rest is counted."""
    other = register_fake_model(engine, "other")
    with pytest.raises(CannotCalibrate) as caught:
        calibrate(engine, model="other")
    assert f"(left out: {2 * PEOPLE} have no embedding by this model on both" in str(caught.value)
    with engine.begin() as connection:
        for table, column, rest in (
            ("feature", "image_id", ", collection_id, camid, labels, scores, quality"),
            ("query_embedding", "query_image_id", ""),
        ):
            connection.execute(
                text(
                    f"INSERT INTO {table} (model_id, {column}{rest}, embedding) SELECT :new,"
                    f" {column}{rest}, embedding + embedding + embedding FROM {table}"
                    " WHERE model_id = :old"
                ),
                {"new": other.id, "old": model.id},
            )
        connection.execute(
            text(
                "DELETE FROM query_embedding e USING query_image i, query q"
                " WHERE i.id = e.query_image_id AND q.id = i.query_id AND q.name = 'q0'"
                " AND e.model_id = :new"
            ),
            {"new": other.id},
        )
    found = report(engine, model="other")
    assert (found.left_out["not_embedded"], found.calibration.num_identities) == (2, PEOPLE - 1)
    assert found.largest_judged == pytest.approx(3 * max(REJECTED))
    assert now(engine).max_distance == 0.5, "the active model keeps its own"


def test_a_query_of_several_images(engine: Engine, model: ModelRow, gallery: CollectionRow) -> None:
    """Their mean is what the set asks with; either of them would be 0.5 farther or nearer."""
    places = [n * GAP for n in range(PEOPLE)]
    put(engine, model, gallery, [image(f"y{n}", p + 0.9) for n, p in enumerate(places)])
    put(engine, model, gallery, [image(f"x{n}", p + 2.0) for n, p in enumerate(places)])
    asked = [query(f"q{n}", p - 0.5, p + 0.5, content=b"%d" % n) for n, p in enumerate(places)]
    add(engine, model, [gallery], asked)
    say(engine, "confirm", {f"q{n}": f"y{n}" for n in range(PEOPLE)})
    say(engine, "reject", {f"q{n}": f"x{n}" for n in range(PEOPLE)})
    assert report(engine).calibration.max_distance == pytest.approx(0.9, abs=1e-3)


# --- what is refused


@pytest.mark.usefixtures("reviewed")
def test_too_few_verdicts(engine: Engine, model: ModelRow, gallery: CollectionRow) -> None:
    def drop(verdict: str, keep: int) -> None:
        with engine.begin() as connection:
            connection.execute(
                text(
                    "DELETE FROM verdict WHERE verdict = :verdict AND id NOT IN (SELECT id FROM"
                    " verdict WHERE verdict = :verdict ORDER BY id LIMIT :keep)"
                ),
                {"verdict": verdict, "keep": keep},
            )

    drop("reject", MIN_REJECTED)
    report(engine, dry_run=True)
    drop("reject", MIN_REJECTED - 1)
    with pytest.raises(CannotCalibrate) as caught:
        calibrate(engine)
    assert str(caught.value) == (
        "a limit needs confirmed matches of 20 people and 20 rejected matches, 'set' has those of "
        "24 people and 19 rejected; give more with `reid match confirm` and `reid match reject`"
    )
    drop("confirm", MIN_PEOPLE - 1)
    with pytest.raises(CannotCalibrate, match="'set' has those of 19 people and 19 rejected;"):
        calibrate(engine)
    assert now(engine) == model
    add(engine, model, [gallery], [query("q", 0)], name="silent")
    with pytest.raises(CannotCalibrate, match="'silent' has those of 0 people and 0 rejected;"):
        calibrate(engine, "silent")


@pytest.mark.usefixtures("reviewed")
def test_many_matches_of_few_people(
    engine: Engine, model: ModelRow, gallery: CollectionRow
) -> None:
    """Queries that share a confirmed image show one person, however many verdicts there are."""
    put(engine, model, gallery, [image("both", 0.5)])
    for n in range(5):
        say(engine, "confirm", {f"q{n}": "both"})
    assert report(engine, dry_run=True).calibration.num_identities == PEOPLE - 4
    say(engine, "confirm", {"q5": "both"})
    with pytest.raises(CannotCalibrate, match="those of 19 people and 24 rejected;"):
        calibrate(engine)


@pytest.mark.usefixtures("model")
def test_what_does_not_go_together(engine: Engine) -> None:
    for options in ({}, {"collection": "people", "verdicts": ("set",)}):
        with pytest.raises(UsageError, match=r"give --collection .* or --verdicts .* one of the"):
            CalibrationRequest(**options)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="--distractors goes with --collection; leave it out with"):
        calibrate(engine, distractors=("others",))
    with pytest.raises(UsageError, match="--annotations goes with --collection"):
        calibrate(engine, annotations=Path("truth.csv"))
    with pytest.raises(UnknownQuerySet, match="no query set 'sett'"):
        calibrate(engine, "sett")


# --- the command


@pytest.mark.usefixtures("reviewed")
def test_the_command(engine: Engine, reid: Any) -> None:
    decide(engine, "set", "q0", ["x1"], "rejected")
    code, out, err = reid("calibrate", "--verdicts", "set", "--format", "json", "--dry-run")
    document = json.loads(out)
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(document)
    assert (code, document["stored"], document["num_verdicts"]) == (0, False, 2 * PEOPLE + 1)
    code, out, err = reid("calibrate", "--verdicts", "set", "--verdicts", "set")
    assert code == 0
    assert [line.split("  ")[0] for line in out.splitlines()[1:]] == ["best F1", "densities cross"]
    assert "49 verdicts: 24 confirmed matches of 24 people and 25 rejected ones count" in err
    assert f"nothing farther than {document['largest_judged']:.4f} was judged, so no larger" in err
    assert "warning" not in err
    assert f"model fake: `auto` is {document['max_distance']:.4f} from now on" in err
    listed = json.loads(reid("model", "list", "--format", "json")[1])
    assert [row["calibrated_on"] for row in listed] == ["verdicts of set"]
    assert json.loads(reid("model", "card")[1])["calibration"]["sets"] == ["set"]
    for wrong in (
        (),
        ("--collection", "people", "--verdicts", "set"),
        ("--verdicts", "set", "--distractors", "others"),
        ("--verdicts", "nothing"),
        ("--verdicts", "set", "--false-positive-rate", "2"),
    ):
        assert reid("calibrate", *wrong)[0] == 2
    assert reid("calibrate", "--verdicts", "set", "--false-positive-rate", "1e-9")[0] == 1
