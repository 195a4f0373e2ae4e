"""One comparison as it is written, a field, an operator and values, into its node.

Choices of the language: `!=` and `not in` are `not` of `=` and `in`. A day is the whole day in UTC:
`ingested <= 2026-11-01` takes in its evening, `ingested = 2026-11-01` is from midnight to midnight.
A path that ends with `/` is a folder: `path = "cam3/"` means `path starts with "cam3/"`.
"""

import re
from collections.abc import Sequence
from datetime import MAXYEAR, timedelta

from moments import DAY
from search.filters.errors import BadFilter
from search.filters.fields import INT_RANGES, YES_NO, kind_of, listed, shown
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
from search.filters.tree import And, Filter, Not
from search.filters.values import moment
from vocabulary import FIELD_BY_NAME

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)


def flag(name: str) -> Filter:
    """A field that stands alone: `hat` means `hat = yes`."""
    if name in YES_NO:
        return LabelIs(name, ("yes",))
    if name in FIELD_BY_NAME:
        raise BadFilter(f"{name} needs a value: {listed(FIELD_BY_NAME[name].words)}")
    raise BadFilter(f"{name} needs a comparison, such as {name} {_EXAMPLES[kind_of(name)]}")


_EXAMPLES = {
    "score": ">= 0.5", "real": ">= 0.5", "int": "= 3", "text": '= "gallery"',
    "path": 'starts with "cam3/"', "time": ">= 2026-11-01",
}  # fmt: skip


def starts(name: str, prefix: str) -> Filter:
    if name != "path":
        raise BadFilter(f"'starts with' is for path, not for {name}")
    return PathStarts(prefix)


def contained(name: str, values: Sequence[str]) -> Filter:
    """`name in (values)`, also for a single value after `=`."""
    kind = kind_of(name)
    if kind == "label":
        _refuse_number(name, values[0])
        return LabelIs(name, tuple(values))
    if kind == "int":
        return NumberIn(name, tuple(_whole(name, value) for value in values))
    if kind in ("text", "path"):
        return TextIn(name, tuple(values))
    raise BadFilter(f"{name} is compared with <, <=, >, >=, = or !=, not with 'in'")


def ordered(low: Filter, high: Filter) -> Filter:
    """`between`, both ends included; the other way round nothing could ever match."""
    day_before = isinstance(high, TimeCompare) and high.op == "<" and _limit(low) == _limit(high)
    if _limit(low) > _limit(high) or day_before:
        raise BadFilter("'between' takes the lower value first")
    return And((low, high))


def _limit(node: Filter) -> float:
    if isinstance(node, ScoreCompare | NumberCompare):
        return node.number
    return node.moment.timestamp() if isinstance(node, TimeCompare) else 0


def compare(name: str, op: str, value: str) -> Filter:
    """`name op value` for any of the six operators."""
    if op == "!=":
        return Not(compare(name, "=", value))
    kind = kind_of(name)
    if kind == "time":
        return _time(name, op, value)
    if kind == "score":
        return ScoreCompare(name, op, _number(name, value))
    if kind == "real" or (kind == "int" and op != "="):
        return NumberCompare(
            name, op, _number(name, value) if kind == "real" else _whole(name, value)
        )
    if kind == "label" and op != "=":
        return _score_of(name, op, value)
    if op != "=":
        raise BadFilter(f"{name} has no order; compare it with = or 'in'")
    if name == "path" and value.endswith("/"):
        return PathStarts(value)
    return contained(name, [value])


def _score_of(name: str, op: str, value: str) -> Filter:
    if name in YES_NO:
        return ScoreCompare(f"{name}-2", op, _number(name, value))
    score = list(FIELD_BY_NAME[name].values.values())[-1]
    raise BadFilter(f'{name} has no order; compare one of its scores, such as "{score}" {op} 0.5')


def _refuse_number(name: str, value: str) -> None:
    """`hat = 1` would silently ask for a score of exactly 1."""
    if name in YES_NO and NUMBER.fullmatch(value):
        raise BadFilter(
            f"{name} is yes or no, not a number; for its score write {name} >= 0.5, for instance"
        )


def _number(name: str, value: str) -> float:
    if not NUMBER.fullmatch(value):
        raise BadFilter(f"{name} is compared with a number, not {shown(value)}")
    return float(value)


def _whole(name: str, value: str) -> int:
    if not WHOLE.fullmatch(value):
        low, high = INT_RANGES[name]
        raise BadFilter(f"{name} takes whole numbers from {low} to {high}, not {shown(value)}")
    return int(value)


def _time(name: str, op: str, value: str) -> Filter:
    compared = TakenCompare if name == TakenCompare.kind else TimeCompare
    start = moment(name, value)
    if not DAY.fullmatch(value):
        return compared(op, start)
    if start.year == MAXYEAR:
        raise BadFilter(f"a day in the year {MAXYEAR} has no next day to end at")
    end = start + timedelta(days=1)
    if op == "=":
        return And((compared(">=", start), compared("<", end)))
    order, edge = {"<": ("<", start), ">=": (">=", start), "<=": ("<", end), ">": (">=", end)}[op]
    return compared(order, edge)
