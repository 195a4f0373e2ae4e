"""Hypothesis strategies for filters: `trees()`, over values that rows may also hold."""

from datetime import UTC, datetime

from hypothesis import strategies as st

from search.filters.leaves import (
    COMPARISONS,
    ORDERS,
    LabelIs,
    NumberCompare,
    NumberIn,
    PathStarts,
    ScoreCompare,
    TakenCompare,
    TextIn,
    TimeCompare,
)
from search.filters.tree import And, Filter, Not, Or
from vocabulary import FIELDS, NAMES

# 1e-60 is zero as float4, 1e-45 its smallest number, 0.8 one that float4 and float8 round apart
SCORES = (0.0, 1e-60, 1e-45, 0.1, 0.5, 0.8, 0.30000001192092896, 1.0)
CAMERAS = (-32768, -1, 0, 1, 3, 6, 32767)
PIDS = (-(2**31), -1, 0, 1, 7, 1501, 2**31 - 1)
COLLECTIONS = ("gallery", "Gallery", "it's", 'with "marks"', "a%b", "new\nline")
PATHS = (
    "cam3/0001.jpg", "cam3/0002.jpg", "CAM3/0001.jpg", "cam%/a_b.jpg", "cam_/a%b.jpg",
    "cam\\3/x.jpg", "cam3", "日本/é.jpg", "it's \"x\".jpg",
)  # fmt: skip
TIMES = tuple(datetime(2026, 11, day, 12, 30, 0, day, tzinfo=UTC) for day in (1, 2, 3))

texts = st.text(min_size=1, max_size=8).filter(
    lambda text: "\0" not in text and text.isprintable() and not text.endswith("/")
)
prefixes = st.builds(lambda path, end: path[: end + 1], st.sampled_from(PATHS), st.integers(0, 12))
moments = st.sampled_from(TIMES) | st.datetimes(
    min_value=datetime(1900, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC)
)


def _some(*values: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(st.one_of(*values), min_size=1, max_size=4).map(tuple)


def _numbers(field: str, known: tuple[int, ...], bits: int) -> st.SearchStrategy[Filter]:
    number = st.sampled_from(known) | st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return st.one_of(
        st.builds(NumberCompare, st.just(field), st.sampled_from(ORDERS), number),
        st.builds(NumberIn, st.just(field), _some(number)),
    )


def leaves() -> st.SearchStrategy[Filter]:
    words = [
        st.builds(LabelIs, st.just(field.name), _some(st.sampled_from(field.words)))
        for field in FIELDS
    ]
    scores = st.sampled_from(SCORES) | st.floats(0, 1)
    compared = st.sampled_from(COMPARISONS)
    return st.one_of(
        st.one_of(words),
        st.builds(ScoreCompare, st.sampled_from(NAMES), compared, scores),
        st.builds(NumberCompare, st.just("quality"), compared, scores | st.floats(-3e38, 3e38)),
        _numbers("camera", CAMERAS, 16),
        _numbers("pid", PIDS, 32),
        st.builds(TextIn, st.just("collection"), _some(st.sampled_from(COLLECTIONS), texts)),
        st.builds(TextIn, st.just("path"), _some(st.sampled_from(PATHS), texts)),
        st.builds(PathStarts, prefixes | texts),
        st.builds(TimeCompare, compared, moments),
        st.builds(TakenCompare, compared, moments),
    )


def trees() -> st.SearchStrategy[Filter]:
    """Any filter of up to about a dozen conditions."""

    def joined(parts: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
        several = st.lists(parts, min_size=2, max_size=3).map(tuple)
        return st.one_of(st.builds(And, several), st.builds(Or, several), st.builds(Not, parts))

    return st.recursive(leaves(), joined, max_leaves=12)
