"""What one exact answer costs beside the bare SQL that gives the same, and a NumPy scan in memory.

.venv/bin/python benchmarks/search.py --home HOME [--rows 20000] [--turns 40] [--workers 0]

A database of drawn rows (`benchmarks/gallery.py`), filled where it is not. The three take turns
with one query; ratios are medians of those within a turn, of seconds on the clock and of CPU time
of this process and of its server process. Bare SQL: two statements by hand on a psycopg connection,
the rows with what a match shows and their embeddings in binary, joined after LIMIT, and their
count. Linux only: a server process' time is read from /proc. With `--workers` the server may use
more processes for a statement; their CPU time is not seen.
"""

# Q queries, N gallery images, D=512 embedding numbers

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

import numpy as np
import numpy.typing as npt
import psycopg
from pgvector.psycopg import register_vector
from sqlalchemy import Connection, text

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import gallery  # noqa: E402
from db.arrays import embeddings_from_copy  # noqa: E402
from db.connect import DatabaseAddress  # noqa: E402
from db.driver import driver_of  # noqa: E402
from db.open import open_database  # noqa: E402
from db.schema import Feature  # noqa: E402
from gallery.collections import collections_named  # noqa: E402
from gallery.model_rows import active_model  # noqa: E402
from search.exact import answer_one  # noqa: E402
from search.filters.parse import parse  # noqa: E402
from search.question import QueryPerson, Question, Scope  # noqa: E402
from search.statement import copy_out, passing  # noqa: E402
from vocabulary import FIELDS, LABEL_OF  # noqa: E402

QUERIES, LIMIT, NEIGHBOUR = 16, 50, 20
SHARES = (None, 0.05, 0.005)
Floats = npt.NDArray[np.float32]

COLUMNS = (
    "i.id, c.name, i.path, i.pid, f.camid, f.labels, c.identities, vector_send(f.embedding), n.d"
    " FROM ({near}) n JOIN feature f ON f.model_id = %(model)s AND f.image_id = n.image_id"
    " JOIN image i ON i.id = n.image_id JOIN collection c ON c.id = i.collection_id"
)
NEAR = "SELECT image_id, embedding <-> %(query)s AS d FROM feature WHERE {passes}"
PASSES = "model_id = %(model)s AND collection_id = %(collection)s"


@dataclass(frozen=True)
class Case:
    """A question, the label that its filter is about, and how much of the gallery passes."""

    question: Question
    label: int | None
    share: float

    @property
    def name(self) -> str:
        kind = "radius" if self.question.limit is None else f"top {self.question.limit}"
        return f"{kind}, {self.share:.2%}" if self.label else f"{kind}, no filter"

    def statements(self) -> tuple[str, str]:
        """The rows and their count, by hand."""
        passes = PASSES + (" AND labels @> %(label)s" if self.label else "")
        near = NEAR.format(passes=passes)
        if self.question.limit is None:
            near += " AND embedding <-> %(query)s <= %(distance)s"
        else:
            near += f" ORDER BY d LIMIT {self.question.limit}"
        return f"SELECT {COLUMNS.format(near=near)}", f"SELECT count(*) FROM feature WHERE {passes}"


@dataclass(frozen=True)
class Cost:
    """Seconds on the clock, and of CPU time."""

    clock: float
    cpu: float


