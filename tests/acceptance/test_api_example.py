"""The program in docs/api.md does what it says, against a page that a process of its own serves."""

import csv
import re
import subprocess
import sys
from pathlib import Path

from tests.acceptance.conftest import Reid
from tests.acceptance.test_page import served

ROOT = Path(__file__).resolve().parents[2]


def test_the_example(reid: Reid, people: Path, database_url: str, tmp_path: Path) -> None:
    program, *_ = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "docs/api.md").read_text(), re.M | re.S
    )
    (tmp_path / "example.py").write_text(program)
    assert reid("ingest", people / "query", "--collection", "station").code == 0
    image = sorted((people / "gallery").iterdir())[0]
    token = "a-token-of-the-tests"
    with served(database_url, tmp_path / "home", REID_TOKEN=token) as (url, _):
        done = subprocess.run(
            [sys.executable, tmp_path / "example.py", image],
            env={"REID_URL": url.removesuffix("/login"), "REID_TOKEN": token},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    first, *lines = done.stdout.splitlines()
    assert re.fullmatch(r"\d+ images passed, complete: True", first)
    assert all(re.fullmatch(r"\d\.\d{3}  \S+\.jpg", line) for line in lines[:3])
    assert all(re.fullmatch(r"\d+ \S+\.jpg \w+", line) for line in lines[3:])
    (searched, taken) = [
        row
        for row in reid("audit", "list", "--format", "json").json()
        if row["actor"].startswith("web:")
    ]
    assert (searched["action"], searched["purpose"]) == ("search", "the API's example")
    assert (taken["action"], taken["actor"]) == ("ingest", "web:admin")


def test_matches_are_exported(reid: Reid, people: Path, tmp_path: Path) -> None:
    assert reid("ingest", people / "query", "--collection", "station").code == 0
    reid("query", "add", "all", people / "query", "--collection", "station", "--limit", "2")
    run = reid("query", "run", "all", "--format", "json").json()
    done = reid("export", "matches", "--query-set", "all", "--out", "m.csv")
    assert done.out == f"m.csv: {run['matches']} matches of {run['queries']} queries\n"
    rows = list(csv.DictReader((tmp_path / "m.csv").read_text().splitlines()))
    assert [row["rank"] for row in rows] == ["1", "2"] * run["queries"]
    assert all(float(row["distance"]) == 0 for row in rows[::2])
