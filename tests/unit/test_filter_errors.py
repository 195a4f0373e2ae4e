"""What a wrong filter is told, word for word."""

import random

import pytest

from errors import UsageError
from search.filters.errors import BadFilter
from search.filters.parse import MAX_LENGTH, parse
from search.filters.tree import from_json

COLORS = "black, white, red, purple, yellow, gray, blue, green or unknown"
FIELDS = (
    "gender, age, hair, sleeve, lower_length, lower_type, hat, backpack, bag, handbag, upper_color,"
    " lower_color, quality, camera, pid, person, collection, path, ingested and taken"
)


@pytest.mark.parametrize(
    ("text", "column", "reason"),
    [
        ("not hatt", 5, "no attribute 'hatt'; did you mean 'hat'?"),
        ("hat and xyzzy = 1", 9, f"no attribute 'xyzzy'; the fields are {FIELDS}"),
        ("female and hat", 1, "no attribute 'female'; did you mean 'gender = female'?"),
        ("upper_color = crimson", 15, f"upper_color is {COLORS}, not 'crimson'"),
        (
            "upper_color in (red, blak)",
            22,
            f"upper_color is {COLORS}, not 'blak'; did you mean 'black'?",
        ),
        (
            "gender >= 0.5",
            11,
            'gender has no order; compare one of its scores, such as "gender-2" >= 0.5',
        ),
        ("gender", 1, "gender needs a value: male or female"),
        ("camera", 1, "camera needs a comparison, such as camera = 3"),
        (
            "hat = 1",
            7,
            "hat is yes or no, not a number; for its score write hat >= 0.5, for instance",
        ),
        ("hat >= yes", 8, "hat is compared with a number, not 'yes'"),
        ("bag > 1.5", 7, "the score bag-2 is compared with a number from 0 to 1, not 1.5"),
        ("hat >= -1", 8, "the score hat-2 is compared with a number from 0 to 1, not -1.0"),
        ("hat-2 in (1)", 11, "hat-2 is compared with <, <=, >, >=, = or !=, not with 'in'"),
        ("quality = nan", 11, "quality is compared with a number, not 'nan'"),
        ("quality < 1e39", 11, "quality is compared with a finite number, not 1e+39"),
        ("camera = 40000", 10, "camera takes whole numbers from -32768 to 32767, not 40000"),
        ("camera = 1.5", 10, "camera takes whole numbers from -32768 to 32767, not '1.5'"),
        (
            "pid in (1, 2147483648)",
            12,
            "pid takes whole numbers from -2147483648 to 2147483647, not 2147483648",
        ),
        ("pid in ()", 8, "'in' needs one value or more"),
        ("collection < a", 14, "collection has no order; compare it with = or 'in'"),
        ("path in (a, b/)", 13, "a path in a list is a whole path; 'b/' is a folder"),
        ("path = ''", 8, "path is compared with a text that is not empty"),
        ("path = a\0", 8, "path is compared with a text that the database cannot hold"),
        ("hat between 0.9 and 0.2", 21, "'between' takes the lower value first"),
        ("ingested between 2026-11-02 and 2026-11-01", 33, "'between' takes the lower value first"),
        ("hat starts with x", 1, "'starts with' is for path, not for hat"),
        (
            "ingested > 2026-02-30",
            12,
            "ingested is compared with a date or date-time, such as 2026-11-01 or"
            " 2026-11-01T08:30, not '2026-02-30'",
        ),
        ("ingested > 9999-12-31", 12, "a day in the year 9999 has no next day to end at"),
        (
            "ingested > 0001-01-01T00:00+01:00",
            12,
            "the time 0001-01-01T00:00:00+01:00 is outside the calendar",
        ),
        ("gender =", 9, "expected a value, but the filter ends here"),
        ("hat and ", 8, "expected a field, but the filter ends here"),
        ("(hat", 5, "a ')' is missing at the end"),
        ("hat)", 4, "this ')' closes nothing"),
        (
            "hat adn bag",
            5,
            "expected a comparison, 'and' or 'or', not 'adn'; did you mean 'and'?",
        ),
        ("hat && bag", 5, "expected a comparison, 'and' or 'or', not '&&'; did you mean 'and'?"),
        ("gender in (male female)", 17, "expected ',' or ')', not 'female'"),
        ("gender in male", 11, "expected '(', not 'male'"),
        (
            "collection = with",
            14,
            "expected a value, not 'with'; write it in quotation marks if it is meant",
        ),
        ('path = "abc', 8, 'the quotation mark " is never closed'),
        ("! hat", 1, "unexpected character '!'"),
        ("not " * 60 + "hat", 41, "the filter is nested deeper than 50"),
    ],
)
def test_message(text: str, column: int, reason: str) -> None:
    with pytest.raises(BadFilter) as caught:
        parse(text)
    message = str(caught.value).split("\n")
    assert message[0] == f"column {column}: {reason}"
    assert caught.value.column == column
    if len(text) <= 100:
        assert message[1:] == [f"  {text.replace(chr(0), ' ')}", " " * (column + 1) + "^"]


@pytest.mark.parametrize("text", ["", "  \n"])
def test_empty(text: str) -> None:
    with pytest.raises(BadFilter, match=r"^the filter is empty$"):
        parse(text)


