"""A tree as a plain sentence."""

from collections.abc import Sequence
from typing import assert_never

from search.filters.fields import YES_NO, listed
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
from search.filters.text import quoted
from search.filters.tree import And, Filter, Leaf, Not, Or
from vocabulary import FIELDS

MOST = 10  # values that are named; of more, the first ones

NUMBERS = {"=": "exactly", "<": "below", "<=": "at most", ">": "above", ">=": "at least"}
TIMES = {"=": "exactly at", "<": "before", "<=": "up to", ">": "after", ">=": "from"}
OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}


def in_words(filter: Filter) -> str:
    """`"gender is female, backpack score at least 0.8, no hat, camera 3"`; the comma means and."""
    match filter:
        case And(parts):
            return ", ".join(_inside(part, Or) for part in parts)
        case Or(parts):
            return " or ".join(_inside(part, And) for part in parts)
        case Not(part):
            return _negated(part)
        case _:
            return _leaf(filter)


def _inside(part: Filter, in_brackets: type[And] | type[Or]) -> str:
    return f"({in_words(part)})" if isinstance(part, in_brackets) else in_words(part)


def _leaf(leaf: Leaf) -> str:
    match leaf:
        case LabelIs(field, (word,)) if field in YES_NO:
            return f"a {field}" if word == "yes" else f"no {field}"
        case LabelIs(field, values):
            return f"{_spaced(field)} is {_some(values)}"
        case ScoreCompare(name, op, number):
            return f"{SCORES[name]} {NUMBERS[op]} {_number(number)}"
        case NumberCompare(field, op, number):
            return f"{field} {NUMBERS[op]} {_number(number)}"
        case NumberIn(field, values):
            return f"{field} {_some(values)}"
        case TextIn(field, values):
            return f"{field} {_some([quoted(value) for value in values])}"
        case PathStarts(prefix):
            return f"path starts with {quoted(prefix)}"
        case TimeCompare(op, moment):
            return f"{leaf.kind} {TIMES[op]} {moment.replace(tzinfo=None).isoformat(sep=' ')} UTC"
        case _:
            assert_never(leaf)


def _negated(part: Filter) -> str:
    """The opposite of a part. What may be unknown says that the unknown ones are meant too."""
    match part:
        case LabelIs(field, (word,)) if field in YES_NO:
            return f"no {field}" if word == "yes" else f"a {field}"
        case LabelIs(field, values):
            return f"{_spaced(field)} is not {_some(values)}"
        case NumberIn(field, values):
            return f"{field} not {_some(values)} (or unknown)"
        case TextIn(field, values):
            return f"{field} not {_some([quoted(value) for value in values])}"
        case PathStarts(prefix):
            return f"path does not start with {quoted(prefix)}"
        case ScoreCompare(name, op, number) if op in OPPOSITE:
            return _leaf(ScoreCompare(name, OPPOSITE[op], number))
        case NumberCompare(field, op, number) if op in OPPOSITE:
            return f"{_leaf(NumberCompare(field, OPPOSITE[op], number))} (or unknown)"
        case TimeCompare(op, moment) if op in OPPOSITE:
            opposite = _leaf(type(part)(OPPOSITE[op], moment))
            return f"{opposite} (or unknown)" if isinstance(part, TakenCompare) else opposite
        case _:
            return f"not ({in_words(part)})"


def _number(number: float) -> str:
    return repr(number).removesuffix(".0")


def _some(values: Sequence[object]) -> str:
    more = len(values) - MOST
    return listed(values) if more <= 0 else listed([*values[:MOST], f"{more:,} more"])


def _spaced(field: str) -> str:
    return field.replace("_color", " colour").replace("_", " ")


def _score_words() -> dict[str, str]:
    """The 56 names in words: `gender-2` is "gender female score", `upred-1` "no ... score"."""
    words: dict[str, str] = {}
    for field in FIELDS:
        for word, name in field.values.items():
            if field.name in YES_NO:
                words[name] = f"{field.name if word == 'yes' else f'no {field.name}'} score"
            else:
                words[name] = f"{_spaced(field.name)} {word} score"
            if field.may_be_unknown:
                words[name[:-1] + "1"] = f"{_spaced(field.name)} not {word} score"
    return words


SCORES = _score_words()
