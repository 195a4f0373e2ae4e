"""What an answer costs beside the comparing: a stored image behind a rare filter, so that few rows
are read. CPU of this process and ways to the server and back, medians over many searches.

.venv/bin/python benchmarks/answer_cost.py --home HOME [--rows 20000] [--searches 200] [--profile]

A database of drawn rows (`benchmarks/gallery.py`), filled where it is not. Read the CPU: the clock
stands beside it, and depends on what else the machine does.
"""

import argparse
import cProfile
import os
import pstats
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

import numpy as np
from sqlalchemy import Engine, event

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import gallery  # noqa: E402
from db.connect import DatabaseAddress  # noqa: E402
from db.health import keep_reachable  # noqa: E402
from db.open import open_database  # noqa: E402
from search.answering import search  # noqa: E402
from search.documents import document  # noqa: E402
from search.request import SearchRequest  # noqa: E402

FILTER = "camera = 1 and hat and upper_color = purple"


def counted(engine: Engine) -> Counter[str]:
    """What is sent to the server: statements, transactions begun and ended, connections tried."""
    sent: Counter[str] = Counter()

    def count(name: str) -> Any:
        def one_more(*_: Any) -> None:
            sent[name] += 1

        return one_more

    for name in ("before_cursor_execute", "begin", "commit", "rollback", "checkout"):
        event.listen(engine, name, count(name))
    return sent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path, required=True, help="a REID_HOME of its own")
    parser.add_argument("--rows", type=int, default=gallery.BLOCK)
    parser.add_argument("--searches", type=int, default=200)
    parser.add_argument("--profile", action="store_true", help="where the CPU goes")
    given = parser.parse_args()
    engine = open_database(DatabaseAddress(given.home.absolute()))
    keep_reachable(engine)  # as a page has it
    for _ in gallery.fill(engine, given.rows):
        pass
    ids = np.random.default_rng(0).integers(1, given.rows + 1, given.searches).tolist()

    def one(image_id: int) -> Any:
        asked = SearchRequest((gallery.COLLECTION,), where=FILTER, image_ids=(image_id,))
        return document(search(engine, asked))

    for image_id in ids[:20]:
        one(image_id)
    sent = counted(engine)
    cpu, clock = [], []
    profile = cProfile.Profile()
    for image_id in ids:
        started, at = time.process_time(), time.perf_counter()
        if given.profile:
            profile.enable()
        passed = one(image_id)["queries"][0]["candidates"]
        profile.disable()
        cpu.append(time.process_time() - started)
        clock.append(time.perf_counter() - at)
    ways = {name: number / len(ids) for name, number in sent.items()}
    print(f"{passed} of {given.rows:,} images pass {FILTER!r}")
    print(f"CPU here {1000 * np.median(cpu):.2f} ms, clock {1000 * np.median(clock):.2f} ms")
    print(f"sent {sum(ways.values()):.0f}: {', '.join(f'{n} {w:.0f}' for n, w in ways.items())}")
    if given.profile:
        pstats.Stats(profile).sort_stats("tottime").print_stats(35)
    engine.dispose()


if __name__ == "__main__":
    main()
