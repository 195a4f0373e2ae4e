"""Whatever is written as a filter is refused by name, or finds what it means; SQL never fails."""

import json
import random
from collections.abc import Iterator, Sequence

import pytest
from sqlalchemy import Connection, Engine, func, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from db.schema import Collection, Feature, Image
from search.filters.errors import BadFilter
from search.filters.parse import parse
from search.filters.sql import where
from search.filters.text import quoted, to_text
from search.filters.tree import Filter, from_json
from tests.filter_fuzz import ATTACKS, texts
from tests.filter_oracle import Row, holds
from tests.filter_rows import random_row, store

TEXTS = 10_000
AT_ONCE = 100  # filters in one statement
_JOINED = Feature.__table__.join(Image, Image.id == Feature.image_id).join(
    Collection, Collection.id == Feature.collection_id
)


@pytest.fixture
def stored(engine: Engine) -> dict[int, Row]:
    chance = random.Random(512)
    rows = [random_row(chance, number) for number in range(40)]
    with engine.begin() as connection:
        return store(connection, rows)


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with engine.connect() as connected:
        connected.execute(text("SET statement_timeout = '20s'"))
        connected.commit()
        yield connected


def found(connection: Connection, filters: Sequence[Filter]) -> list[set[int]]:
    """The images of each filter, by one statement. Where that fails, the filter is named."""
    ids = [func.array_agg(Feature.image_id).filter(where(filter)) for filter in filters]
    try:
        row = connection.execute(select(*ids).select_from(_JOINED)).one()
    except SQLAlchemyError as error:
        connection.rollback()
        if len(filters) == 1:
            pytest.fail(f"{to_text(filters[0])!r}: {error}")
        half = len(filters) // 2
        return found(connection, filters[:half]) + found(connection, filters[half:])
    return [set(images or ()) for images in row]


def check(connection: Connection, stored: dict[int, Row], parsed: Sequence[Filter]) -> int:
    """How many filters found some rows and not all, each exactly what the oracle says."""
    telling = 0
    for start in range(0, len(parsed), AT_ONCE):
        filters = parsed[start : start + AT_ONCE]
        for filter, images in zip(filters, found(connection, filters), strict=True):
            expected = {key for key, row in stored.items() if holds(filter, row)}
            assert images == expected, to_text(filter)
            telling += 0 < len(images) < len(stored)
    return telling


def tree_or_none(filter: str) -> Filter | None:
    """None where it is refused. What is read has a text and a JSON form that are read the same."""
    try:
        tree = parse(filter)
    except BadFilter as error:
        assert error.reason
        return None
    assert parse(to_text(tree)) == tree
    assert from_json(json.loads(json.dumps(tree.to_json()))) == tree
    return tree


def test_ten_thousand_texts(connection: Connection, stored: dict[int, Row]) -> None:
    trees = [tree_or_none(filter) for filter in texts(seed=2026, count=TEXTS)]
    parsed = [tree for tree in trees if tree is not None]
    telling = check(connection, stored, parsed)
    outcome = f"of {TEXTS:,} texts {len(parsed):,} were read, {telling:,} told rows apart"
    assert 3_000 < len(parsed) < 7_000, outcome
    assert telling > 2_000, outcome


def test_a_failing_statement_is_noticed(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above can fail: a filter that is broken among good ones is named."""
    good, broken = parse("hat"), parse("pid = 7")
    right = where

    def wrong(filter: Filter) -> object:
        return text("no_such_column") if filter == broken else right(filter)

    monkeypatch.setitem(globals(), "where", wrong)
    with pytest.raises(pytest.fail.Exception, match="pid = 7"):
        found(connection, [good, good, broken, good])


PLACES = (
    "collection = {}", "collection in (gallery, {})", "path = {}", "path starts with {}",
    "path not in ({})", "gender = {}", "camera = {}", "hat >= {}", "quality < {}", "ingested > {}",
    "pid in (1, {})", "{} = 1", "{}", "hat and {}", "hat {} bag", "not ({})",
)  # fmt: skip


def test_no_attack_reaches_the_statement(connection: Connection, stored: dict[int, Row]) -> None:
    written = [form for attack in ATTACKS for form in (attack, quoted(attack), f"'{attack}'")]
    trees = [tree_or_none(place.format(form)) for place in PLACES for form in written]
    parsed = [tree for tree in trees if tree is not None]
    assert len(parsed) > 200
    check(connection, stored, parsed)
    connection.rollback()
    left = select(func.count()).select_from(_JOINED)
    assert connection.scalar(left) == len(stored)


def test_an_attack_is_a_name_like_any_other(connection: Connection, stored: dict[int, Row]) -> None:
    """Images that are called so are found, and no others."""
    named = dict(zip(sorted(stored), ATTACKS, strict=False))
    assert len(named) == len(ATTACKS)
    for image_id, attack in named.items():
        renamed = update(Image).where(Image.id == image_id)
        connection.execute(renamed.values(path=attack))
    for image_id, attack in named.items():
        whole, start = (
            parse(f"path = {quoted(attack)}"),
            parse(f"path starts with {quoted(attack)}"),
        )
        exactly, starting = found(connection, [whole, start])
        assert exactly == {image_id}
        assert starting & named.keys() == {i for i in named if named[i].startswith(attack)}
