"""How many rows of a scope a question lets pass, without reading them all.

The planner knows decided labels, cameras and persons, each alone; of a score it knows nothing (it
takes a third to pass), and it multiplies what goes together, such as long hair and a dress. So some
thousands of rows of the table `feature` are asked, by the very conditions of the search. Where few
of them pass, a small scope is counted; in a large one the planner has the word, within what the
sample allows, and where it is far off, a larger sample.

The sample is of pages, which is what reading costs. A page holds three rows, often of one person at
one camera: that is why thousands are read and not hundreds. It is the same pages each time: the
same data gives the same estimate.
"""

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Select, func, literal, select, text
from sqlalchemy.sql.util import ClauseAdapter, find_tables

from db.schema import Collection, Feature, Image
from search.question import QueryPerson, Question, Scope
from search.statement import for_query, passing, planned

PAGES = 1_000  # of the first sample
_MORE = 8  # times as many pages, where the first sample has few hits
_FEW = 15  # hits; three of them may be one person in one page
_ROWS_A_PAGE = 3
_SEED = 56

How = Literal["count", "sample", "planner"]


@dataclass(frozen=True)
class Estimate:
    """`rows` of the `total` rows of a scope pass. Where `how` is "count" both are exact."""

    rows: float
    total: float
    how: How

    @property
    def share(self) -> float:
        """Return the share that passes, in [0, 1]; 0 for a scope without rows."""
        return min(1.0, self.rows / self.total) if self.total else 0.0


@dataclass(frozen=True)
class _Condition:
    scope: Scope
    question: Question
    query: QueryPerson | None

    def passing(self, *columns: Any) -> Select[Any]:
        stmt = passing(self.scope, self.question, *columns)
        return stmt if self.query is None else for_query(stmt, self.question, self.query)

    @property
    def condition(self) -> ColumnElement[bool]:
        return _where(self.passing())

    @property
    def of_features_only(self) -> bool:
        return not {Image.__table__, Collection.__table__} & _tables(self.condition)


def estimate(
    connection: Connection,
    scope: Scope,
    question: Question,
    query: QueryPerson | None = None,
    *,
    pages: int = PAGES,
) -> Estimate:
    """Estimate how many rows pass the filter and, with a query, what the question leaves out for
    it.

    Within a factor of three where a thousandth of the rows or more pass. Of pid, path and ingest
    time a share below 1 in 200 is the planner's; so is it where the scope is a small part of a
    table of several millions.
    """
    asked = _Condition(scope, question, query)
    part = min(1.0, pages / max(1, _pages(connection)))
    rows, total = _seen(connection, asked, part)
    if part < 1 and rows < _FEW and total / part <= _MORE * pages * _ROWS_A_PAGE:
        part = 1.0
        rows, total = _seen(connection, asked, part)
    if part == 1:
        return Estimate(rows, total, "count")
    if rows >= _FEW:
        return Estimate(rows / part, total / part, "sample")
    return _of_few(connection, asked, part, rows, total)


def _of_few(
    connection: Connection, asked: _Condition, part: float, rows: int, total: int
) -> Estimate:
    """Where hardly a row of the sample passes: the planner's word if the sample allows it, else a
    larger sample's."""
    expected: float = planned(connection, asked.passing(Feature.image_id))["Plan Rows"]
    # to look up the image of each row costs more, and what images have, the planner knows
    if asked.of_features_only and expected != _allowed(expected, rows, part):
        part = min(1.0, _MORE * part)
        rows, total = _seen(connection, asked, part)
        if rows >= _FEW:
            return Estimate(rows / part, total / part, "sample")
    return Estimate(_allowed(expected, rows, part), total / part, "planner")


def _allowed(expected: float, rows: int, part: float) -> float:
    """About 95 in 100 samples with so few hits are of a truth between these limits."""
    return min(max(expected, rows / part / 3), (3 + 2 * rows) / part)


def _pages(connection: Connection) -> int:
    """How many pages the table has now, not when it was last analysed."""
    stmt = text("SELECT pg_relation_size('feature') / current_setting('block_size')::bigint")
    pages: int = connection.execute(stmt).scalar_one()
    return pages


def _seen(connection: Connection, asked: _Condition, part: float) -> tuple[int, int]:
    """(rows that pass, rows of the scope) in a part of the table."""
    stmt = select(func.count()).select_from(Feature)
    stmt = stmt.where(_where(passing(asked.scope, Question())))
    if part == 1:
        counted = asked.passing(func.count())
        return connection.execute(counted).scalar_one(), connection.execute(stmt).scalar_one()
    condition = asked.condition if asked.of_features_only else _looked_up(asked.condition)
    both = stmt.add_columns(func.count().filter(condition))
    total, rows = connection.execute(_sampled(both, part)).one()
    return rows, total


def _looked_up(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """The condition with the image of each row looked up: joined to a few thousand rows, the
    planner would read the whole table `image`."""
    stmt = select(condition)
    if Image.__table__ in _tables(condition):
        stmt = stmt.where(Image.id == Feature.image_id)
    if Collection.__table__ in _tables(condition):
        stmt = stmt.where(Collection.id == Feature.collection_id)
    return stmt.correlate(Feature).scalar_subquery()


def _tables(condition: ColumnElement[bool]) -> set[Any]:
    return set(find_tables(condition, check_columns=True))


def _sampled(stmt: Select[Any], part: float) -> Select[Any]:
    """The statement over a part of the table `feature`."""
    some = Feature.__table__.tablesample(func.system(100 * part), "some_features", literal(_SEED))
    return ClauseAdapter(some).traverse(stmt)


def _where(stmt: Select[Any]) -> ColumnElement[bool]:
    assert stmt.whereclause is not None
    return stmt.whereclause
