"""The single conditions of a filter: frozen, validated at birth, written as JSON.

A comparison with something unknown (a null camera, pid, quality or time) is false.
"""

from dataclasses import dataclass
from datetime import datetime

from search.filters import values as check
from search.filters.errors import BadFilter
from search.filters.fields import kind_of
from search.filters.node import Node, check_op, distinct

ORDERS = ("<", "<=", ">", ">=")
COMPARISONS = ("=", *ORDERS)


@dataclass(frozen=True)
class LabelIs(Node):
    """The decided value of an attribute field is one of `values`."""

    kind = "label"
    field: str
    values: tuple[str, ...]

    def __post_init__(self) -> None:
        check.of_kind(self.field, "label")
        self._set(values=distinct(check.label(self.field, word) for word in self.values))


@dataclass(frozen=True)
class ScoreCompare(Node):
    """The score of one of the 56 names against a number in [0, 1], compared as float4."""

    kind = "score"
    name: str
    op: str
    number: float

    def __post_init__(self) -> None:
        check.of_kind(self.name, "score")
        check_op(self.op, COMPARISONS)
        self._set(number=check.probability(self.name, self.number))


@dataclass(frozen=True)
class NumberCompare(Node):
    """`camera`, `pid` or `quality` against a number; quality as float4. Unknown is false.

    `=` is for quality; an equal camera or pid is `NumberIn` with one value.
    """

    kind = "number"
    field: str
    op: str
    number: float

    def __post_init__(self) -> None:
        if kind_of(check.of_kind(self.field, "int", "real")) == "int":
            check_op(self.op, ORDERS)
            check.whole(self.field, self.number)
        else:
            check_op(self.op, COMPARISONS)
            self._set(number=check.finite(self.field, self.number))


@dataclass(frozen=True)
class NumberIn(Node):
    """`camera` or `pid` is one of `values`. Unknown is false."""

    kind = "number_in"
    field: str
    values: tuple[int, ...]

    def __post_init__(self) -> None:
        check.of_kind(self.field, "int")
        self._set(values=distinct(check.whole(self.field, number) for number in self.values))


@dataclass(frozen=True)
class TextIn(Node):
    """`collection` or `path` is one of `values`, whole and exactly, case and all."""

    kind = "text"
    field: str
    values: tuple[str, ...]

    def __post_init__(self) -> None:
        check.of_kind(self.field, "text", "path")
        self._set(values=distinct(check.text(self.field, value) for value in self.values))
        folder = next((value for value in self.values if value.endswith("/")), None)
        if self.field == "path" and folder:
            raise BadFilter(f"a path in a list is a whole path; {folder!r} is a folder")


@dataclass(frozen=True)
class PathStarts(Node):
    """The path starts with `prefix`, exactly: `%`, `_` and `\\` mean themselves."""

    kind = "path"
    prefix: str

    def __post_init__(self) -> None:
        check.text("path", self.prefix)


@dataclass(frozen=True)
class TimeCompare(Node):
    """The moment of ingest against `moment`, kept in UTC."""

    kind = "ingested"
    op: str
    moment: datetime

    def __post_init__(self) -> None:
        check_op(self.op, COMPARISONS)
        self._set(moment=check.instant(self.kind, self.moment))


@dataclass(frozen=True)
class TakenCompare(TimeCompare):
    """The moment at which the image was taken, where it is known, in the same way."""

    kind = "taken"
