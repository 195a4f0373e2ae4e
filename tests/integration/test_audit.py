"""The log: who did what, when and why; read back, exported, never changed."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from db import audit
from db.audit import acting_as, record
from db.audit_log import BadMoment, export, export_to, moment, newest
from files import CannotWrite


@pytest.fixture
def logged(engine: Engine) -> Engine:
    """Four rows: two of ann, two of bob; the first is ten days old."""
    rows = (("ann", "search"), ("bob", "match confirm"), ("bob", "match list"), ("ann", "matching"))
    for who, action in rows:
        with engine.begin() as connection, acting_as(who):
            record(connection, action, {"a": "ü"}, purpose=f"{who}, why", result_ids=[3, 1])
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE audit DISABLE TRIGGER audit_append_only"))
        connection.execute(text("UPDATE audit SET at = at - interval '10 days' WHERE id = 1"))
        connection.execute(text("ALTER TABLE audit ENABLE TRIGGER audit_append_only"))
    return engine


@pytest.mark.parametrize(
    ("since", "who", "action", "ids"),
    [
        (None, None, None, [4, 3, 2, 1]),
        ("9d", None, None, [4, 3, 2]),
        ("300h", None, None, [4, 3, 2, 1]),
        (None, "ann", None, [4, 1]),
        (None, None, "match", [3, 2]),
        (None, "bob", "match list", [3]),
        (None, "an_", "%", []),
    ],
)
def test_rows_are_found(
    logged: Engine, since: str | None, who: str | None, action: str | None, ids: list[int]
) -> None:
    assert [row["id"] for row in newest(logged, 9, since, who, action)] == ids


def test_the_newest_come_first_and_no_more_than_asked(logged: Engine) -> None:
    assert [row["id"] for row in newest(logged, 2, None, None, None)] == [4, 3]


def test_moments() -> None:
    assert moment("2026-01-31T08:00+02:00") == datetime(2026, 1, 31, 6, tzinfo=UTC)
    assert moment("2026-01-31").tzinfo is not None
    assert abs(moment("7d") - (datetime.now(UTC) - timedelta(days=7))) < timedelta(minutes=1)
    for bad in ("yesterday", "7", "2026-13-01", ""):
        with pytest.raises(BadMoment, match="expected 2026-01-31"):
            moment(bad)


def test_long_lists_are_cut_and_say_so(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "MAX_RESULT_IDS", 3)
    with engine.begin() as connection:
        record(connection, "search", {"q": 1}, result_ids=range(10, 15))
        record(connection, "search", {"q": 2}, result_ids=range(10, 13))
    after, before = newest(engine, 9, None, None, None)
    assert (before["question"], before["result_ids"]) == ({"q": 1, "results_cut": 2}, [10, 11, 12])
    assert (after["question"], after["result_ids"]) == ({"q": 2}, [10, 11, 12])


def test_every_row_is_exported_and_a_gap_is_seen(logged: Engine, tmp_path: Path) -> None:
    with logged.begin() as connection:
        connection.execute(text("ALTER TABLE audit DISABLE TRIGGER audit_append_only"))
        connection.execute(text("DELETE FROM audit WHERE id = 2"))
        connection.execute(text("ALTER TABLE audit ENABLE TRIGGER audit_append_only"))
    out = tmp_path / "audit.jsonl"
    done = export_to(logged, out, "jsonl")
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["id"] for row in rows] == [1, 3, 4, 5]
    assert (done.rows, done.first, done.last, done.missing) == (4, 1, 5, 1)
    assert rows[-1]["action"] == "audit export"
    assert rows[-1]["question"] == {"out": str(out), "format": "jsonl"}
    assert (rows[0]["question"], rows[0]["result_ids"]) == ({"a": "ü"}, [3, 1])
    assert datetime.fromisoformat(rows[0]["at"]).tzinfo is not None
    assert out.stat().st_mode & 0o777 == 0o600


def test_as_csv(logged: Engine) -> None:
    out = io.StringIO()
    export(logged, out, "csv", "-")
    rows = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert [row["id"] for row in rows] == ["1", "2", "3", "4", "5"]
    assert (rows[0]["purpose"], rows[0]["result_ids"]) == ("ann, why", "[3, 1]")
    assert json.loads(rows[0]["question"]) == {"a": "ü"}


def test_more_rows_than_are_read_at_once(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_STREAMED", 7)
    with engine.begin() as connection:
        for number in range(30):
            record(connection, "search", {"n": number})
    out = io.StringIO()
    assert export(engine, out, "jsonl", "-").rows == 31
    lines = out.getvalue().splitlines()
    assert [json.loads(line)["question"].get("n") for line in lines] == [*range(30), None]


def test_where_nothing_can_be_written_nothing_is_left(logged: Engine, tmp_path: Path) -> None:
    with pytest.raises(CannotWrite, match="create it first"):
        export_to(logged, tmp_path / "missing" / "audit.jsonl", "jsonl")
    assert list(tmp_path.iterdir()) == []


def test_copies_are_known_by_the_log(logged: Engine) -> None:
    since = datetime.now(UTC) - timedelta(days=1)
    with logged.begin() as connection:
        record(connection, "db backup", {"out": "/b"})
        record(connection, "export matches", {"out": None})
        found = audit.written_since(connection, since)
        assert [(row["action"], row["file"]) for row in found] == [("db backup", "/b")]
        assert audit.written_since(connection, datetime.now(UTC) + timedelta(days=1)) == []
