"""`reid serve` as a person starts it: a process of its own, asked over HTTP, stopped by Ctrl-C."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx
import pytest

from db.connect import HEAD
from images.names import facts_of
from tests.acceptance.conftest import Reid

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def served(
    database_url: str, home: Path, *arguments: str, **environment: str
) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """(the address that it printed, the process)."""
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "cli.py"), "serve", "--port", "0", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        cwd=home.parent,
        env={
            **os.environ,
            "REID_DATABASE_URL": database_url,
            "REID_HOME": str(home),
            **environment,
        },
    )
    assert process.stderr is not None
    try:
        yield address_in(process.stderr), process
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def address_in(stderr: IO[str]) -> str:
    line = stderr.readline()
    found = re.search(r"https?://[^\s;]+", line)
    assert found, line + stderr.read()
    return found[0]


def stop(process: "subprocess.Popen[str]", with_signal: signal.Signals) -> tuple[int, str]:
    process.send_signal(with_signal)
    code = process.wait(20)
    assert process.stderr is not None
    return code, process.stderr.read()


def test_from_a_folder_to_the_page(
    reid: Reid, people: Path, database_url: str, tmp_path: Path
) -> None:
    """Ingested, stored and run with the command line; looked at with the page, real network."""
    assert reid("ingest", people / "train", "--collection", "train").code == 0
    assert reid("query", "add", "everyone", people / "train", "--collection", "train").code == 0
    assert reid("query", "run", "everyone").code == 0
    person = sorted((people / "train").iterdir())[0]
    with (
        served(database_url, tmp_path / "home") as (url, process),
        httpx.Client(base_url=url, follow_redirects=True, timeout=60) as browser,
    ):
        assert browser.get("/health").json() == {"status": "ok", "schema": HEAD}
        overview = browser.get("/").text
        assert "train" in overview
        assert "joint-mobilenet_v2" in overview

        answer = browser.post(
            "/search",
            data={"collection": "train", "purpose": "acceptance", "no_duplicates": "yes"},
            files={"image": (person.name, person.read_bytes(), "image/jpeg")},
        )
        assert answer.status_code == 200
        assert f"<bdi>{person.name}</bdi>" in answer.text
        assert f"(pid {facts_of(person.name).pid})" in answer.text

        picture = re.search(r'src="(/image/\d+)"', answer.text)
        assert picture
        assert browser.get(picture[1]).content.startswith(b"\xff\xd8")
        found = re.search(r'class="frame crop \w+" href="(/search[^"]+)"', answer.text)
        assert found
        assert "rank 1" in browser.get(found[1].replace("&amp;", "&")).text

        lists = browser.get("/sets/everyone").text
        assert "current" in lists
        assert lists.count("<article") == 10

        code, said = stop(process, signal.SIGINT)
    assert (code, said) == (0, "stopped\n")
    (searched, *_) = reid("audit", "list", "--format", "json").json()
    assert searched["action"] == "search"


def test_on_every_address_with_a_new_token(database_url: str, tmp_path: Path) -> None:
    arguments = ("--host", "0.0.0.0", "--token")
    with (
        served(database_url, tmp_path / "home", *arguments) as (url, process),
        httpx.Client(base_url=url.partition("/login")[0], timeout=60) as browser,
    ):
        assert process.stderr
        token = (
            process.stderr.readline().strip().partition("this link signs in once; the token is ")[2]
        )
        once = url.partition("/login#code=")[2]
        assert min(len(once), len(token)) > 40
        assert browser.get("/").status_code == 401
        assert browser.get("/health").status_code == 200
        bearer = {"authorization": f"Bearer {token}"}
        assert browser.get("/", headers=bearer).status_code == 200
        assert browser.post("/login", data={"code": once}).status_code == 303
        assert browser.get("/").status_code == 200
        assert browser.post("/login", data={"code": once}).status_code == 401
        code, said = stop(process, signal.SIGTERM)
    assert code == 0
    assert token not in said


@pytest.mark.parametrize("flag", [(), ("--token",)])
def test_a_token_that_was_set_is_not_printed(
    database_url: str, tmp_path: Path, flag: tuple[str, ...]
) -> None:
    token = "a-token-that-was-set"
    with served(database_url, tmp_path / "home", *flag, REID_TOKEN=token) as (url, process):
        assert url.endswith("/login")
        base = url.removesuffix("/login")
        assert httpx.get(base, timeout=60).status_code == 401
        bearer = {"authorization": f"Bearer {token}"}
        assert httpx.get(base, headers=bearer, timeout=60).status_code == 200
        _, said = stop(process, signal.SIGINT)
    assert token not in said
