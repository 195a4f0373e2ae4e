"""A tree as its canonical text: `parse(to_text(filter)) == filter`."""

from typing import assert_never

from search.filters.fields import YES_NO
from search.filters.leaves import (
    LabelIs,
    NumberCompare,
    NumberIn,
    PathStarts,
    ScoreCompare,
    TextIn,
    TimeCompare,
)
from search.filters.tree import And, Filter, Leaf, Not, Or


def to_text(filter: Filter) -> str:
    """The filter as a person could have written it."""
    match filter:
        case And(parts):
            return " and ".join(_inside(part, Or) for part in parts)
        case Or(parts):
            return " or ".join(_inside(part, And) for part in parts)
        case Not(part):
            return _negated(part)
        case _:
            return _leaf(filter, "=", "in")


def _inside(part: Filter, *in_brackets: type[Filter]) -> str:
    return f"({to_text(part)})" if isinstance(part, in_brackets) else to_text(part)


def _negated(part: Filter) -> str:
    match part:
        case LabelIs(field, ("yes",)) if field in YES_NO:
            return f"not {field}"
        case LabelIs() | NumberIn() | TextIn():
            return _leaf(part, "!=", "not in")
        case ScoreCompare(_, "=") | NumberCompare(_, "="):
            return _leaf(part, "!=", "")
        case _:
            return f"not {_inside(part, And, Or)}"


def _leaf(leaf: Leaf, equals: str, contained: str) -> str:
    match leaf:
        case LabelIs(field, ("yes",)) if field in YES_NO and equals == "=":
            return field
        case LabelIs(field, values) | TextIn(field, values) | NumberIn(field, values):
            words = [quoted(str(v)) if isinstance(leaf, TextIn) else str(v) for v in values]
            if len(words) == 1:
                return f"{field} {equals} {words[0]}"
            return f"{field} {contained} ({', '.join(words)})"
        case ScoreCompare(name, op, number) | NumberCompare(name, op, number):
            return f"{name} {equals if op == '=' else op} {number!r}"
        case PathStarts(prefix):
            return f"path starts with {quoted(prefix)}"
        case TimeCompare(op, moment):
            return f"{leaf.kind} {op} {moment.isoformat()}"
        case _:
            assert_never(leaf)


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
