"""The one statement builder: which gallery rows a question may match, and how they are read."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from pgvector.sqlalchemy import HALFVEC, VECTOR
from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Connection,
    Dialect,
    Double,
    FromClause,
    Select,
    and_,
    any_,
    bindparam,
    cast,
    literal,
    literal_column,
    select,
    text,
)
from sqlalchemy.orm import aliased
from sqlalchemy.sql.selectable import SelectBase, TextualSelect

from db.driver import driver_of
from db.schema import Collection, Feature, Image
from gallery.counts import Counts, counts
from search.distance import margin
from search.filters.sql import needs_collection, needs_image, where
from search.filters.tree import Filter
from search.question import QueryPerson, Question, Scope

SHOWN = "shown"  # the features of those rows that are in the answer
_QUERY = "query"  # the parameter that holds the query's embedding
_SHOWN_NUMBERS, _SHOWN_VALUES = 3, 20  # of an embedding and of a list, in a statement to read


def passing(scope: Scope, question: Question, *columns: Any) -> Select[Any]:
    """Rows of the scope that pass the filter, whatever the query.

    Only what the filter or the columns speak of is joined: each feature has its image, so that a
    join changes nothing but the time.
    """
    stmt = select(*columns)
    stmt = stmt.select_from(_tables(question.filter, stmt.columns_clause_froms)).where(
        Feature.model_id == scope.model.id,
        # one parameter, however many: a list of them would be written anew at each execution
        Feature.collection_id == any_(literal(scope.gallery_ids, ARRAY(BigInteger))),
    )
    return stmt if question.filter is None else stmt.where(where(question.filter))


def _tables(filter: Filter | None, shown: Sequence[FromClause]) -> FromClause:
    joined: FromClause = Feature.__table__
    if Image.__table__ in shown or (filter is not None and needs_image(filter)):
        joined = joined.join(Image, Image.id == Feature.image_id)
    if Collection.__table__ in shown or (filter is not None and needs_collection(filter)):
        joined = joined.join(Collection, Collection.id == Feature.collection_id)
    return joined


def for_query(stmt: Select[Any], question: Question, query: QueryPerson) -> Select[Any]:
    """Leaves out what the question leaves out for this query: its camera, its own copies."""
    if question.not_same_camera and query.camid is not None:
        stmt = stmt.where(Feature.camid.is_distinct_from(query.camid))
    if question.no_duplicates and query.content_hashes:
        # the copies are few, and found by an index; a join would read every image
        copy = aliased(Image, name="copy")
        copies = select(copy.id).where(copy.content_hash.in_(query.content_hashes))
        stmt = stmt.where(Feature.image_id.not_in(copies))
    return stmt


class _Vector(VECTOR):
    """A list of numbers, bound as the text that Python writes for it."""

    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Any:  # noqa: ARG002 - SQLAlchemy calls it so
        return str


def distance_to(query: QueryPerson) -> ColumnElement[float]:
    """`embedding <-> query`, in float32 as Postgres computes it."""
    value = bindparam(_QUERY, query.embedding_D.tolist(), type_=_Vector(len(query.embedding_D)))
    distance: ColumnElement[float] = Feature.embedding.op("<->", return_type=Double())(value)
    return distance


def exact_distance_to(query: QueryPerson) -> ColumnElement[float]:
    """`distance_to` in a form that no vector index can order by: an approximate one, which somebody
    may have built, would lose rows and not tell."""
    return distance_to(query) + literal_column("0")


def within(distance: ColumnElement[float], max_distance: float) -> ColumnElement[bool]:
    """What may lie within the limit; the exact distance decides later."""
    # every distance is 0 or more: with a range at both ends the planner expects half a percent of
    # the rows and not a third, and looks up the images of these few instead of reading them all
    return and_(distance <= max_distance + margin(max_distance), distance >= 0.0)


def closest(
    filtered: Select[Any],
    query: QueryPerson,
    max_distance: float | None,
    limit: int | None,
    *,
    counted: bool,
) -> TextualSelect:
    """Select, of the rows that pass, those that may be within the limits: what a match shows, their
    embedding as `bytes`, their `distance`, in any order.

    Narrow rows are compared first, the rest is looked up for those that are left. `counted`, each
    row says how many `passed`, from the same scan; where none is left, one row without id does.
    """
    rows = filtered.with_only_columns(
        Feature.model_id, Feature.image_id, exact_distance_to(query).label("distance")
    )
    if not counted:
        if max_distance is not None:
            rows = rows.where(within(distance_to(query), max_distance))
        if limit is not None:
            rows = rows.order_by("distance").limit(limit)
        return _LOOKED_UP.add_cte(rows.cte("near"))
    passed = rows.cte("passed").prefix_with("MATERIALIZED")
    near = select(*passed.c)
    if max_distance is not None:
        near = near.where(within(passed.c.distance, max_distance))
    if limit is not None:
        near = near.order_by("distance").limit(limit)
    return _COUNTED.add_cte(passed, near.cte("near"))


def proposed(filtered: Select[Any], query: QueryPerson, number: int) -> TextualSelect:
    """Select, of the rows that pass, those that the approximate index holds for the closest, as by
    `closest`; their `distance` is that of 16-bit numbers."""
    halves = HALFVEC(len(query.embedding_D))
    value = bindparam(_QUERY, query.embedding_D.tolist(), type_=_Vector(len(query.embedding_D)))
    half: ColumnElement[Any] = cast(Feature.embedding, halves)
    distance: ColumnElement[float] = half.op("<->", return_type=Double())(cast(value, halves))
    rows = filtered.with_only_columns(
        Feature.model_id, Feature.image_id, distance.label("distance")
    )
    return _LOOKED_UP.add_cte(rows.order_by("distance").limit(number).cte("near"))


def kept_counts(connection: Connection, scope: Scope) -> Counts:
    """How many images of the scope this model has embedded, and how many it has not yet; what
    failed is not waited for."""
    return counts(connection, scope.model.id, scope.gallery_ids)


def count_unsearched(connection: Connection, scope: Scope) -> int:
    """Images of the scope that this model has not embedded yet."""
    return kept_counts(connection, scope).waiting


MATCH_COLUMNS: tuple[Any, ...] = (
    Image.id,
    Collection.name.label("collection"),
    Image.path,
    Image.pid,
    Feature.camid,
    Feature.labels,
    Collection.identities,
)
# the same, as text: it is the larger part of a statement, and always the same
_FACTS = (
    f"SELECT image.id, collection.name AS collection, image.path, image.pid, {SHOWN}.camid,"
    f" {SHOWN}.labels, collection.identities, vector_send({SHOWN}.embedding) AS bytes,"
    " near.distance"
)
_JOINED = (
    f"near JOIN feature AS {SHOWN} ON {SHOWN}.model_id = near.model_id"
    f" AND {SHOWN}.image_id = near.image_id"
    " JOIN image ON image.id = near.image_id"
    " JOIN collection ON collection.id = image.collection_id"
)
_LOOKED_UP = text(f"{_FACTS}\nFROM {_JOINED}").columns()
_COUNTED = text(
    f"{_FACTS}, counted.passed\nFROM (SELECT count(*) AS passed FROM passed) AS counted"
    f" LEFT JOIN ({_JOINED}) ON true"
).columns()


def as_psycopg(connection: Connection, stmt: SelectBase, *, shortened: bool = False) -> str:
    """The statement as text with its values put in by psycopg: COPY takes no parameters.

    Shortened, it is for reading: of a query's embedding and of long lists only the start is there.
    """
    compiled = stmt.compile(dialect=connection.dialect, compile_kwargs={"render_postcompile": True})
    values = {
        name: _vector_text(value, shortened=shortened) if name == _QUERY else value
        for name, value in compiled.params.items()
    }
    if shortened:
        values = {name: _start_of(value) for name, value in values.items()}
    return psycopg.ClientCursor(driver_of(connection)).mogrify(str(compiled), values)


def _vector_text(numbers: Sequence[float], *, shortened: bool) -> str:
    if shortened:
        start = ", ".join(f"{number:.4f}" for number in numbers[:_SHOWN_NUMBERS])
        return f"[{start}, ... {len(numbers)} numbers]"
    return f"[{','.join(map(repr, numbers))}]"


def _start_of(value: Any) -> Any:
    if not isinstance(value, list) or len(value) <= _SHOWN_VALUES:
        return value
    start = ", ".join(str(item) for item in value[:_SHOWN_VALUES])
    return f"{{{start}, ... {len(value)} values}}"


class _BinaryCursor(psycopg.Cursor[Any]):
    """Asks for results in binary."""

    def __init__(self, connection: "psycopg.Connection[Any]", **how: Any) -> None:
        super().__init__(connection, **how)
        self.format = psycopg.pq.Format.BINARY


@contextmanager
def binary_results(connection: Connection) -> Iterator[None]:
    """Embeddings come as they are, and not in hexadecimal."""
    driver = driver_of(connection)
    usual, driver.cursor_factory = driver.cursor_factory, _BinaryCursor
    try:
        yield
    finally:
        driver.cursor_factory = usual


def copy_out(connection: Connection, stmt: Select[Any]) -> bytes:
    """Every row of a statement as one binary COPY."""
    text = f"COPY ({as_psycopg(connection, stmt)}) TO STDOUT (FORMAT binary)"
    with driver_of(connection).cursor() as cursor, cursor.copy(text.encode()) as copy:
        return b"".join(copy)


def planned(connection: Connection, stmt: SelectBase) -> dict[str, Any]:
    """The planner's tree for a statement, as EXPLAIN (FORMAT JSON) gives it; nothing is run."""
    text = f"EXPLAIN (FORMAT JSON) {as_psycopg(connection, stmt)}"
    with driver_of(connection).cursor() as cursor:
        row = cursor.execute(text.encode()).fetchone()
    assert row is not None
    plan: dict[str, Any] = row[0][0]["Plan"]
    return plan
