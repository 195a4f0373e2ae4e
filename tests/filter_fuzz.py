"""Texts that are filters, nearly filters, or hope to be SQL: `texts(seed)`, always the same."""

import random
from collections.abc import Iterator

from search.filters.fields import FIELD_NAMES, kind_of
from search.filters.text import quoted
from tests.filter_trees import CAMERAS, COLLECTIONS, PATHS, PIDS, SCORES
from vocabulary import FIELD_BY_NAME, NAMES

ATTACKS = (
    "'; DROP TABLE image; --",
    "' OR '1'='1",
    "' OR 1=1 --",
    '" OR 1=1 --',
    "') OR ('a'='a",
    "' UNION SELECT id FROM audit --",
    "'||(SELECT current_user)||'",
    "'||pg_sleep(60)||'",
    "1; DELETE FROM feature",
    "1) OR (1=1",
    "$$; DROP TABLE image; $$",
    "\\'; DROP TABLE image; --",
    "\\",
    "%s",
    "%(param_1)s",
    "%%",
    "%",
    "_%",
    ":param_1",
    "$1",
    "{0}",
    "{param_1}",
    "/* */ OR TRUE",
    "--",
    ";--",
    "E'\\047'",
    "U&'\\0027'",
    "::regclass",
    "\u02bc OR 1=1",  # letters that careless conversions turn into an apostrophe
    "\uff07 OR 1=1",
)
NUMBERS = (
    "1e400", "-1e400", "1e-400", "1e38", "3.5e38", "-0.0", "NaN", "-nan", "Infinity", "inf", "0x1F",
    "1_000", "1e", ".5", "5.", ".", "+1", "--1", "9" * 19, "9" * 400, "-" + "9" * 400, "0" * 400,
    "\u0663", "\uff11", "\u00b2", "1,5", "1 000", "32768", "-32769", "2147483648", "-2147483649",
)  # fmt: skip
TIMES = (
    "2026-11-01", "2026-11-02", "2026-11-02T12:30", "2026-11-02 12:30:00.000002Z", "2026-02-30",
    "0001-01-01", "0001-01-01T00:00+23:59", "9999-12-31", "9999-12-31T23:59:59-23:59",
    "2026-11-01T24:00", "2026-11-01T12:30+99:99", "2026-13-01", "-4713-01-01", "infinity", "now",
    "2026-11-01T12:30:00.1234567", "10000-01-01", "\u0662026-11-01",
)  # fmt: skip
WORDS = (
    "and", "or", "not", "in", "between", "starts", "with", "AND", "Not", "iN", "NULL", "true",
    "select", "feature.labels", "unknown", "yes", "no", "(", ")", "((", "))", "()", ",", ",,", "=",
    "==", "<>", "!=", "!", "<=", ">=", "<", ">", "=>", "~", "@>", "'", '"', "''", '""', "`", "\\'",
    "\0", "a\0b", "'a\0b'", "\ud800", "'\udfff\ud800'", "\U0001f600", "\u202e", "\u2028", "\u00a0",
    "\u200b", "\ufeff", "\u0130", "\u00df", "\u212a", "e\u0301", "\x1b[31m", "\x7f", "\r", "\n",
    "a" * 3_000, "'" + "b" * 3_000 + "'", "(" * 60, "not " * 55, "hat and " * 40, " " * 500,
)  # fmt: skip
OPERATORS = ("=", "!=", "<", "<=", ">", ">=")
CHARACTERS = "()=<>!,'\"\\%:;-._0129aeZ \t\n\0\x85\u00e9\u65e5\ud83d"
SPACES = (" ", " ", " ", "  ", "\n", "\t", "\u2003")


