"""The annotation file: 27 columns a person, keyed by `id`."""

import csv
import io
from pathlib import Path

from errors import UsageError
from files import read_text
from vocabulary import COLUMNS, NUM_VALUES

UNKNOWN = 0  # the value of an empty cell: nobody knows


class BadAnnotations(UsageError):
    """The annotation file cannot be used; the message says which line and why."""


def read_annotations(path: Path) -> dict[str, tuple[int, ...]]:
    """`id` to its 27 values in the order of `COLUMNS`, each from 1; `UNKNOWN` where the cell is
    empty.

    An id is kept as the file writes it (a number for a person, a file name for an image).
    Raises BadAnnotations for a missing file, column or id, a repeated id or a value out of range.
    """
    try:
        with io.StringIO(read_text(path, BadAnnotations), newline="") as file:
            reader = csv.DictReader(file)
            missing = {"id", *COLUMNS} - set(reader.fieldnames or ())
            if missing:
                raise BadAnnotations(f"{path}: the header lacks {', '.join(sorted(missing))}")
            found: dict[str, tuple[int, ...]] = {}
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                if not row["id"]:
                    raise BadAnnotations(f"{where}: the id is missing")
                if row["id"] in found:
                    raise BadAnnotations(f"{where}: id {row['id']} occurs twice")
                found[row["id"]] = tuple(_value(row[c], c, where) for c in COLUMNS)
            return found
    except FileNotFoundError:
        raise BadAnnotations(
            f"no annotation file {path}: expected a CSV with a column id and 27 attribute columns"
        ) from None
    except csv.Error as error:
        raise BadAnnotations(f"{path} is no CSV file: {error}") from None
    except OSError as error:
        raise BadAnnotations(f"cannot read {path}: {error.strerror}") from None


def _value(text: str | None, column: str, where: str) -> int:
    highest = NUM_VALUES[column]
    if text is not None and not text.strip():
        return UNKNOWN
    if text is None or not text.isdecimal() or not 1 <= int(text) <= highest:
        raise BadAnnotations(f"{where}: {column} is {text!r}, expected 1 to {highest}, or nothing")
    return int(text)