def cpu_of(pid: int) -> float:
    """Seconds that a process has run."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def measured(work: Callable[[], Any], pid: int | None) -> tuple[Any, Cost]:
    before = time.perf_counter(), time.process_time() + (cpu_of(pid) if pid else 0.0)
    result = work()
    after = time.perf_counter(), time.process_time() + (cpu_of(pid) if pid else 0.0)
    return result, Cost(after[0] - before[0], after[1] - before[1])


def filter_near(connection: Connection, wanted: float) -> tuple[str, int]:
    """The attribute value that most nearly such a share of the gallery has, and its label."""
    stmt = text("SELECT label, count(*) FROM feature, unnest(labels) AS label GROUP BY label")
    counts = {row[0]: row[1] for row in connection.execute(stmt)}
    total = connection.execute(text("SELECT count(*) FROM feature")).scalar_one()
    values = [
        (f"{field.name} = {word}", LABEL_OF[name])
        for field in FIELDS
        for word, name in field.values.items()
        if LABEL_OF[name] in counts
    ]
    return min(values, key=lambda value: abs(np.log(counts[value[1]] / total / wanted)))


class Gallery:
    """The three ways to ask one database."""

    def __init__(self, connection: Connection, url: str, workers: int) -> None:
        model = active_model(connection)
        assert model is not None
        (row,) = collections_named(connection, (gallery.COLLECTION,))
        self.scope = Scope(model, (row,))
        self.connection = connection
        everything = passing(self.scope, Question(), Feature.image_id, Feature.embedding)
        self.ids_N, self.embeddings_ND = embeddings_from_copy(copy_out(connection, everything), 512)
        self.bare = psycopg.connect(url, prepare_threshold=None)
        register_vector(self.bare)
        for each in (self.bare, driver_of(connection)):
            each.execute(f"SET max_parallel_workers_per_gather = {workers:d}".encode())
        self.pids = self.bare.info.backend_pid, driver_of(connection).info.backend_pid

    def by_program(self, case: Case, query: QueryPerson) -> tuple[set[int], int]:
        answer = answer_one(self.connection, self.scope, case.question, query)
        return {match.image_id for match in answer.matches}, answer.candidates

    def by_hand(self, case: Case, query: QueryPerson) -> tuple[set[int], int]:
        rows, count = case.statements()
        values = {
            "model": self.scope.model.id, "collection": self.scope.gallery_ids[0],
            "query": query.embedding_D, "distance": case.question.max_distance,
            "label": np.array([case.label], np.int16).tolist() if case.label else None,
        }  # fmt: skip
        with self.bare.cursor(binary=True) as cursor:
            found = cursor.execute(rows.encode(), values).fetchall()
            counted = cursor.execute(count.encode(), values).fetchone()
        assert counted is not None
        return {row[0] for row in found}, counted[0]

    def by_numpy(self, case: Case, query: QueryPerson) -> set[int]:
        """Of all images, whatever the filter; the rows have length 1."""
        products_N = self.embeddings_ND @ query.embedding_D
        limit, distance = case.question.limit, case.question.max_distance
        if limit is None:
            assert distance is not None
            near = np.flatnonzero(products_N >= 1 - distance**2 / 2)
        else:
            near = np.argpartition(-products_N, limit)[:limit]
            near = near[np.argsort(-products_N[near])]
        return set(self.ids_N[near].tolist())


def cases(data: Gallery, queries: list[QueryPerson]) -> list[Case]:
    """Top 50 and a radius that about twenty images lie in, without a filter and with two."""
    nearest = [
        float(np.sort(2 - 2 * (data.embeddings_ND @ query.embedding_D))[NEIGHBOUR])
        for query in queries
    ]
    limits = ({"limit": LIMIT}, {"max_distance": float(np.sqrt(np.median(nearest)))})
    made = []
    for limit in limits:
        for wanted in SHARES:
            words, label = filter_near(data.connection, wanted) if wanted else (None, None)
            question = Question(parse(words) if words else None, **limit)
            passed = answer_one(data.connection, data.scope, question, queries[0]).candidates
            made.append(Case(question, label, passed / len(data.ids_N)))
    return made


def compare(data: Gallery, case: Case, queries: list[QueryPerson], turns: int) -> str:
    """One line of the table."""
    ways: dict[str, tuple[Callable[[Case, QueryPerson], Any], int | None]] = {
        "program": (data.by_program, data.pids[1]),
        "bare": (data.by_hand, data.pids[0]),
        "numpy": (data.by_numpy, None),
    }
    costs: dict[str, list[Cost]] = {name: [] for name in ways}
    for turn in range(turns + 2):
        query, found = queries[turn % len(queries)], {}
        names = list(ways)[:: 1 if turn % 2 else -1]
        for name in names:
            way, pid = ways[name]
            found[name], cost = measured(partial(way, case, query), pid)
            if turn >= 2:  # the first two warm caches
                costs[name].append(cost)
        assert found["program"] == found["bare"], "the answers differ"
        if case.label is None:
            assert found["program"][0] == found["numpy"], "NumPy's answer differs"
    median = statistics.median
    cells = [f"{case.name:<18}"]
    for what in ("clock", "cpu"):
        mine, bare, numpy = ([getattr(c, what) for c in costs[name]] for name in ways)
        cells += [
            f"{1000 * median(mine):>8.1f}",
            f"{median(a / b for a, b in zip(mine, bare, strict=True)):>8.2f}",
            f"{median(a / b for a, b in zip(mine, numpy, strict=True)):>8.2f}",
        ]
    return " ".join(cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path, required=True, help="a REID_HOME of its own")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--workers", type=int, default=0)
    asked = parser.parse_args()
    place = DatabaseAddress(asked.home.absolute())
    engine = open_database(place)
    for stored in gallery.fill(engine, asked.rows):
        print(f"{stored:,} of {asked.rows:,} images", file=sys.stderr, flush=True)
    queries = [
        QueryPerson(f"q{n}", row_D) for n, row_D in enumerate(gallery.queries(QUERIES, asked.rows))
    ]
    with engine.connect() as connection:
        data = Gallery(connection, place.libpq_url(), asked.workers)
        print(f"{len(data.ids_N):,} rows, {asked.turns} turns, workers {asked.workers}")
        heads = ("clock ms", "x bare", "x NumPy", "CPU ms", "x bare", "x NumPy")
        print(f"{'':<18} " + " ".join(f"{head:>8}" for head in heads))
        for case in cases(data, queries):
            print(compare(data, case, queries, asked.turns), flush=True)


if __name__ == "__main__":
    main()
