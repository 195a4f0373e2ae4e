"""A filter's other forms: canonical text, JSON and a sentence."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.filters.errors import BadFilter
from search.filters.parse import parse
from search.filters.text import to_text
from search.filters.tree import And, Filter, from_json
from search.filters.words import in_words
from tests.filter_trees import trees


@settings(max_examples=300, deadline=None)
@given(trees())
def test_text_and_json_round_trip(filter: Filter) -> None:
    assert parse(to_text(filter)) == filter
    assert from_json(json.loads(json.dumps(filter.to_json()))) == filter
    assert in_words(filter)


OTHER_KEYS = ("parts", "part", "field", "values", "name", "op", "number", "prefix")

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.fixed_dictionaries(
            {"kind": st.sampled_from(["and", "or", "not", "label", "score", "number", "path"])},
            optional=dict.fromkeys(OTHER_KEYS, inner),
        ),
    ),
    max_leaves=10,
)


@settings(max_examples=300, deadline=None)
@given(json_values)
def test_any_json_gives_a_tree_or_bad_filter(value: Any) -> None:
    with suppress(BadFilter):
        assert from_json(value).to_json()["kind"] == value["kind"]


def test_the_stored_form() -> None:
    filter = parse("hat and not (camera in (1, 2) or ingested < 2026-11-01) and bag >= 0.5")
    assert filter.to_json() == {
        "kind": "and",
        "parts": [
            {"kind": "label", "field": "hat", "values": ["yes"]},
            {
                "kind": "not",
                "part": {
                    "kind": "or",
                    "parts": [
                        {"kind": "number_in", "field": "camera", "values": [1, 2]},
                        {"kind": "ingested", "op": "<", "moment": "2026-11-01T00:00:00+00:00"},
                    ],
                },
            },
            {"kind": "score", "name": "bag-2", "op": ">=", "number": 0.5},
        ],
    }


def test_parts_of_one_kind_are_one() -> None:
    hat, bag, handbag = parse("hat"), parse("bag"), parse("handbag")
    assert And((And((hat, bag)), handbag)) == And((hat, bag, handbag))
    with pytest.raises(BadFilter, match="joins two conditions"):
        And((hat,))


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("HAT = Yes", "hat"),
        ("hat != yes", "not hat"),
        ("not gender = male", "gender != male"),
        ("backpack > .5", "backpack-2 > 0.5"),
        ("path = cam3/", 'path starts with "cam3/"'),
        ("not path starts with x", 'not path starts with "x"'),
        ("collection not in (a, 'b\"c')", 'collection not in ("a", "b""c")'),
        ("(hat or bag) and not (hat and bag)", "(hat or bag) and not (hat and bag)"),
        ("ingested < 2026-11-01", "ingested < 2026-11-01T00:00:00+00:00"),
        ("taken < 2026-11-01", "taken < 2026-11-01T00:00:00+00:00"),
    ],
)
def test_canonical_text(text: str, canonical: str) -> None:
    assert to_text(parse(text)) == canonical


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "gender = female and upper_color in (red, white) and backpack >= 0.8"
            " and not hat and camera = 3",
            "gender is female, upper colour is red or white, backpack score at least 0.8,"
            " no hat, camera 3",
        ),
        ("hat = no or not bag", "no hat or no bag"),
        ("hat and (bag or handbag)", "a hat, (a bag or a handbag)"),
        ("hat or bag and handbag", "a hat or (a bag, a handbag)"),
        ("not (hat or bag)", "not (a hat or a bag)"),
        ("not hat = no", "a hat"),
        ("lower_color not in (pink, blue)", "lower colour is not pink or blue"),
        ("lower_type = dress", "lower type is dress"),
        ("gender-2 < 0.25", "gender female score below 0.25"),
        ("not upred-2 < 1", "upper colour red score at least 1"),
        ("upred-1 > 0", "upper colour not red score above 0"),
        ("hat-1 <= 0.5", "no hat score at most 0.5"),
        ("hat-2 != 0.5", "not (hat score exactly 0.5)"),
        ("quality >= 0.123456789", "quality at least 0.123456789"),
        ("not quality >= 0.5", "quality below 0.5 (or unknown)"),
        ("pid < 1234567", "pid below 1234567"),
        ("camera not in (1, 2)", "camera not 1 or 2 (or unknown)"),
        ("pid in (1,2,3,4,5,6,7,8,9,10,11,12)", "pid 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 or 2 more"),
        ("collection = Market", 'collection "Market"'),
        ("path = cam3/", 'path starts with "cam3/"'),
        ("not path starts with x", 'path does not start with "x"'),
        ("taken >= 2026-11-01", "taken from 2026-11-01 00:00:00 UTC"),
        (
            "not taken > 2026-11-01T08:30",
            "taken up to 2026-11-01 08:30:00 UTC (or unknown)",
        ),
        ("ingested >= 2026-11-01", "ingested from 2026-11-01 00:00:00 UTC"),
        ("not ingested > 2026-11-01T08:30", "ingested up to 2026-11-01 08:30:00 UTC"),
    ],
)  # fmt: skip
def test_in_words(text: str, words: str) -> None:
    assert in_words(parse(text)) == words
