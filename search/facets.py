"""How many gallery images each value of the 12 readable attributes would let through.

A filter is taken apart into what boxes can show - a field and its values, joined with `and` at the
top - and the rest. The number beside a value counts the images that pass the filter with that value
in the place of its field's own: what a tick brings in, and what taking it away leaves out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Subquery, and_, func, select
from sqlalchemy.sql.util import ClauseAdapter

from db.limits import limited
from db.schema import Feature
from search.filters.leaves import LabelIs
from search.filters.sql import where
from search.filters.tree import And, Filter
from search.question import Question, Scope
from search.request import SearchRequest
from search.statement import passing
from vocabulary import FIELDS

Counts = Mapping[str, Mapping[str, int]]  # field -> word -> images


@dataclass(frozen=True)
class Apart:
    """A filter's conditions. `shown` are those that boxes can show, by field; `rest` is joined to
    them with `and`."""

    shown: Mapping[str, LabelIs]
    rest: tuple[Filter, ...]

    @property
    def rest_filter(self) -> Filter | None:
        return joined(self.rest)


def take_apart(filter: Filter | None) -> Apart:
    """A field that two conditions speak of cannot be shown by boxes."""
    parts = parts_of(filter)
    fields = [part.field for part in parts if isinstance(part, LabelIs)]
    shown = {
        part.field: part
        for part in parts
        if isinstance(part, LabelIs) and fields.count(part.field) == 1
    }
    return Apart(shown, tuple(part for part in parts if part not in shown.values()))


def parts_of(filter: Filter | None) -> list[Filter]:
    """The conditions that are joined with `and` at the top."""
    if filter is None:
        return []
    return list(filter.parts) if isinstance(filter, And) else [filter]


def joined(parts: Sequence[Filter]) -> Filter | None:
    """All of the parts as one filter, None for no part."""
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def facet_counts(connection: Connection, scope: Scope, filter: Filter | None) -> Counts:
    """Count, for each field, `{word: images}`, in one statement.

    The rows are read once and grouped by their labels: of these combinations there are far fewer
    than images, and the conditions are asked of them alone.
    """
    apart = take_apart(filter)
    rows = passing(scope, Question(apart.rest_filter), Feature.labels, func.count().label("images"))
    groups = rows.group_by(Feature.labels).subquery("combinations")
    shown = {field: _of(groups, leaf) for field, leaf in apart.shown.items()}
    columns: list[Any] = []
    for field in FIELDS:
        others = [condition for name, condition in shown.items() if name != field.name]
        for word in field.words:
            condition = and_(_of(groups, LabelIs(field.name, (word,))), *others)
            columns.append(func.coalesce(func.sum(groups.c.images).filter(condition), 0))
    counted = iter(connection.execute(select(*columns)).one())
    return {field.name: {word: int(next(counted)) for word in field.words} for field in FIELDS}


def _of(groups: Subquery, leaf: LabelIs) -> ColumnElement[bool]:
    """The condition that the search asks of a row, asked of a combination of labels."""
    condition: ColumnElement[bool] = ClauseAdapter(groups).traverse(where(leaf))
    return condition


def counts(engine: Engine, collections: Sequence[str], filter: Filter | None) -> Counts:
    """How many images of the collections each attribute value would let through.

    Raises UnknownCollection, SearchTookTooLong.
    """
    scope = SearchRequest(tuple(collections)).resolve(engine).scope
    with engine.begin() as connection, limited(connection):
        return facet_counts(connection, scope, filter)
