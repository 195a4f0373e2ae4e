"""The attributes as boxes to tick: another view of the filter text.

A ticked box is a condition that stands alone or is joined with `and` at the top of the filter:
`gender = female and upper_color in (red, white)` shows three. Everything else - `or`, `not`,
scores, cameras - is in the text alone, and ticking leaves it as it is.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from db.attributes import FIELD_BY_NAME, FIELDS
from search.filters.leaves import LabelIs
from search.filters.parse import parse
from search.filters.text import to_text
from search.filters.tree import And, Filter


@dataclass(frozen=True)
class Box:
    """`value` is what the form sends: `"gender:female"`."""

    value: str
    word: str
    ticked: bool


@dataclass(frozen=True)
class Facet:
    """A field with its boxes. `some` is True where one of them is ticked."""

    label: str
    boxes: tuple[Box, ...]

    @property
    def some(self) -> bool:
        return any(box.ticked for box in self.boxes)


def facets(ticked: Iterable[str]) -> list[Facet]:
    """All 12 fields, with the boxes that are ticked."""
    chosen = set(ticked)
    return [
        Facet(
            field.name.replace("_color", " colour").replace("_", " "),
            tuple(
                Box(value, word, value in chosen)
                for word in field.words
                for value in [f"{field.name}:{word}"]
            ),
        )
        for field in FIELDS
    ]


def ticked_in(where: str) -> frozenset[str]:
    """The boxes that a filter text ticks. Raises BadFilter."""
    shown = _shown(_parts(where))
    return frozenset(f"{leaf.field}:{word}" for leaf in shown for word in leaf.values)


def with_ticks(where: str, before: Iterable[str], after: Iterable[str]) -> str:
    """The filter text with the boxes changed from `before` to `after`; it stays as it was written
    where nothing changed. Raises BadFilter."""
    known = {f"{field.name}:{word}" for field in FIELDS for word in field.words}
    old, new = known.intersection(before), known.intersection(after)
    if old == new:
        return where
    parts = _parts(where)
    for name in dict.fromkeys(value.partition(":")[0] for value in sorted(old ^ new)):
        parts = _changed(parts, name, _words(old - new, name), _words(new - old, name))
    if not parts:
        return ""
    return to_text(parts[0] if len(parts) == 1 else And(tuple(parts)))


def _parts(where: str) -> list[Filter]:
    if not where.strip():
        return []
    tree = parse(where)
    return list(tree.parts) if isinstance(tree, And) else [tree]


def _shown(parts: Iterable[Filter]) -> list[LabelIs]:
    """A field that two conditions speak of cannot be shown by boxes."""
    leaves = [part for part in parts if isinstance(part, LabelIs)]
    fields = [leaf.field for leaf in leaves]
    return [leaf for leaf in leaves if fields.count(leaf.field) == 1]


def _words(values: Iterable[str], name: str) -> set[str]:
    return {word for field, _, word in (v.partition(":") for v in values) if field == name}


def _changed(parts: list[Filter], name: str, gone: set[str], come: set[str]) -> list[Filter]:
    """The parts with one field's condition widened, narrowed, added or dropped."""
    now = next((leaf for leaf in _shown(parts) if leaf.field == name), None)
    kept = (set(now.values) if now else set()) - gone | come
    words = tuple(word for word in FIELD_BY_NAME[name].words if word in kept)
    wanted: list[Filter] = [LabelIs(name, words)] if words else []
    if now is None:
        return parts + wanted
    at = parts.index(now)
    return parts[:at] + wanted + parts[at + 1 :]
