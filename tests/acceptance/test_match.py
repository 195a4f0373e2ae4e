"""Run, look, confirm, run again, compare: a reviewer's day on the command line."""

import csv
import io
import re
import shutil
from pathlib import Path

import pytest

from tests.acceptance.conftest import Reid


@pytest.fixture
def gallery(reid: Reid, people: Path, tmp_path: Path) -> Path:
    """A folder of a few images that a test may change, ingested and asked about by set `s`."""
    folder = tmp_path / "gallery"
    folder.mkdir()
    for path in sorted((people / "gallery").iterdir())[:8]:
        shutil.copy(path, folder)
    queries = tmp_path / "queries"
    queries.mkdir()
    for path in sorted((people / "query").iterdir())[:2]:
        shutil.copy(path, queries)
    assert reid("ingest", folder, "--collection", "g").code == 0
    assert reid("query", "add", "s", queries, "--collection", "g", "--limit", "20").code == 0
    return folder


def test_a_reviewers_day(reid: Reid, gallery: Path, people: Path, tmp_path: Path) -> None:
    first = reid("query", "run", "s", "--format", "json").json()["id"]
    name, other = sorted(path.name for path in (tmp_path / "queries").iterdir())
    shown = reid("query", "show", "s", name, "--format", "json").json("query-show-matches")
    assert (shown["run"], len(shown["matches"])) == (first, 8)
    best, second, third = shown["matches"][:3]

    done = reid("match", "confirm", "s", name, best["path"], f"id:{second['image_id']}")
    assert (done.code, done.out, done.err) == (0, f"{name}: 2 confirmed\n", "")
    done = reid("match", "reject", "s", name, second["path"], "--note", "other shoes")
    assert done.out == f"{name}: 1 rejected\n"
    assert "was confirmed before" in done.err
    reid("match", "confirm", "s", other, third["path"])
    reid("match", "withdraw", "s", other, third["path"])

    (gallery / best["path"]).unlink()
    shutil.copy(sorted((people / "gallery").iterdir())[10], gallery)
    reid("ingest", gallery, "--collection", "g")
    reid("collection", "prune", "g")
    after = reid("query", "run", "s", "--format", "json").json()["id"]
    found = reid("query", "diff", first, after, "--format", "json").json("query-diff")
    assert found["totals"] == {
        "queries": 2, "changed": 2, "kept": 14, "came": 2, "went": 0, "moved": 0,
    }  # fmt: skip
    assert [q["removed_before"] for q in found["queries"]] == [1, 1]
    rows = list(
        csv.DictReader(io.StringIO(reid("query", "diff", first, after, "--format", "csv").out))
    )
    assert [row["change"] for row in rows] == ["came", "came"]
    table = reid("query", "diff", first, after)
    assert re.split(r"  +", table.out.splitlines()[-1]) == [
        "2 of 2 queries differ", "16", "16", "2", "0", "0", "2", "0",
    ]  # fmt: skip
    assert "why they may differ: collection g has changed" in table.err

    shown = reid("query", "show", "s", name, "--format", "json").json("query-show-matches")
    verdicts = {m["path"]: (m["verdict"], m["note"]) for m in shown["matches"] if m["verdict"]}
    assert verdicts == {second["path"]: ("rejected", "other shoes")}
    assert second["path"] in reid("query", "show", "s", name).out
    old = reid("query", "show", "s", name, "--run", first, "--format", "json").json()
    assert (old["run"], old["removed"], old["complete"]) == (first, 1, False)
    assert reid("query", "show", "s", "--format", "json").json()["verdicts"] == {
        "confirmed": 0, "rejected": 1,
    }  # fmt: skip
    assert f"run {first}: " in reid("query", "show", "s").err

    listed = reid("match", "list", "s", "--format", "json").json("match-list")
    (verdict,) = listed["verdicts"]
    assert (verdict["query"], verdict["reviewer"], verdict["run"]) == (name, "tester", after)
    assert verdict["distance"] == pytest.approx(second["distance"])
    written = reid("match", "list", "s", "--verdict", "rejected", "--format", "csv").out
    (row,) = csv.DictReader(io.StringIO(written))
    assert (row["path"], row["note"]) == (second["path"], "other shoes")
    assert float(row["distance"]) == pytest.approx(second["distance"])
    assert reid("match", "list", "s", "--verdict", "confirmed").out == ""


@pytest.mark.usefixtures("gallery")
def test_wrong_usage_changes_nothing(reid: Reid, tmp_path: Path) -> None:
    reid("query", "run", "s")
    name = sorted(path.name for path in (tmp_path / "queries").iterdir())[0]
    for arguments, said in (
        (("match", "confirm", "x", name, "id:1"), "no query set 'x'"),
        (("match", "confirm", "s", "x.jpg", "id:1"), "has no query 'x.jpg'"),
        (("match", "reject", "s", name, "id:1", "id:999999"), "no image 'id:999999'"),
        (("match", "confirm", "s", name), "Missing argument 'IMAGE...'"),
        (("match", "list", "x"), "no query set 'x'"),
        (("query", "diff", "1", "999"), "no run 999"),
        (("query", "diff", "1", "two"), "'two' is not a valid integer"),
        (("query", "diff", "1", "9" * 30), "no run 999"),
        (("query", "show", "s", "--run", "1"), "name it after the set"),
        (("query", "show", "s", name, "--run", "999"), "query set 's' has no run 999"),
    ):
        done = reid(*arguments)
        assert (done.code, done.out) == (2, ""), arguments
        assert said in done.err
    assert reid("match", "list", "s").out == ""