def texts(seed: int, count: int) -> Iterator[str]:
    chance = random.Random(seed)
    for _ in range(count):
        tokens = _filter(chance, chance.randrange(4))
        for _ in range(chance.choice((0, 0, 0, 0, 0, 1, 1, 2, 4))):
            _change(chance, tokens)
        text = "".join(f"{token}{chance.choice(SPACES)}" for token in tokens)
        for _ in range(chance.choice((0, 0, 0, 0, 0, 0, 1, 3))):
            at, length = chance.randrange(len(text) + 1), chance.randrange(4)
            text = text[:at] + chance.choice(("", chance.choice(CHARACTERS))) + text[at + length :]
        yield text


def _filter(chance: random.Random, depth: int) -> list[str]:
    """The tokens of a filter; a value may be wrong for its field."""
    if not depth:
        return _condition(chance)
    match chance.randrange(6):
        case 0:
            return ["not", *_filter(chance, depth - 1)]
        case 1:
            return ["(", *_filter(chance, depth - 1), ")"]
        case 2:
            return ["not", "(", *_filter(chance, depth - 1), ")"]
        case _:
            joint = chance.choice(("and", "or", "AND"))
            return [*_filter(chance, depth - 1), joint, *_filter(chance, depth - 1)]


def _condition(chance: random.Random) -> list[str]:
    field = chance.choice((*FIELD_NAMES, *FIELD_NAMES, chance.choice(NAMES)))
    kind = kind_of(field)
    if chance.random() < 0.04:
        kind = chance.choice(("label", "score", "int", "text", "path", "time"))

    def value() -> str:
        return _value(chance, field, kind)

    match kind:
        case "time" | "score" | "real" if chance.random() < 0.2:
            return [field, "between", value(), "and", value()]
        case "label" if field in ("hat", "backpack", "bag", "handbag") and chance.random() < 0.5:
            return [field]
        case "label" | "text" | "path" | "int" if chance.random() < 0.4:
            values = [value() for _ in range(chance.randint(1, 4))]
            listed = [token for one in values for token in (",", one)][1:]
            return [field, *chance.choice((["in"], ["not", "in"])), "(", *listed, ")"]
        case "path" if chance.random() < 0.6:
            return [field, "starts", "with", value()]
        case "label" | "text" | "path":
            return [field, chance.choice(("=", "=", "!=")), value()]
        case _:
            return [field, chance.choice(OPERATORS), value()]


def _value(chance: random.Random, field: str, kind: str) -> str:
    """Mostly one that fits, and that a row may hold."""
    if chance.random() < 0.04:
        return chance.choice((*ATTACKS, *NUMBERS, *TIMES, *WORDS))
    match kind:
        case "label" if field in FIELD_BY_NAME:
            return chance.choice(FIELD_BY_NAME[field].words)
        case "text":
            return quoted(chance.choice((*COLLECTIONS, *COLLECTIONS, *ATTACKS)))
        case "path":
            path = chance.choice((*PATHS, *PATHS, *ATTACKS))
            return quoted(path[: chance.randint(1, len(path))] if chance.random() < 0.4 else path)
        case "time":
            return chance.choice(TIMES)
        case "int":
            return str(chance.choice((*CAMERAS, *PIDS)))
        case _:
            return chance.choice((repr(chance.choice(SCORES)), chance.choice(NUMBERS)))


def _change(chance: random.Random, tokens: list[str]) -> None:
    """Drops, doubles, swaps, replaces, quotes or adds a token."""
    if not tokens:
        return
    at, other = chance.randrange(len(tokens)), chance.randrange(len(tokens))
    match chance.randrange(7):
        case 0:
            del tokens[at]
        case 1:
            tokens.insert(at, tokens[at])
        case 2:
            tokens[at], tokens[other] = tokens[other], tokens[at]
        case 3:
            tokens[at] = chance.choice((*ATTACKS, *NUMBERS, *TIMES, *WORDS))
        case 4:
            tokens.insert(at, chance.choice((*ATTACKS, *WORDS)))
        case 5:
            tokens[at] = quoted(tokens[at])
        case _:
            tokens[at] = tokens[at].swapcase()
