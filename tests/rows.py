"""Looking at what an ingest has left in the database."""

import os
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from gallery import manifest


def states(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT state, count(*) FROM task GROUP BY state"))
        return {row[0]: row[1] for row in rows}


def column(engine: Engine, statement: str) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.scalars(text(statement)))


def touch(path: Path, seconds: int = 100) -> None:
    facts = path.stat()
    os.utime(path, (facts.st_atime, facts.st_mtime + seconds))


def failures(engine: Engine) -> dict[str, str]:
    with engine.connect() as connection:
        return {row["path"]: row["reason"] for row in manifest.failed_items(connection)}


def wait_until_noticed(engine: Engine) -> None:
    """The server sees within moments that a client has gone."""
    workers = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 385488"
    assert manifest._WORKER_LOCK == 385488
    deadline = time.monotonic() + 10
    while column(engine, workers) != [0]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
