"""The one statement builder: which gallery rows a question may match, and how they are read."""

from collections.abc import Sequence
from typing import Any

import psycopg
from pgvector.sqlalchemy import VECTOR
from sqlalchemy import (
    ColumnElement,
    Connection,
    Double,
    Select,
    bindparam,
    literal_column,
    select,
    text,
)

from db.schema import Collection, Feature, Image
from search.distance import margin
from search.filters.sql import where
from search.question import QueryPerson, Question, Scope

_QUERY = "query"  # the parameter that holds the query's embedding
_SHOWN_NUMBERS, _SHOWN_VALUES = 3, 20  # of an embedding and of a list, in a statement to read

_JOINED = Feature.__table__.join(Image, Image.id == Feature.image_id).join(
    Collection, Collection.id == Image.collection_id
)


def passing(scope: Scope, question: Question, *columns: Any) -> Select[Any]:
    """Rows of the scope that pass the filter, whatever the query."""
    stmt = (
        select(*columns)
        .select_from(_JOINED)
        .where(
            Feature.model_id == scope.model.id,
            Feature.collection_id.in_(scope.gallery_ids),
        )
    )
    return stmt if question.filter is None else stmt.where(where(question.filter))


def for_query(stmt: Select[Any], question: Question, query: QueryPerson) -> Select[Any]:
    """Leaves out what the question leaves out for this query: its camera, its own copies."""
    if question.not_same_camera and query.camid is not None:
        stmt = stmt.where(Feature.camid.is_distinct_from(query.camid))
    if question.no_duplicates and query.content_hashes:
        stmt = stmt.where(Image.content_hash.not_in(query.content_hashes))
    return stmt


def distance_to(query: QueryPerson) -> ColumnElement[float]:
    """`embedding <-> query`, in float32 as Postgres computes it."""
    value = bindparam(_QUERY, query.embedding_D.tolist(), type_=VECTOR(len(query.embedding_D)))
    distance: ColumnElement[float] = Feature.embedding.op("<->", return_type=Double())(value)
    return distance


def exact_distance_to(query: QueryPerson) -> ColumnElement[float]:
    """`distance_to` in a form that no vector index can order by: an approximate one, which somebody
    may have built, would lose rows and not tell."""
    return distance_to(query) + literal_column("0")


def within(stmt: Select[Any], query: QueryPerson, max_distance: float | None) -> Select[Any]:
    """Rows that may lie within the limit; the exact distance decides later."""
    if max_distance is None:
        return stmt
    return stmt.where(distance_to(query) <= max_distance + margin(max_distance))


def count_unsearched(connection: Connection, scope: Scope) -> int:
    """Images of the scope that this model has not embedded yet; what failed is not waited for."""
    stmt = text(
        "SELECT count(*) FROM image i WHERE i.collection_id = ANY(:collections)"
        " AND NOT EXISTS (SELECT FROM feature f WHERE f.model_id = :model AND f.image_id = i.id)"
        " AND NOT EXISTS (SELECT FROM task t WHERE t.model_id = :model AND t.image_id = i.id"
        " AND t.state = 'failed')"
    )
    count: int = connection.execute(
        stmt, {"model": scope.model.id, "collections": scope.gallery_ids}
    ).scalar_one()
    return count


MATCH_COLUMNS: tuple[Any, ...] = (
    Image.id,
    Collection.name.label("collection"),
    Image.path,
    Image.pid,
    Feature.camid,
    Feature.labels,
    Collection.identities,
)


def as_psycopg(connection: Connection, stmt: Select[Any], *, shortened: bool = False) -> str:
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


def driver_of(connection: Connection) -> "psycopg.Connection[Any]":
    """psycopg's own connection, for what SQLAlchemy has no words for."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return driver


def copy_out(connection: Connection, stmt: Select[Any]) -> bytes:
    """Every row of a statement as one binary COPY."""
    text = f"COPY ({as_psycopg(connection, stmt)}) TO STDOUT (FORMAT binary)"
    with driver_of(connection).cursor() as cursor, cursor.copy(text.encode()) as copy:
        return b"".join(copy)


def planned(connection: Connection, stmt: Select[Any]) -> dict[str, Any]:
    """The planner's tree for a statement, as EXPLAIN (FORMAT JSON) gives it; nothing is run."""
    text = f"EXPLAIN (FORMAT JSON) {as_psycopg(connection, stmt)}"
    with driver_of(connection).cursor() as cursor:
        row = cursor.execute(text.encode()).fetchone()
    assert row is not None
    plan: dict[str, Any] = row[0][0]["Plan"]
    return plan
