"""A tree as a condition over `Feature`, `Image` and `Collection`. Every value is a bound parameter.

The condition is never null. A comparison with a column that may be null stands behind
`IS NOT NULL AND`, which says the same as `coalesce(..., false)` and leaves the planner its indexes
and its estimates: the choice between exact and approximate search rests on estimated rows.
"""

from collections.abc import Callable, Sequence
from operator import eq, ge, gt, le, lt
from typing import Any, assert_never

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    SmallInteger,
    Text,
    and_,
    any_,
    cast,
    func,
    literal,
    not_,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import ARRAY, REAL
from sqlalchemy.types import TypeEngine

from db.schema import Collection, Feature, Image, PersonImage
from db.spelling import spellings
from search.filters.leaves import (
    LabelIs,
    NumberCompare,
    NumberIn,
    PathStarts,
    ScoreCompare,
    TakenCompare,
    TextIn,
    TimeCompare,
)
from search.filters.tree import And, Filter, Leaf, Not, Or, leaves
from search.filters.values import as_real
from vocabulary import FIELD_BY_NAME, LABEL_OF

Condition = ColumnElement[bool]

COMPARE: dict[str, Callable[[Any, Any], Condition]] = {
    "=": eq,
    "<": lt,
    "<=": le,
    ">": gt,
    ">=": ge,
}

LABELS = type_coerce(Feature.labels, ARRAY(SmallInteger))  # the dialect's type knows @> and &&
SCORES = type_coerce(Feature.scores, ARRAY(REAL))
NULLABLE: dict[str, tuple[ColumnElement[Any], TypeEngine[Any]]] = {
    "camera": (type_coerce(Feature.camid, SmallInteger), SmallInteger()),
    "pid": (type_coerce(Image.pid, Integer), Integer()),
    "quality": (type_coerce(Feature.quality, REAL), REAL()),
}


def where(filter: Filter) -> Condition:
    """True or false for each row of `Feature`, with the joins that `needs_...` tell."""
    match filter:
        case And(parts):
            return and_(*(where(part) for part in parts))
        case Or(parts):
            return or_(*(where(part) for part in parts))
        case Not(part):
            return not_(where(part))
        case _:
            return _leaf(filter)


def needs_image(filter: Filter) -> bool:
    """Whether the statement must join `Image`: for pid, path and the times."""
    return any(
        isinstance(leaf, PathStarts | TimeCompare) or getattr(leaf, "field", "") in ("pid", "path")
        for leaf in leaves(filter)
    )


def needs_collection(filter: Filter) -> bool:
    """Whether the statement must join `Collection`: for collection."""
    return any(getattr(leaf, "field", "") == "collection" for leaf in leaves(filter))


def _leaf(leaf: Leaf) -> Condition:
    match leaf:
        case LabelIs(field, values):
            return _labels(field, values)
        case ScoreCompare(name, op, number):
            return COMPARE[op](SCORES[LABEL_OF[name]], _real(number))
        case NumberCompare("person", op, number):
            return _of_persons(COMPARE[op](PersonImage.person_id, literal(number, BigInteger())))
        case NumberIn("person", numbers):
            return _of_persons(_one_of(PersonImage.person_id, numbers, BigInteger()))
        case NumberCompare(field, op, number):
            column, type_ = NULLABLE[field]
            bound = _real(number) if field == "quality" else literal(number, type_)
            return and_(column.is_not(None), COMPARE[op](column, bound))
        case NumberIn(field, numbers):
            column, type_ = NULLABLE[field]
            return and_(column.is_not(None), _one_of(column, numbers, type_))
        case TextIn(field, texts):
            text_column = Collection.name if field == "collection" else Image.path
            written = [form for name in texts for form in spellings(name)]
            return _one_of(text_column, written, Text())
        case PathStarts(prefix):
            return or_(
                *(func.starts_with(Image.path, literal(form, Text)) for form in spellings(prefix))
            )
        case TakenCompare(op, moment):
            taken = Image.captured_at
            return and_(taken.is_not(None), COMPARE[op](taken, moment))
        case TimeCompare(op, moment):
            return COMPARE[op](Image.ingested_at, moment)
        case _:
            assert_never(leaf)


def _labels(field: str, values: Sequence[str]) -> Condition:
    """Build the condition in a shape that the GIN index on labels can answer, except for
    `unknown`."""
    label_of = {word: LABEL_OF[name] for word, name in FIELD_BY_NAME[field].values.items()}
    chosen = [label_of[value] for value in values if value != "unknown"]
    conditions: list[Condition] = []
    if len(chosen) == 1:
        conditions.append(LABELS.contains(chosen))
    elif chosen:
        conditions.append(LABELS.overlap(chosen))
    if "unknown" in values:
        conditions.append(not_(LABELS.overlap(list(label_of.values()))))
    return or_(*conditions)


def _of_persons(condition: Condition) -> Condition:
    """Images of persons that were found: an image in none is of nobody."""
    return Feature.image_id.in_(select(PersonImage.image_id).where(condition))


def _one_of(column: Any, values: Sequence[object], type_: TypeEngine[Any]) -> Condition:
    """One parameter, whatever the number of values: a statement holds 65,535 at most."""
    single = len(values) == 1
    bound = literal(values[0], type_) if single else any_(literal(list(values), ARRAY(type_)))
    return COMPARE["="](column, bound)


def _real(number: float) -> ColumnElement[float]:
    """As float4: against the float8 0.8, a stored 0.8 would be another number."""
    return cast(literal(as_real(number), REAL), REAL)
