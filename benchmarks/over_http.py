"""What HTTP adds to an answer: acknowledgements that are waited for, connections opened anew, and
the size of what is sent, as it is, packed, and as tables.

.venv/bin/python benchmarks/over_http.py --home HOME [--rows 20000] [--searches 100]

A database of drawn rows (`benchmarks/gallery.py`), filled where it is not, and two pages over it:
one listens as `reid serve` does, one on a socket without TCP_NODELAY. The ways take turns; medians.
"""

import argparse
import gzip
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

import numpy as np
import uvicorn
from sqlalchemy import Engine

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import gallery  # noqa: E402
from db.connect import DatabaseAddress  # noqa: E402
from db.open import open_database  # noqa: E402
from web.api.tables import ARROW, JSON, PARQUET  # noqa: E402
from web.app import create_app  # noqa: E402
from web.serve import _listening  # noqa: E402

FILTER = "camera = 1 and hat and upper_color = purple"


@contextmanager
def page(engine: Engine, *, nodelay: bool) -> Iterator[int]:
    """The port of a page, stopped at the end."""
    plain = socket.create_server(("127.0.0.1", 0))
    listening = _listening("127.0.0.1", 0, socket.AF_INET) if nodelay else plain
    app = create_app(engine, per_minute=0)
    serving = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False))
    thread = threading.Thread(target=serving.run, kwargs={"sockets": [listening]})
    thread.start()
    yield listening.getsockname()[1]
    serving.should_exit = True
    thread.join()
    plain.close()


def asked(at: HTTPConnection, path: str, body: Any, accept: str = JSON) -> bytes:
    headers = {"Content-Type": "application/json", "Accept": accept}
    at.request("POST", path, json.dumps(body), headers)
    answer = at.getresponse()
    content = answer.read()
    if answer.status != 200:
        raise SystemExit(content.decode())
    return content


def timed(at: HTTPConnection, image_id: int, *, anew: bool) -> float:
    """Milliseconds until the answer to one search is there."""
    body = {"collections": [gallery.COLLECTION], "image_ids": [image_id], "where": FILTER}
    started = time.perf_counter()
    if anew:
        at.close()
    asked(at, "/api/v1/search", body)
    return 1000 * (time.perf_counter() - started)


def sizes(at: HTTPConnection, ids: list[int]) -> None:
    """One batch in each form: bytes, and seconds until it is there."""
    body = {"collections": [gallery.COLLECTION], "image_ids": ids, "limit": 50}
    print(f"\n{len(ids)} queries of 50 matches each")
    for kind in (JSON, ARROW, PARQUET):
        started = time.perf_counter()
        content = asked(at, "/api/v1/search/batch", body, kind)
        seconds = time.perf_counter() - started
        line = f"{kind:<40} {len(content) / 1e6:>8.2f} MB {seconds:>7.2f} s"
        if kind == JSON:
            for level in (1, 6):
                started = time.process_time()
                packed = gzip.compress(content, level)
                spent = time.process_time() - started
                line += f"; gzip -{level} {len(packed) / 1e6:.2f} MB, {spent:.2f} s of CPU"
        print(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path, required=True, help="a REID_HOME of its own")
    parser.add_argument("--rows", type=int, default=gallery.BLOCK)
    parser.add_argument("--searches", type=int, default=100)
    given = parser.parse_args()
    engine = open_database(DatabaseAddress(given.home.absolute()))
    for _ in gallery.fill(engine, given.rows):
        pass
    ids = np.random.default_rng(0).integers(1, given.rows + 1, given.searches).tolist()
    with ExitStack() as pages:
        slow = pages.enter_context(page(engine, nodelay=False))
        quick = pages.enter_context(page(engine, nodelay=True))
        ways = {
            "kept connection, TCP_NODELAY": (HTTPConnection("127.0.0.1", quick), False),
            "kept connection, without": (HTTPConnection("127.0.0.1", slow), False),
            "a connection each, TCP_NODELAY": (HTTPConnection("127.0.0.1", quick), True),
        }
        took: dict[str, list[float]] = {name: [] for name in ways}
        for image_id in ids:
            for name, (at, anew) in ways.items():
                took[name].append(timed(at, image_id, anew=anew))
        base = float(np.median(next(iter(took.values()))))
        for name, spent in took.items():
            median = float(np.median(spent))
            print(f"{name:<32} {median:>7.1f} ms {median / base:>6.2f}")
        sizes(HTTPConnection("127.0.0.1", quick), ids)
    engine.dispose()


if __name__ == "__main__":
    main()
