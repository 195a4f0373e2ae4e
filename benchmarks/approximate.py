"""The approximate index beside the plans that one would write by hand, and how both grow.

.venv/bin/python benchmarks/approximate.py HOME [HOME ...] [--queries 20] [--plot FILE.png]

Each HOME is a database that benchmarks/gallery.py has filled and `reid index build` has indexed.
For each filter the closest fifty are asked of `answer_one(approximate=True)`, of an exact statement
and of bare pgvector statements at several breadths. Each plan is asked all queries, twice, before
the next one: right after another plan, a query would find its part of the graph in the processor's
caches.
Recall is the share of the exact fifty. Milliseconds are medians and mean little on a busy machine;
their ratios within a row are what counts.
"""

# D=512 embedding numbers

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.gallery import COLLECTION, queries  # noqa: E402
from db.connect import DatabaseAddress  # noqa: E402
from db.driver import driver_of  # noqa: E402
from db.open import open_database  # noqa: E402
from gallery.collections import collection_named  # noqa: E402
from gallery.model_rows import active_model  # noqa: E402
from gallery.vector_index import index_of  # noqa: E402
from search.exact import answer_one  # noqa: E402
from search.filters.parse import parse  # noqa: E402
from search.question import QueryPerson, Question, Scope  # noqa: E402
from vocabulary import LABEL_OF  # noqa: E402

TOP = 50
# in words for `answer_one`, as a label for the statement by hand
FILTERS: dict[str | None, str | None] = {
    None: None,
    "gender = female": "gender-2",
    "upper_color = green": "upgreen-2",
    "lower_color = pink": "downpink-2",
}
BREADTHS = (100, 200, 400, 800, 1_000)
OURS, EXACT = "answer_one, approximate", "by hand: exact"
ENOUGH = 0.99

Plan = Callable[[QueryPerson], list[int]]


@dataclass
class Timed:
    """What a plan took (seconds a query) and found (share of the exact fifty)."""

    seconds: list[float] = field(default_factory=list)
    recalls: list[float] = field(default_factory=list)

    @property
    def p50(self) -> float:
        return float(np.median(self.seconds))

    @property
    def recall(self) -> float:
        return float(np.mean(self.recalls))


class Gallery:
    """One home's connection and scope, and the plans over it."""

    def __init__(self, connection: Connection) -> None:
        self.connection, self.driver = connection, driver_of(connection)
        model = active_model(connection)
        assert model is not None
        self.model = model
        self.scope = Scope(model, (collection_named(connection, COLLECTION),))
        self.index = index_of(connection, model.id)
        self.rows = int(self.value(f"SELECT count(*) FROM feature WHERE model_id = {model.id}"))

    def value(self, statement: str) -> Any:
        row = self.driver.execute(statement.encode()).fetchone()
        assert row is not None
        return row[0]

    def plans(self, words: str | None, label: str | None) -> Iterator[tuple[str, Plan]]:
        question = Question(None if words is None else parse(words), limit=TOP)

        def ours(query: QueryPerson) -> list[int]:
            answer = answer_one(self.connection, self.scope, question, query, approximate=True)
            self.way = answer.plan
            return [match.image_id for match in answer.matches]

        condition = f"model_id = {self.model.id}"
        if label is not None:
            condition += f" AND labels @> '{{{LABEL_OF[label]}}}'::smallint[]"
        yield OURS, ours
        yield EXACT, self._bare(condition, "(embedding <-> %s::vector(512)) + 0", {})
        for breadth in BREADTHS:
            graph = {"hnsw.ef_search": breadth, "hnsw.iterative_scan": "relaxed_order",
                     "hnsw.max_scan_tuples": 200_000, "enable_sort": "off"}  # fmt: skip
            order = "embedding::halfvec(512) <-> %s::halfvec(512)"
            yield f"by hand: graph, breadth {breadth}", self._bare(condition, order, graph)

    def _bare(self, condition: str, order: str, settings: dict[str, Any]) -> Plan:
        statement = f"SELECT image_id FROM feature WHERE {condition} ORDER BY {order} LIMIT {TOP}"
        calls = ", ".join(f"set_config('{n}', '{v}', true)" for n, v in settings.items())

        def run(query: QueryPerson) -> list[int]:
            with self.driver.transaction(force_rollback=True):
                if calls:
                    self.driver.execute(f"SELECT {calls}".encode())
                numbers = "[" + ",".join(map(repr, query.embedding_D.tolist())) + "]"
                rows = self.driver.execute(statement.encode(), (numbers,), prepare=False)
                return [row[0] for row in rows]

        return run


