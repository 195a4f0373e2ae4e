"""The attributes as boxes to tick: another view of the filter text.

A ticked box is a condition that stands alone or is joined with `and` at the top of the filter:
`gender = female and upper_color in (red, white)` shows three. Everything else - `or`, `not`,
scores, cameras - is in the text alone, and ticking leaves it as it is.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from search.facets import Counts, joined, parts_of, take_apart
from search.filters.leaves import LabelIs
from search.filters.parse import parse
from search.filters.text import to_text
from search.filters.tree import Filter
from vocabulary import FIELD_BY_NAME, FIELDS


@dataclass(frozen=True)
class Box:
    """`value` is what the form sends: `"gender:female"`. `count` images have it and pass the rest
    of the filter; None where nobody has counted. `swatch` is a colour's name, else empty."""

    value: str
    word: str
    ticked: bool
    count: int | None = None
    swatch: str = ""


@dataclass(frozen=True)
class Facet:
    """A field with its boxes."""

    name: str
    label: str
    boxes: tuple[Box, ...]


def facets(ticked: Iterable[str], counts: Counts | None = None) -> list[Facet]:
    """All 12 fields, with the boxes that are ticked."""
    chosen = set(ticked)
    return [
        Facet(
            field.name,
            label_of(field.name),
            tuple(
                Box(
                    value,
                    word,
                    value in chosen,
                    counts[field.name][word] if counts else None,
                    word if field.may_be_unknown else "",
                )
                for word in field.words
                for value in [f"{field.name}:{word}"]
            ),
        )
        for field in FIELDS
    ]


def label_of(field: str) -> str:
    """The name of an attribute as people read it: `"upper colour"`."""
    return field.replace("_color", " colour").replace("_", " ")


def filter_of(where: str) -> Filter | None:
    """The filter that a text means, None for an empty one. Raises BadFilter."""
    return parse(where) if where.strip() else None


def ticked_in(where: str) -> frozenset[str]:
    """The boxes that a filter text ticks. Raises BadFilter."""
    shown = take_apart(filter_of(where)).shown.values()
    return frozenset(f"{leaf.field}:{word}" for leaf in shown for word in leaf.values)


def by_hand(where: str) -> str:
    """The part of a filter text that no box can show, empty where there is none. Raises BadFilter.

    >>> by_hand("hat and (gender = male or camera = 3)")
    'gender = male or camera = 3'
    """
    rest = take_apart(filter_of(where)).rest_filter
    return "" if rest is None else to_text(rest)


def with_ticks(where: str, before: Iterable[str], after: Iterable[str]) -> str:
    """The filter text with the boxes changed from `before` to `after`; it stays as it was written
    where nothing changed. Raises BadFilter."""
    known = {f"{field.name}:{word}" for field in FIELDS for word in field.words}
    old, new = known.intersection(before), known.intersection(after)
    if old == new:
        return where
    parts = parts_of(filter_of(where))
    for name in dict.fromkeys(value.partition(":")[0] for value in sorted(old ^ new)):
        parts = _changed(parts, name, _words(old - new, name), _words(new - old, name))
    filter = joined(parts)
    return "" if filter is None else to_text(filter)


def _words(values: Iterable[str], name: str) -> set[str]:
    return {word for field, _, word in (v.partition(":") for v in values) if field == name}


def _changed(parts: list[Filter], name: str, gone: set[str], come: set[str]) -> list[Filter]:
    """The parts with one field's condition widened, narrowed, added or dropped."""
    now = take_apart(joined(parts)).shown.get(name)
    kept = (set(now.values) if now else set()) - gone | come
    words = tuple(word for word in FIELD_BY_NAME[name].words if word in kept)
    wanted: list[Filter] = [LabelIs(name, words)] if words else []
    if now is None:
        return parts + wanted
    at = parts.index(now)
    return parts[:at] + wanted + parts[at + 1 :]
