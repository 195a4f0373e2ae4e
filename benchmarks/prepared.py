"""The same search many times in one transaction: psycopg's prepared statements against none.

.venv/bin/python benchmarks/gallery.py --home HOME --rows 20000
.venv/bin/python benchmarks/prepared.py --home HOME [--rounds 4]

From the eleventh time on, Postgres may run a prepared statement by a plan made for any value.
Medians of the times after it, by turns, and how many of the statements got such a plan.
"""

import argparse
import sys
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from sqlalchemy import Engine, text  # noqa: E402

from benchmarks.gallery import COLLECTION, queries  # noqa: E402
from db.connect import DatabaseAddress  # noqa: E402
from db.driver import driver_of  # noqa: E402
from db.open import open_database  # noqa: E402
from search.exact import answer_one  # noqa: E402
from search.question import QueryPerson  # noqa: E402
from search.request import SearchRequest  # noqa: E402

FILTERS = (None, "gender = female", "hat", "backpack and not hat", "camera in (1, 2)", "pid = 77")
WARM, TIMES = 12, 12


def measure(engine: Engine, where: str | None, prepare_threshold: int | None) -> tuple[float, int]:
    """(median milliseconds of a search, statements with a plan for any value) in a new session."""
    asked = SearchRequest((COLLECTION,), where=where).resolve(engine)
    query = QueryPerson("query", queries(1, 20_000)[0])
    engine.dispose()
    with engine.connect() as connection:
        driver_of(connection).prepare_threshold = prepare_threshold
        seconds = []
        for _ in range(WARM + TIMES):
            started = time.perf_counter()
            answer_one(connection, asked.scope, asked.question, query)
            seconds.append(time.perf_counter() - started)
        blind = "SELECT count(*) FROM pg_prepared_statements WHERE generic_plans > 0"
        number: int = connection.execute(text(blind)).scalar_one()
    return 1000 * median(seconds[WARM:]), number


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=4)
    given = parser.parse_args()
    engine = open_database(DatabaseAddress(given.home))
    print(f"{'filter':24} {'prepared':>9} {'not':>9} {'ratio':>6}  plans for any value")
    for where in FILTERS:
        turns: dict[int | None, list[tuple[float, int]]] = {5: [], None: []}
        for number in range(given.rounds):
            for threshold in (5, None) if number % 2 else (None, 5):
                turns[threshold].append(measure(engine, where, threshold))
        prepared, plain = (median(times[0] for times in turn) for turn in turns.values())
        times = f"{prepared:6.1f} ms {plain:6.1f} ms {prepared / plain:6.2f}"
        print(f"{where or '(none)':24} {times}  {turns[5][0][1]}", flush=True)
    engine.dispose()


if __name__ == "__main__":
    main()