def measured(
    gallery: Gallery, words: str | None, people: Sequence[QueryPerson]
) -> dict[str, Timed]:
    plans = dict(gallery.plans(words, FILTERS[words]))
    times: dict[str, Timed] = defaultdict(Timed)
    truths: list[set[int]] = []
    for name in sorted(plans, key=lambda plan: plan != EXACT):
        for query in people:  # touches all that is looked at, once
            plans[name](query)
        for number, query in enumerate(people):
            started = time.perf_counter()
            ids = set(plans[name](query))
            times[name].seconds.append(time.perf_counter() - started)
            if name == EXACT:
                truths.append(ids)
            times[name].recalls.append(len(truths[number] & ids) / len(truths[number]))
    return times


def show(gallery: Gallery, words: str | None, times: dict[str, Timed]) -> tuple[float, float]:
    """Prints a filter's table; gives the seconds of ours and of the exact plan."""
    good = [name for name, timed in times.items() if timed.recall >= ENOUGH and name != OURS]
    best = min(good, key=lambda name: times[name].p50)
    print(f"\n{gallery.rows:,} rows, {words or 'no filter'}: {gallery.way}")
    print("| plan | recall | p50 ms | of the best by hand with recall >= .99 |\n|---|---|---|---|")
    for name, timed in times.items():
        mark = " (the best)" if name == best else ""
        ratio = timed.p50 / times[best].p50
        print(f"| {name}{mark} | {timed.recall:.3f} | {1000 * timed.p50:.1f} | {ratio:.2f} |")
    return times[OURS].p50, times[EXACT].p50


def sizes(gallery: Gallery) -> None:
    index = gallery.index
    assert index is not None, "build the index first: reid index build"
    table = gallery.value("SELECT pg_table_size('feature')")
    memory = gallery.value("SHOW shared_buffers")
    print(f"\n{gallery.rows:,} rows: table {table / 2**20:,.0f} MiB, graph "
          f"{index.size_bytes / 2**20:,.0f} MiB, shared_buffers {memory}, "
          f"built in {index.facts.get('build_seconds')} s, breadth {index.facts.get('breadth')}, "
          f"recall {index.facts.get('recall')}", flush=True)  # fmt: skip


def plot(grown: dict[int, tuple[float, float]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    rows = sorted(grown)
    for position, name in enumerate(("approximate", "exact")):
        axes.plot(rows, [1000 * grown[n][position] for n in rows], marker="o", label=name)
    axes.set(xscale="log", yscale="log", xlabel="images", ylabel="ms, median, top 50, no filter")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("homes", nargs="+", type=Path)
    parser.add_argument("--queries", type=int, default=20)
    parser.add_argument("--plot", type=Path)
    asked = parser.parse_args()
    grown = {}
    for home in asked.homes:
        engine = open_database(DatabaseAddress(home.absolute()))
        with engine.begin() as connection:
            gallery = Gallery(connection)
            sizes(gallery)
            people = [QueryPerson("q", row_D) for row_D in queries(asked.queries, gallery.rows)]
            for words in FILTERS:
                seconds = show(gallery, words, measured(gallery, words, people))
                sys.stdout.flush()
                if words is None:
                    grown[gallery.rows] = seconds
        engine.dispose()
    for small, large in zip(sorted(grown), sorted(grown)[1:], strict=False):
        ratios = [grown[large][n] / grown[small][n] for n in range(2)]
        print(f"\n{large / small:.0f}x the rows: {ratios[0]:.2f}x the time with the index, "
              f"{ratios[1]:.2f}x without")  # fmt: skip
    if asked.plot:
        plot(grown, asked.plot)


if __name__ == "__main__":
    main()
