"""What two hundred people who search at once wait for, beside the same searches without HTTP.

.venv/bin/python benchmarks/load.py --home HOME [--rows 20000] [--clients 200] [--turns 3]

A database of drawn rows (`benchmarks/gallery.py`), filled where it is not, and a page of its own
over it. Both ways ask for the same stored images, 50 matches each: one after another, then all at
once; without HTTP by one thread a client over the same pool of connections. The ways take turns;
percentiles are of all turns together. An answer that is no 200, or not equal to the one without
HTTP, ends the program.
"""

import argparse
import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

import httpx
import numpy as np
from sqlalchemy import Engine

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import gallery  # noqa: E402
from db.connect import DatabaseAddress  # noqa: E402
from db.open import open_database  # noqa: E402
from search.answering import search  # noqa: E402
from search.documents import document  # noqa: E402
from search.request import SearchRequest  # noqa: E402

ASKED = SearchRequest((gallery.COLLECTION,), limit=50)
Timed = list[float]


@contextmanager
def page(home: Path) -> Iterator[str]:
    """The address of a page in a process of its own, stopped at the end."""
    environment = {**os.environ, "REID_HOME": str(home), "REID_RATE_LIMIT": "0"}
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "cli.py"), "serve", "--port", "0"],
        stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        line = process.stderr.readline()
        found = re.search(r"http://[^\s;]+", line)
        if found is None:
            raise SystemExit(line + process.stderr.read())
        yield found[0]
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def bare(engine: Engine, image_id: int) -> tuple[float, Any]:
    """(seconds, the ids found) of one search without HTTP, written out as JSON's parts."""
    started = time.perf_counter()
    said = document(search(engine, replace(ASKED, image_ids=(image_id,))))
    return time.perf_counter() - started, ids_of(said)


def ids_of(said: dict[str, Any]) -> list[int]:
    return [match["image_id"] for match in said["queries"][0]["matches"]]


async def asked(client: httpx.AsyncClient, image_id: int) -> tuple[float, Any]:
    """The same over HTTP."""
    question = {"collections": [gallery.COLLECTION], "image_ids": [image_id], "limit": 50}
    started = time.perf_counter()
    answer = await client.post("/api/v1/search", json=question)
    seconds = time.perf_counter() - started
    if answer.status_code != 200:
        raise SystemExit(f"{answer.status_code}: {answer.text}")
    return seconds, ids_of(answer.json())


async def over_http(url: str, ids: list[int], at_once: int) -> list[tuple[float, Any]]:
    limits = httpx.Limits(max_connections=at_once)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=600) as client:
        if at_once == 1:
            return [await asked(client, image_id) for image_id in ids]
        return list(await asyncio.gather(*(asked(client, image_id) for image_id in ids)))


def without_http(engine: Engine, ids: list[int], at_once: int) -> list[tuple[float, Any]]:
    with ThreadPoolExecutor(at_once) as threads:
        return list(threads.map(lambda image_id: bare(engine, image_id), ids))


Way = Callable[[list[int], int], list[tuple[float, Any]]]


def measure(ways: dict[str, Way], ids: list[int], at_once: int, turns: int) -> dict[str, Timed]:
    """Seconds of each way; all must find the same."""
    seconds: dict[str, Timed] = {name: [] for name in ways}
    for _ in range(turns):
        answers = []
        for name, way in ways.items():
            results = way(ids, at_once)
            seconds[name] += [result[0] for result in results]
            answers.append([result[1] for result in results])
        if any(found != answers[0] for found in answers):
            raise SystemExit("the two ways found different images")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path, required=True, help="a REID_HOME of its own")
    parser.add_argument("--rows", type=int, default=gallery.BLOCK)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    home = given.home.absolute()
    engine = open_database(DatabaseAddress(home))
    for _ in gallery.fill(engine, given.rows):
        pass
    ids = np.random.default_rng(0).integers(1, given.rows + 1, given.clients).tolist()
    with page(home) as url:
        ways: dict[str, Way] = {
            "without HTTP": lambda ids, at_once: without_http(engine, ids, at_once),
            "over HTTP": lambda ids, at_once: asyncio.run(over_http(url, ids, at_once)),
        }
        measure(ways, ids[:20], 1, 1)  # both ways warm
        print(f"{'searches':<22} {'way':<13} {'p50 ms':>8} {'p95 ms':>8} {'/ bare':>7}")
        for at_once in (1, given.clients):
            timed = measure(ways, ids, at_once, given.turns)
            base = np.percentile(timed["without HTTP"], 95)
            label = "one after another" if at_once == 1 else f"{at_once} at once"
            for name, seconds in timed.items():
                p50, p95 = np.percentile(seconds, (50, 95))
                print(
                    f"{label:<22} {name:<13} {p50 * 1000:>8.1f} {p95 * 1000:>8.1f}"
                    f" {p95 / base:>7.2f}",
                    flush=True,
                )
    engine.dispose()


if __name__ == "__main__":
    main()
