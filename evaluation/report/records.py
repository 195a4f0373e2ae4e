"""What a report is made of: figures beside what guessing gives, drawings, tables, strips."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """Rates in [0, 1], one for each column of the report, beside what `guessing` gives, said in
    words. A rate is None where it is not defined."""

    name: str
    values: Sequence[float | None]
    guess: float | None
    guessing: str


@dataclass(frozen=True)
class Drawing:
    """A plot as PNG bytes, for light and for dark paper. `alt` says what it shows in words, for
    those who do not see it; `file` is its name in the report's folder. A wide one takes a row."""

    file: str
    title: str
    alt: str
    caption: str
    light: bytes
    dark: bytes
    wide: bool = False


@dataclass(frozen=True)
class Table:
    """A table whose first column is names. `shades` gives a cell's tint from 0 to 9, by row and
    column after the first, where the table is a confusion."""

    title: str
    note: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    shades: Sequence[Sequence[int]] = ()


@dataclass(frozen=True)
class Strip:
    """One query with the head of its list, as JPEG bytes."""

    caption: str
    alt: str
    jpeg: bytes


@dataclass(frozen=True)
class StripSet:
    """Several strips under one title; `png` holds them all, for the file of that name."""

    file: str
    title: str
    strips: Sequence[Strip]
    png: bytes


@dataclass(frozen=True)
class Report:
    """A whole report. `kind` names the command that wrote it, `columns` what its figures are of,
    such as "the model"; `command` measures it again, `measured` is when this was done."""

    kind: str
    title: str
    facts: Sequence[str]
    warnings: Sequence[str]
    columns: Sequence[str]
    figures: Sequence[Figure]
    drawings: Sequence[Drawing]
    tables: Sequence[Table]
    strip_sets: Sequence[StripSet]
    command: str
    measured: str
