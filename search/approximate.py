"""Through the approximate index: candidates from the graph, decided by the exact distance.

A graph search may miss rows and cannot know it, so what comes from here is never complete. Where it
can be seen that it falls short - it ran dry before enough candidates came, or the last one still
lies within the distance limit at the most that is asked for - it gives up, and the exact scan
answers.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text

from db.schema import Feature
from gallery.vector_index import IndexRow, index_of
from search.found import Candidate, closest_first
from search.question import QueryPerson, Question, Scope
from search.selectivity import Estimate, estimate
from search.statement import for_query, planned, proposed
from search.statement import passing as passing_rows
from search.work import Route, Work

DEFAULT_BREADTH = 400  # where it was not measured
MOST_BREADTH = 1_000  # pgvector's largest ef_search
VISIT = 30  # rows that an exact scan compares in the time of one step through the graph
MOST_CANDIDATES = 20_000  # that are asked of the graph before an exact scan is preferred
_SURE = 4  # the planner's guess of how many pass, times this, is seldom too low
_FIRST_RADIUS = 256  # candidates that a search by distance alone begins with
_WIDER = 4
_SPARE = 16
_MOST_SCANNED = 200_000  # rows of the graph, before it gives up
_MEMORY = 4  # times work_mem, for what the graph search remembers


def breadth(index: IndexRow) -> int:
    """How many rows of the graph must be in view to find the closest, as it was measured."""
    return int(index.facts.get("breadth", DEFAULT_BREADTH))


def route(
    connection: Connection,
    scope: Scope,
    question: Question,
    query: QueryPerson,
    passed: int | None = None,
) -> Route:
    """Whether the index pays for this question: never where few images pass, or a small part of
    those in the index. `passed` is how many pass, where that is known; else it is estimated.
    """
    index = index_of(connection, scope.model.id)
    if index is None:
        return Route(f"model {scope.model.name!r} has no index, see `reid index build`")
    if passed is not None:
        passing = Estimate(passed, passed, "count")
    else:
        filtered = for_query(passing_rows(scope, question, Feature.image_id), question, query)
        guess = float(planned(connection, filtered)["Plan Rows"])
        if _steps(index, _SURE * guess) * VISIT >= _SURE * guess:
            return Route("few images pass")
        passing = estimate(connection, scope, question, query)
    about = "" if passing.how == "count" else "about "
    said = f"{about}{round(passing.rows):,} images pass"
    if _steps(index, passing.rows) * VISIT >= passing.rows:
        return Route(f"only {said}")
    return Route(f"{said}, the closest of them by {index.name}", index, passing)


def _steps(index: IndexRow, rows: float) -> float:
    """Rows of the graph that are looked at until enough of those that pass are in view."""
    return breadth(index) * max(1.0, index.rows / max(1.0, rows))


def closest_by_index(
    connection: Connection,
    work: Work,
    query: QueryPerson,
    max_distance: float | None,
    limit: int | None,
) -> list[Candidate] | None:
    """Rows that the graph proposes, closest first, and more than the limit where there are more;
    None where it falls short. `work` has the index as its route."""
    index, passing = work.route.index, work.route.passing
    assert index is not None
    wanted = breadth(index) if passing is None else _steps(index, passing.rows)
    number = _FIRST_RADIUS if limit is None else limit + _SPARE
    if wanted > MOST_BREADTH:  # the scan goes on until so many that pass have come
        number = max(number, breadth(index))
    while number <= MOST_CANDIDATES:
        work.statement = proposed(work.filtered, query, number)
        with through_graph(connection, min(MOST_BREADTH, max(round(wanted), number))):
            rows = connection.execute(work.statement).all()
        if len(rows) < number:
            return None
        found = closest_first(query, rows)
        inside = sum(max_distance is None or one.distance <= max_distance for one in found)
        if inside < len(found) or (limit is not None and inside > limit):
            return found
        number *= _WIDER
    return None


@contextmanager
def through_graph(connection: Connection, held: int) -> Iterator[None]:
    """Statements inside must take the graph, and search it with `held` rows in view."""
    # a sort is the one way around the graph; relaxed order is enough, we sort by exact distances
    settings = {
        "hnsw.ef_search": held,
        "hnsw.iterative_scan": "relaxed_order",
        "hnsw.max_scan_tuples": _MOST_SCANNED,
        "hnsw.scan_mem_multiplier": _MEMORY,
        "enable_sort": "off",
    }
    with connection.begin_nested() as savepoint:
        calls = (f"set_config('{name}', '{value}', true)" for name, value in settings.items())
        connection.execute(text(f"SELECT {', '.join(calls)}"))
        yield
        savepoint.rollback()
