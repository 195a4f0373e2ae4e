"""After a bulk load the planner knows the sizes; the load does not depend on it."""

import os
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine, text

from db.connect import DatabaseAddress, make_engine
from gallery.collections import CollectionRow, analyze_after
from gallery.model_rows import ModelRow
from tests.fakes import Stored, collection, register_fake_model, store

ROWS = 100


@pytest.fixture
def loaded(engine: Engine) -> tuple[ModelRow, CollectionRow]:
    """A hundred images, of which the planner knows nothing yet."""
    model, row = register_fake_model(engine), collection(engine, "c")
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE image SET (autovacuum_enabled = off)"))
        connection.execute(text("ALTER TABLE feature SET (autovacuum_enabled = off)"))
        store(connection, model, row, items(0, ROWS))
        connection.execute(text("SELECT pg_stat_force_next_flush()"))
    return model, row


def items(first: int, count: int) -> list[Stored]:
    return [Stored(f"{n}.jpg", np.zeros(512, np.float32)) for n in range(first, first + count)]


def known(engine: Engine, table: str = "feature") -> tuple[int, bool]:
    """(rows, whether index scans need look at no page) as the planner has it."""
    stmt = text(
        "SELECT reltuples, relpages > 0 AND relallvisible = relpages FROM pg_class"
        " WHERE relname = :table"
    )
    with engine.connect() as connection:
        rows, visible = connection.execute(stmt, {"table": table}).one()
    return int(rows), visible


@pytest.mark.usefixtures("loaded")
def test_sizes_are_known_after_a_load(engine: Engine) -> None:
    assert known(engine)[0] == -1
    analyze_after(engine, ROWS)
    assert known(engine) == known(engine, "image") == (ROWS, True)


def test_little_is_left_alone_until_it_adds_up(
    engine: Engine, loaded: tuple[ModelRow, CollectionRow]
) -> None:
    analyze_after(engine, ROWS)
    for first, expected in ((ROWS, ROWS), (ROWS + 5, ROWS + 10)):
        with engine.begin() as connection:
            store(connection, *loaded, items(first, 5))
            connection.execute(text("SELECT pg_stat_force_next_flush()"))
        analyze_after(engine, 5)
        assert known(engine)[0] == expected


@pytest.mark.usefixtures("loaded")
def test_nobody_waits_for_it(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(text("LOCK TABLE feature IN ACCESS EXCLUSIVE MODE"))
        analyze_after(engine, ROWS)
        connection.rollback()
    assert (known(engine)[0], known(engine, "image")[0]) == (-1, ROWS)


@pytest.mark.usefixtures("loaded")
def test_who_may_not_goes_on_without(engine: Engine) -> None:
    role = f"reid_tidy_{os.getpid()}"
    as_role = engine.url.update_query_dict({"options": f"-c role={role}"})
    with engine.begin() as connection:
        connection.execute(text(f"CREATE ROLE {role} NOLOGIN"))
    try:
        for url in (
            as_role.set(drivername="postgresql").render_as_string(hide_password=False),
            "postgresql://nobody@127.0.0.1:1/nothing",
        ):
            other = make_engine(DatabaseAddress(Path(), url))
            analyze_after(other, ROWS)
            other.dispose()
        assert known(engine) == (-1, False)
    finally:
        with engine.begin() as connection:
            connection.execute(text(f"DROP ROLE {role}"))
