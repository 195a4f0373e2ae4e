"""The 27 attribute columns, their 56 names in order, and how scores become decisions.

Source: the 27 columns of the Market-1501 attribute annotations (Lin et al., 2019) as they stand in
`annotations_train.csv`. `age` has four values, the other 26 have two: 26 x 2 + 4 = 56.

A *score* is a probability in [0, 1]. A *label* is the 1-based position, 1 to 56, of a value that
was decided for its column: `labels` holds 27 of them, one a column, in ascending order, and label
`i` belongs to `scores[i]` in SQL, where arrays count from 1. Standard library only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

UPPER_COLORS = ("black", "white", "red", "purple", "yellow", "gray", "blue", "green")
LOWER_COLORS = ("black", "white", "pink", "purple", "yellow", "gray", "blue", "green", "brown")

COLUMNS: tuple[str, ...] = (
    "age", "backpack", "bag", "handbag", "clothes", "down", "up", "hair", "hat", "gender",
    *(f"up{color}" for color in UPPER_COLORS),
    *(f"down{color}" for color in LOWER_COLORS),
)  # fmt: skip

NUM_VALUES: dict[str, int] = {column: 4 if column == "age" else 2 for column in COLUMNS}

NAMES: tuple[str, ...] = tuple(
    f"{column}-{value}" for column in COLUMNS for value in range(1, NUM_VALUES[column] + 1)
)

UPPER_COLUMNS = tuple(f"up{color}" for color in UPPER_COLORS)
LOWER_COLUMNS = tuple(f"down{color}" for color in LOWER_COLORS)


@dataclass(frozen=True)
class Field:
    """A readable attribute: its name in filters and views, and each value's name in `NAMES`.

    `values` maps the word a person reads to one of the 56 names. A colour field may also be
    `unknown`: none of its colours was decided.
    """

    name: str
    values: Mapping[str, str]
    may_be_unknown: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        """Every value that the field can have, `unknown` last where it may be."""
        return (*self.values, "unknown") if self.may_be_unknown else tuple(self.values)


def _yes_no(column: str) -> Field:
    return Field(column, {"no": f"{column}-1", "yes": f"{column}-2"})


FIELDS: tuple[Field, ...] = (
    Field("gender", {"male": "gender-1", "female": "gender-2"}),
    Field("age", {"young": "age-1", "teenager": "age-2", "adult": "age-3", "old": "age-4"}),
    Field("hair", {"short": "hair-1", "long": "hair-2"}),
    Field("sleeve", {"long": "up-1", "short": "up-2"}),
    Field("lower_length", {"long": "down-1", "short": "down-2"}),
    Field("lower_type", {"dress": "clothes-1", "pants": "clothes-2"}),
    _yes_no("hat"),
    _yes_no("backpack"),
    _yes_no("bag"),
    _yes_no("handbag"),
    Field("upper_color", {color: f"up{color}-2" for color in UPPER_COLORS}, may_be_unknown=True),
    Field("lower_color", {color: f"down{color}-2" for color in LOWER_COLORS}, may_be_unknown=True),
)

FIELD_BY_NAME: dict[str, Field] = {field.name: field for field in FIELDS}

# The report's 12 groups are these same 12 fields.
# A crop of less quality is junk for `export reid-test`: part of a person, or nobody at all.
QUALITY_LIMIT = 0.5
LABEL_OF: dict[str, int] = {name: position for position, name in enumerate(NAMES, start=1)}


# of each column, where its scores begin among the 56
_START: dict[str, int] = {column: LABEL_OF[f"{column}-1"] - 1 for column in COLUMNS}


def decide(scores: Sequence[float], cutoffs: Mapping[str, float] | None = None) -> list[int]:
    """The 27 labels, ascending, that 56 scores in [0, 1] decide.

    Age takes its highest score. A binary column takes value 2 where that score is at least its
    cut-off, else value 1; without a cut-off, where it is at least the score of value 1. Of the
    upper and of the lower colours at most one is 2: the highest among those that pass.
    """
    cutoffs = cutoffs or {}
    chosen: dict[str, int] = {}
    for column in COLUMNS:
        start, count = _START[column], NUM_VALUES[column]
        if count == 2:
            limit = cutoffs.get(column, scores[start])
            chosen[column] = 2 if scores[start + 1] >= limit else 1
        else:
            values = scores[start : start + count]
            chosen[column] = 1 + max(range(count), key=values.__getitem__)
    for group in (UPPER_COLUMNS, LOWER_COLUMNS):
        passed = [column for column in group if chosen[column] == 2]
        best = max(passed, key=lambda c: scores[_START[c] + 1], default=None)
        for column in passed:
            chosen[column] = 2 if column == best else 1
    return [_START[column] + chosen[column] for column in COLUMNS]


def describe(labels: Sequence[int]) -> dict[str, str]:
    """The 12 readable fields that 27 labels mean: `{"gender": "female", "hat": "no", ...}`."""
    said = dict.fromkeys(FIELD_BY_NAME, "unknown")
    said.update(_SAID[label] for label in labels if label in _SAID)
    return said


_SAID = {
    LABEL_OF[name]: (field.name, word) for field in FIELDS for word, name in field.values.items()
}


def column_values(labels: Sequence[int]) -> dict[str, int]:
    """The 27 columns as the annotation file writes them: `{"age": 2, "backpack": 1, ...}`."""
    names = (NAMES[label - 1].rsplit("-", 1) for label in labels)
    return {column: int(value) for column, value in names}


def values_in_order(labels: Sequence[int]) -> list[int]:
    """The 27 values of `column_values`, in the order of `COLUMNS`."""
    values = column_values(labels)
    return [values[column] for column in COLUMNS]
