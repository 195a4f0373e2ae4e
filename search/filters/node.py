"""What the nodes of a filter's tree share."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, ClassVar, TypeVar

from search.filters.errors import BadFilter
from search.filters.fields import listed, shown

MAX_VALUES = 1_000

T = TypeVar("T")


@dataclass(frozen=True)
class Node:
    """What all nodes share. `kind` names the node in JSON, its fields are the other keys."""

    kind: ClassVar[str]

    def to_json(self) -> dict[str, Any]:
        """The node as JSON values; `search.filters.tree.from_json` reads it back."""
        return {"kind": self.kind} | {f.name: _plain(getattr(self, f.name)) for f in fields(self)}

    def _set(self, **values: object) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Node):
        return value.to_json()
    return value.isoformat() if isinstance(value, datetime) else value


def check_op(op: object, known: tuple[str, ...]) -> None:
    if op not in known:
        raise BadFilter(f"expected one of {listed(known)}, got {shown(op)}")


def distinct(values: Iterable[T]) -> tuple[T, ...]:
    """Each value once, in the order given; none at all or too many are refused."""
    kept = tuple(dict.fromkeys(values))
    if not kept:
        raise BadFilter("'in' needs one value or more")
    if len(kept) > MAX_VALUES:
        raise BadFilter(f"'in' takes at most {MAX_VALUES:,} values, got {len(kept):,}")
    return kept
