"""One rule for times: what is printed can be typed back, wherever a time is read."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from commands.output import _cell
from db.audit_log import BadMoment, moment
from images.facts_file import BadManifest, read_facts
from moments import moment_of, printed
from search.filters.errors import BadFilter
from search.filters.leaves import TakenCompare
from search.filters.parse import parse
from search.filters.text import to_text
from search.filters.words import in_words
from web.render import _moment

NOON = datetime(2026, 11, 1, 12, 30, tzinfo=UTC)
ELSEWHERE = NOON.astimezone(timezone(timedelta(hours=-5)))
SPELLINGS = [
    "2026-11-01T12:30:00Z", "2026-11-01 12:30:00Z", "2026-11-01T12:30", "2026-11-01 12:30",
    "2026-11-01T12:30:00+00:00", "2026-11-01T13:30+01:00", "2026-11-01T07:30:00-05:00",
    "2026-11-01t12:30z", "2026-11-01 12:30:00 UTC", "2026-11-01T12:30:00.000000",
]  # fmt: skip
NONE = ["yesterday", "2026-13-01", "2026-W01-1", "20261101", "1700000000", "2026-11-01T25:00", ""]


def typed_into_a_manifest(text: str, folder: Path) -> datetime | None:
    table = folder / "facts.csv"
    table.write_text(f"path,time\na.jpg,{text}\n", encoding="utf-8")
    return read_facts(table)["a.jpg"].time


def typed_into_a_filter(text: str) -> datetime:
    found = parse(f"taken >= {text}")
    assert isinstance(found, TakenCompare)
    return found.moment


@pytest.mark.parametrize("text", SPELLINGS)
def test_each_reader_reads_the_same(text: str, tmp_path: Path) -> None:
    assert moment_of(text) == NOON
    assert moment(text) == NOON
    assert typed_into_a_filter(text) == NOON
    assert typed_into_a_manifest(text, tmp_path) == NOON


@pytest.mark.parametrize("text", NONE)
def test_each_reader_refuses_the_same(text: str, tmp_path: Path) -> None:
    assert moment_of(text) is None
    with pytest.raises(BadMoment):
        moment(text)
    with pytest.raises(BadFilter):
        parse(f'taken >= "{text}"')
    if text:
        with pytest.raises(BadManifest):
            typed_into_a_manifest(text, tmp_path)


@pytest.mark.parametrize("given", [NOON, ELSEWHERE])
def test_what_is_printed_can_be_typed_back(given: datetime, tmp_path: Path) -> None:
    """As a column of a table, on the page, in a filter's text and in its words."""
    assert printed(given) == _cell(given) == "2026-11-01T12:30:00Z"
    assert _moment(given) == "2026-11-01 12:30Z"
    asked = parse(f"taken >= {printed(given)}")
    words = in_words(asked)
    assert words == "taken from 2026-11-01 12:30:00 UTC"
    for text in (
        _cell(given),
        _moment(given),
        given.isoformat(),
        words.removeprefix("taken from "),
    ):
        assert moment(text) == typed_into_a_filter(text) == given
        assert typed_into_a_manifest(text, tmp_path) == given
    assert parse(to_text(asked)) == asked


def test_the_zone_of_this_machine_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        assert moment("2026-11-01T12:30") == NOON
        assert moment("2026-11-01") == NOON.replace(hour=0, minute=0)
        assert _cell(NOON) == "2026-11-01T12:30:00Z"
    finally:
        monkeypatch.undo()
        time.tzset()
