"""Points in time as people read and write them: ISO 8601 with a zone; without one they are in UTC.

Whatever is printed can be typed back: into `--since`, a filter or a manifest.
"""

import re
from datetime import UTC, datetime

DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
DATE_TIME = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z| ?UTC|[+-]\d\d(:?\d\d)?)?",
    re.ASCII | re.IGNORECASE,
)


def moment_of(text: str) -> datetime | None:
    """The moment in UTC that a date (its midnight) or a date-time names; None for what is none.

    >>> moment_of("2026-11-01T08:30+01:00"), moment_of("2026-11-01"), moment_of("today")
    (datetime.datetime(2026, 11, 1, 7, 30, tzinfo=datetime.timezone.utc), \
datetime.datetime(2026, 11, 1, 0, 0, tzinfo=datetime.timezone.utc), None)
    """
    found = as_written(text)
    try:
        return None if found is None else in_utc(found)
    except OverflowError:
        return None


def as_written(text: str) -> datetime | None:
    """The same with the zone that the text names, if any; None for what is no day or time."""
    if not (DAY.fullmatch(text) or DATE_TIME.fullmatch(text)):
        return None
    try:
        return datetime.fromisoformat(re.sub(r" ?UTC$", "Z", text.upper()))
    except ValueError:
        return None


def in_utc(moment: datetime) -> datetime:
    """The same moment in UTC, in which it is taken to be where it has no zone. Raises
    OverflowError outside the calendar."""
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def printed(moment: datetime) -> str:
    """A moment to the second, as `moment_of` reads it, and without a space.

    >>> printed(datetime(2026, 11, 1, 8, 30, tzinfo=UTC))
    '2026-11-01T08:30:00Z'
    """
    return in_utc(moment).strftime("%Y-%m-%dT%H:%M:%SZ")
