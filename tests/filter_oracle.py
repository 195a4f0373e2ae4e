"""What a filter means, on plain Python rows: the definition that the SQL is tested against."""

import operator
from ctypes import c_float
from dataclasses import dataclass
from datetime import datetime

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
from search.filters.tree import And, Filter, Not, Or
from vocabulary import FIELD_BY_NAME, LABEL_OF, describe

OPS = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Row:
    """An image with its feature. `scores` and `quality` are float4 numbers, as stored."""

    labels: tuple[int, ...]
    scores: tuple[float, ...]
    quality: float | None
    camera: int | None
    pid: int | None
    collection: str
    path: str
    ingested: datetime
    taken: datetime | None = None
    person: int | None = None


def real(number: float) -> float:
    return c_float(number).value


def holds(filter: Filter, row: Row) -> bool:
    """Two-valued: a comparison with None is False, and `Not` of it is True."""
    match filter:
        case And(parts):
            return all(holds(part, row) for part in parts)
        case Or(parts):
            return any(holds(part, row) for part in parts)
        case Not(part):
            return not holds(part, row)
        case LabelIs(field, values):
            assert set(values) <= set(FIELD_BY_NAME[field].words)
            return describe(row.labels)[field] in values
        case ScoreCompare(name, op, number):
            return bool(OPS[op](row.scores[LABEL_OF[name] - 1], real(number)))
        case NumberCompare(field, op, number):
            known = getattr(row, field)
            limit = real(number) if field == "quality" else number
            return known is not None and bool(OPS[op](known, limit))
        case NumberIn(field, numbers):
            return getattr(row, field) in numbers
        case TextIn(field, texts):
            return any(getattr(row, field) in spellings(text) for text in texts)
        case PathStarts(prefix):
            return row.path.startswith(tuple(spellings(prefix)))
        case TakenCompare(op, moment):
            return row.taken is not None and bool(OPS[op](row.taken, moment))
        case TimeCompare(op, moment):
            return bool(OPS[op](row.ingested, moment))
