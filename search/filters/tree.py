"""A filter as a small tree: frozen, validated at birth, stored as JSON.

Two-valued logic: a comparison with something unknown (a null camera, pid, quality or time) is
false, and `Not` of it is true. `!=` and `not in` have no nodes of their own: they are `Not` of `=`
and `in`, so `camera != 3` keeps the images whose camera is unknown.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

from search.filters.errors import BadFilter
from search.filters.fields import listed, shown
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
from search.filters.node import Node
from search.filters.values import moment

MAX_DEPTH = 50
MAX_CONDITIONS = 1_000


@dataclass(frozen=True)
class And(Node):
    """All of two parts or more. An `And` among them is taken apart: `(a and b) and c` is one."""

    kind = "and"
    parts: "tuple[Filter, ...]"

    def __post_init__(self) -> None:
        self._set(parts=_joined(self.kind, And, self.parts))
        _check_size(self)


@dataclass(frozen=True)
class Or(Node):
    """Any of two parts or more. An `Or` among them is taken apart."""

    kind = "or"
    parts: "tuple[Filter, ...]"

    def __post_init__(self) -> None:
        self._set(parts=_joined(self.kind, Or, self.parts))
        _check_size(self)


@dataclass(frozen=True)
class Not(Node):
    kind = "not"
    part: "Filter"

    def __post_init__(self) -> None:
        _check_size(self)


Leaf = LabelIs | ScoreCompare | NumberCompare | NumberIn | TextIn | PathStarts | TimeCompare
Filter = And | Or | Not | Leaf

CLASSES: dict[str, type[Filter]] = {
    cls.kind: cls
    for cls in (
        And, Or, Not,
        LabelIs, ScoreCompare, NumberCompare, NumberIn, TextIn, PathStarts, TimeCompare,
        TakenCompare,
    )
}  # fmt: skip


def children(node: Filter) -> "tuple[Filter, ...]":
    """The parts of a node, none for a leaf."""
    if isinstance(node, And | Or):
        return node.parts
    return (node.part,) if isinstance(node, Not) else ()


def leaves(node: Filter) -> Iterator[Leaf]:
    """Every single condition, from left to right."""
    if isinstance(node, And | Or | Not):
        for part in children(node):
            yield from leaves(part)
    else:
        yield node


def depth(node: Filter) -> int:
    """How many nodes stand above each other: 1 for a leaf."""
    return 1 + max((depth(part) for part in children(node)), default=0)


def _joined(kind: str, cls: type[And | Or], parts: "Sequence[Filter]") -> "tuple[Filter, ...]":
    flat: list[Filter] = []
    for part in parts:
        flat.extend(children(part) if isinstance(part, cls) else [part])
    if len(flat) < 2:
        raise BadFilter(f"{kind!r} joins two conditions or more")
    return tuple(flat)


def _check_size(node: Filter) -> None:
    if depth(node) > MAX_DEPTH:
        raise BadFilter(f"the filter is nested deeper than {MAX_DEPTH}")
    if sum(1 for _ in leaves(node)) > MAX_CONDITIONS:
        raise BadFilter(f"the filter has more than {MAX_CONDITIONS:,} conditions")


def from_json(value: object) -> Filter:
    """The filter that `to_json` wrote; `BadFilter` for anything else."""
    return _read(value, MAX_DEPTH)


def _read(value: object, levels: int) -> Filter:
    if levels == 0:
        raise BadFilter(f"the filter is nested deeper than {MAX_DEPTH}")
    if not isinstance(value, dict):
        raise BadFilter(f"a stored condition is an object with a 'kind', not {shown(value)}")
    cls = CLASSES.get(kind) if isinstance(kind := value.get("kind"), str) else None
    if cls is None:
        raise BadFilter(f"the 'kind' of a condition is {listed(list(CLASSES))}, not {shown(kind)}")
    names = [field.name for field in fields(cls)]
    if set(value) != {"kind", *names}:
        raise BadFilter(f"a condition of kind {kind!r} has the keys {listed(names, 'and')}")
    given: dict[str, Any] = {name: value[name] for name in names}
    for name in ("parts", "values"):
        if name in given:
            if not isinstance(given[name], list):
                raise BadFilter(f"{name!r} is a list, not {shown(given[name])}")
            given[name] = tuple(given[name])
    if "parts" in given:
        given["parts"] = tuple(_read(part, levels - 1) for part in given["parts"])
    if "part" in given:
        given["part"] = _read(given["part"], levels - 1)
    if "moment" in given:
        given["moment"] = moment(cls.kind, given["moment"])
    return cls(**given)
