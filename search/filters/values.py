"""What a field may be compared with: a check gives the value as the tree keeps it, or refuses."""

import math
import struct
from datetime import datetime

from errors import did_you_mean
from moments import as_written, in_utc
from search.filters.errors import BadFilter
from search.filters.fields import INT_RANGES, Kind, kind_of, listed, shown
from vocabulary import FIELD_BY_NAME


def of_kind(name: object, *kinds: Kind) -> str:
    """The name, where it is a field of one of these kinds."""
    if not isinstance(name, str) or kind_of(name) not in kinds:
        raise BadFilter(f"expected a field of kind {listed(kinds)}, got {shown(name)}")
    return name


def label(field: str, word: object) -> str:
    """A value of an attribute field, in lower case."""
    words = list(FIELD_BY_NAME[field].words)
    lower = word.lower() if isinstance(word, str) else ""
    if lower in words:
        return lower
    raise BadFilter(f"{field} is {listed(words)}, not {shown(word)}{did_you_mean(lower, words)}")


def finite(field: str, number: object) -> float:
    """A number that float4, the type of scores and quality, can hold."""
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise BadFilter(f"{field} is compared with a number, not {shown(number)}")
    try:
        if math.isfinite(as_real(float(number))):
            return float(number) + 0.0  # -0.0 becomes 0.0: they are equal and should read equal
    except OverflowError:
        pass
    raise BadFilter(f"{field} is compared with a finite number, not {shown(number)}")


def probability(name: str, number: object) -> float:
    value = finite(name, number)
    if not 0 <= value <= 1:
        raise BadFilter(
            f"the score {name} is compared with a number from 0 to 1, not {shown(number)}"
        )
    return value


def whole(field: str, number: object) -> int:
    low, high = INT_RANGES[field]
    if isinstance(number, bool) or not isinstance(number, int) or not low <= number <= high:
        raise BadFilter(f"{field} takes whole numbers from {low} to {high}, not {shown(number)}")
    return number


def text(field: str, value: object) -> str:
    """Text that Postgres can hold: not empty, no NUL, no half of a surrogate pair."""
    if not isinstance(value, str) or not value:
        raise BadFilter(f"{field} is compared with a text that is not empty")
    if "\0" in value or any("\ud800" <= char <= "\udfff" for char in value):
        raise BadFilter(f"{field} is compared with a text that the database cannot hold")
    return value


def instant(field: str, value: object) -> datetime:
    """A moment in UTC; without a zone it is taken to be UTC."""
    if not isinstance(value, datetime):
        raise BadFilter(f"{field} is compared with a date or date-time, such as 2026-11-01")
    try:
        return in_utc(value)
    except OverflowError:
        raise BadFilter(f"the time {value.isoformat()} is outside the calendar") from None


def moment(field: str, value: object) -> datetime:
    """The instant that an ISO date (its midnight) or date-time names."""
    if isinstance(value, str) and (found := as_written(value)):
        return instant(field, found)
    raise BadFilter(
        f"{field} is compared with a date or date-time, such as 2026-11-01 or 2026-11-01T08:30,"
        f" not {shown(value)}"
    )


def as_real(number: float) -> float:
    """The float4 nearest to a number: what a `real` column holds once the number is stored there.

    Postgres' own cast refuses a number that rounds to zero; this one gives zero.
    """
    (value,) = struct.unpack("f", struct.pack("f", number))
    return float(value)
