"""What a filter costs and how well its rows are estimated, on a database of benchmarks/gallery.py.

.venv/bin/python benchmarks/filters.py --home HOME [--where FILTER ...]

Counting, estimating and asking the planner, in milliseconds of the database's own CPU time: other
programs on the machine change little of it. Linux and the embedded server only.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from sqlalchemy import Connection, func, text  # noqa: E402

from db.connect import DatabaseAddress  # noqa: E402
from db.open import open_database  # noqa: E402
from db.schema import Feature  # noqa: E402
from gallery.collections import all_collections  # noqa: E402
from gallery.models import chosen  # noqa: E402
from search.filters.parse import parse  # noqa: E402
from search.question import Question, Scope  # noqa: E402
from search.selectivity import estimate  # noqa: E402
from search.statement import passing, planned  # noqa: E402

FILTERS = (
    "gender = female", "hat", "lower_color = pink", "gender = female and hat", "hat >= 0.5",
    "hat >= 0.999", "backpack between 0.01 and 0.1", "quality >= 0.95", "camera = 3", "pid = 7",
    "pid < 200", "pid != 7", 'path = "0000007_c1_000000001.jpg"', 'path starts with "0000007"',
    'path starts with "0"', "ingested >= 2030-01-01", "collection = drawn",
)  # fmt: skip
TURNS = 5


def milliseconds(pid: int, work: Callable[[], object]) -> float:
    """CPU time of the database process `pid`, the median of some turns."""
    clock = Path(f"/proc/{pid}/schedstat")
    times = []
    for _ in range(TURNS):
        before = int(clock.read_text().split()[0])
        work()
        times.append((int(clock.read_text().split()[0]) - before) / 1e6)
    return sorted(times)[TURNS // 2]


def measure(connection: Connection, scope: Scope, filter: str) -> str:
    question = Question(parse(filter))
    stmt = passing(scope, question, Feature.image_id)
    count = stmt.with_only_columns(func.count())
    pid: int = connection.scalar(text("SELECT pg_backend_pid()")) or 0
    rows: int = connection.scalar(count) or 0
    guess = estimate(connection, scope, question)
    times = [
        milliseconds(pid, lambda: connection.scalar(count)),
        milliseconds(pid, lambda: estimate(connection, scope, question)),
        milliseconds(pid, lambda: planned(connection, stmt)),
    ]
    expected = planned(connection, stmt)["Plan Rows"]
    spent = "  ".join(f"{one:8.1f}" for one in times)
    return f"{filter:34} {rows:9,}  {guess.rows:9,.0f} {guess.how:7}  {expected:9,}  {spent}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--where", action="append")
    asked = parser.parse_args()
    engine = open_database(DatabaseAddress(asked.home.absolute()))
    with engine.connect() as connection:
        connection.execute(text("SET max_parallel_workers_per_gather = 0"))  # one process to time
        scope = Scope(chosen(engine, None), tuple(all_collections(connection)))
        print(
            f"{'filter':34}      rows   estimate            planner  count ms   est. ms   plan ms"
        )
        for filter in asked.where or FILTERS:
            print(measure(connection, scope, filter), flush=True)


if __name__ == "__main__":
    main()