def test_too_long() -> None:
    with pytest.raises(BadFilter, match=r"^the filter has 10,001 characters; at most 10,000"):
        parse("h" * (MAX_LENGTH + 1))


def test_too_many() -> None:
    with pytest.raises(BadFilter, match="'in' takes at most 1,000 values, got 1,001"):
        parse(f"pid in ({','.join(map(str, range(1_001)))})")
    with pytest.raises(BadFilter, match="more than 1,000 conditions"):
        parse(" or ".join(["hat"] * 1_001))


def test_the_line_and_a_window_of_it_are_shown() -> None:
    with pytest.raises(BadFilter) as caught:
        parse("hat\nand hatt")
    assert str(caught.value) == (
        "line 2, column 5: no attribute 'hatt'; did you mean 'hat'?\n  and hatt\n      ^"
    )
    with pytest.raises(BadFilter) as caught:
        parse("not " * 40 + "hatt and " + "bag and " * 20 + "bag")
    _, shown, caret = str(caught.value).split("\n")
    assert len(shown) <= 110
    assert shown[caret.index("^") :].startswith("hatt")


def test_wide_and_unprintable_characters_keep_the_caret_in_place() -> None:
    with pytest.raises(BadFilter) as caught:
        parse("path = '日本\x1b' and foo")
    _, shown, caret = str(caught.value).split("\n")
    assert shown == "  path = '日本 ' and foo"
    assert caret.index("^") == shown.index("foo") + 2  # two characters that are two columns wide


def test_a_bad_filter_is_wrong_usage() -> None:
    assert issubclass(BadFilter, UsageError)


GOOD = (
    "gender = female and upper_color in (red, white) and bag >= 0.8 and not hat and camera = 3",
    "path starts with \"a\" or pid not in (1, 2) and (ingested > 2026-11-01 12:00 or 'up-2' < 1)",
    "quality between 0.5 and 1e0 or collection != 'it''s' or not (hat or camera < -1)",
)
PIECES = ("(", ")", ",", "'", '"', " ", "\0", "\ud800", "日", "-", ".", "é", "\\", "%", "<", "=")


def mutated(chance: random.Random) -> str:
    """A good text with up to four pieces of it cut out, doubled or replaced."""
    text = chance.choice(GOOD)
    for _ in range(chance.randrange(5)):
        start, length = chance.randrange(len(text) + 1), chance.randrange(6)
        piece = chance.choice(["", text[start : start + length] * 2, chance.choice(PIECES)])
        text = text[:start] + piece + text[start + length :]
    return text


def test_any_string_gives_a_tree_or_bad_filter() -> None:
    chance = random.Random(2026)
    outcomes = {"tree": 0, "bad": 0}
    for number in range(2_000):
        noise = "".join(chr(chance.randrange(0x300)) for _ in range(chance.randrange(40)))
        try:
            parse(noise if number % 4 == 0 else mutated(chance))
            outcomes["tree"] += 1
        except BadFilter as error:
            str(error).encode(errors="backslashreplace")
            outcomes["bad"] += 1
    assert min(outcomes.values()) > 300, outcomes


LEAF = {"kind": "label", "field": "hat", "values": ["yes"]}


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "hat",
        {},
        {"kind": "xor"},
        {"kind": ["and"]},
        {"kind": "and", "parts": [LEAF]},
        {"kind": "and", "parts": LEAF},
        {"kind": "and", "parts": [LEAF, None]},
        {"kind": "not", "part": [LEAF]},
        LEAF | {"extra": 1},
        LEAF | {"values": "yes"},
        LEAF | {"values": []},
        LEAF | {"values": [["yes"]]},
        LEAF | {"values": [None]},
        LEAF | {"field": "hatt"},
        LEAF | {"field": "camera"},
        LEAF | {"field": 3},
        {"kind": "score", "name": "hat-2", "op": "!=", "number": 0.5},
        {"kind": "score", "name": "hat-2", "op": [], "number": 0.5},
        {"kind": "score", "name": "hat-2", "op": "<", "number": True},
        {"kind": "score", "name": "hat-2", "op": "<", "number": "0.5"},
        {"kind": "score", "name": "hat-2", "op": "<", "number": 10**5000},
        {"kind": "number", "field": "quality", "op": "<", "number": float("nan")},
        {"kind": "number", "field": "camera", "op": "<", "number": 1.5},
        {"kind": "number", "field": "camera", "op": "=", "number": 1},
        {"kind": "number_in", "field": "pid", "values": [10**5000]},
        {"kind": "number_in", "field": "pid", "values": [False]},
        {"kind": "text", "field": "collection", "values": ["\ud800"]},
        {"kind": "path", "prefix": 1},
        {"kind": "ingested", "op": "<", "moment": 0},
        {"kind": "ingested", "op": "<", "moment": "now"},
    ],
)
def test_malformed_json_is_refused(value: object) -> None:
    with pytest.raises(BadFilter):
        from_json(value)


def test_json_that_is_nested_too_deep_is_refused() -> None:
    value: dict[str, object] = dict(LEAF)
    for _ in range(100_000):
        value = {"kind": "not", "part": value}
    with pytest.raises(BadFilter, match="nested deeper than 50"):
        from_json(value)
    while isinstance(part := value.get("part"), dict):  # a deep dict is freed by recursion
        value = part
