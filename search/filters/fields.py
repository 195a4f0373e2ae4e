"""The fields a filter may name, and the values each takes. Nothing else reaches a statement.

| kind | fields | compared |
|---|---|---|
| label | the 12 of `vocabulary.FIELDS` | with their words, on the decided labels |
| score | the 56 of `vocabulary.NAMES` | with a number in [0, 1] |
| real | quality | with a number; may be unknown |
| int | camera, pid, person | with whole numbers; may be unknown |
| text | collection | with a name, case and all |
| path | path | whole, or by how it starts |
| time | ingested, taken | with an ISO date or date-time, UTC where no zone is given; taken may be
unknown |
"""

from collections.abc import Sequence
from typing import Literal

from errors import did_you_mean
from search.filters.errors import BadFilter
from vocabulary import FIELD_BY_NAME, FIELDS, LABEL_OF, NAMES

Kind = Literal["label", "score", "real", "int", "text", "path", "time"]

INT_RANGES = {
    "camera": (-(2**15), 2**15 - 1),
    "pid": (-(2**31), 2**31 - 1),
    "person": (0, 2**63 - 1),
}
OTHERS: dict[str, Kind] = {
    "quality": "real", "camera": "int", "pid": "int", "person": "int",
    "collection": "text", "path": "path", "ingested": "time", "taken": "time",
}  # fmt: skip
FIELD_NAMES = (*FIELD_BY_NAME, *OTHERS)
YES_NO = tuple(field.name for field in FIELDS if set(field.values) == {"no", "yes"})


def listed(words: Sequence[object], last: str = "or") -> str:
    """`"a, b or c"`."""
    *head, tail = [str(word) for word in words]
    return f"{', '.join(head)} {last} {tail}" if head else tail


def shown(value: object) -> str:
    """A value as a message names it: a scalar, cut at 40 characters, or else its type."""
    if not isinstance(value, str | float | bool | None) and not (
        isinstance(value, int) and abs(value) < 10**30
    ):
        return f"a value of type {type(value).__name__}"
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def kind_of(name: str) -> Kind:
    """The kind of a field in lower case; `BadFilter` with the nearest name for any other."""
    if name in FIELD_BY_NAME:
        return "label"
    if name in LABEL_OF:
        return "score"
    if name in OTHERS:
        return OTHERS[name]
    field = next((field for field in FIELDS if name in field.words), None)
    if field and name not in ("yes", "no"):
        raise BadFilter(f"no attribute {name!r}; did you mean '{field.name} = {name}'?")
    near = did_you_mean(name, [*FIELD_NAMES, *NAMES])
    fields = f"; the fields are {listed(FIELD_NAMES, 'and')}"
    raise BadFilter(f"no attribute {shown(name)}{near or fields}")
