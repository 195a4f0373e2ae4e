"""Migrations and declaration agree, both ways, down to what only the catalogs show."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from db import audit
from db.connect import HEAD, DatabaseAddress, make_engine
from db.schema import Base
from db.upgrade import upgrade
from db.views import beyond_tables

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"

# name -> what the catalogs hold of it, in any order of creation
CATALOGS = {
    "columns": """
        SELECT c.relname, a.attname, a.attnum, format_type(a.atttypid, a.atttypmod), a.attnotnull,
        a.attidentity, a.attstorage, pg_get_expr(d.adbin, d.adrelid)
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
        AND c.relname <> 'alembic_version' AND c.relname <> 'alembic_version_pkc'""",
    "relations": """
        SELECT relname, relkind, relpersistence, reloptions FROM pg_class
        WHERE relnamespace = 'public'::regnamespace
        AND NOT starts_with(relname, 'alembic_version')""",
    "constraints": """
        SELECT conrelid::regclass::text, conname, contype, convalidated, pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace
        AND conrelid::regclass::text <> 'alembic_version'""",
    "indexes": """
        SELECT indexname, indexdef FROM pg_indexes
        WHERE schemaname = 'public' AND tablename <> 'alembic_version'""",
    "views": """
        SELECT viewname, definition FROM pg_views WHERE schemaname = 'public'""",
    "triggers": """
        SELECT tgrelid::regclass::text, tgname, tgenabled, pg_get_triggerdef(oid)
        FROM pg_trigger WHERE NOT tgisinternal""",
    "functions": """
        SELECT p.proname, regexp_replace(pg_get_functiondef(p.oid), '\\s+', ' ', 'g')
        FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND NOT EXISTS (
        SELECT 1 FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')""",
    "sequences": """
        SELECT sequencename, data_type::text, start_value, increment_by, min_value, max_value, cycle
        FROM pg_sequences WHERE schemaname = 'public'""",
    "types": """
        SELECT t.typname FROM pg_type t JOIN pg_class c ON c.oid = t.typrelid
        WHERE t.typnamespace = 'public'::regnamespace
        AND NOT starts_with(c.relname, 'alembic_version')""",
}


def catalog(connection: Connection, name: str) -> set[tuple[Any, ...]]:
    rows = connection.exec_driver_sql(CATALOGS[name]).all()
    return {tuple(str(value) for value in row) for row in rows}


@pytest.fixture
def empty(empty_database_url: str) -> Iterator[Engine]:
    made = make_engine(DatabaseAddress(Path(), empty_database_url))
    yield made
    made.dispose()


def config_for(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def test_migrated_equals_declared(engine: Engine, empty: Engine) -> None:
    with empty.begin() as connection:
        connection.execute(text("CREATE EXTENSION vector"))
        Base.metadata.create_all(connection)
        for statement in beyond_tables():
            connection.exec_driver_sql(statement)
    with engine.connect() as migrated, empty.connect() as declared:
        for name in CATALOGS:
            found = catalog(migrated, name)
            assert found == catalog(declared, name), name
            assert found, name


def test_alembic_has_nothing_to_add(engine: Engine) -> None:
    with engine.connect() as connection:
        command.check(config_for(connection))


def test_the_code_needs_the_newest_migration(engine: Engine) -> None:
    with engine.connect() as connection:
        heads = ScriptDirectory.from_config(config_for(connection)).get_heads()
    assert heads == [HEAD]


def test_down_leaves_nothing_and_up_works_again(engine: Engine) -> None:
    with engine.connect() as connection:
        before = {name: catalog(connection, name) for name in CATALOGS}
    with engine.begin() as connection:
        command.downgrade(config_for(connection), "base")
    with engine.connect() as connection:
        left = {name: found for name in CATALOGS if (found := catalog(connection, name))}
    assert not left
    upgrade(engine)
    with engine.connect() as connection:
        assert {name: catalog(connection, name) for name in CATALOGS} == before


def test_upgrading_twice_changes_nothing(engine: Engine) -> None:
    with engine.connect() as connection:
        before = catalog(connection, "relations")
    upgrade(engine)
    with engine.connect() as connection:
        assert catalog(connection, "relations") == before


def test_features_stay_inline(engine: Engine) -> None:
    """A vector(512) is just over the TOAST limit: elsewhere a scan takes several times as long."""
    with engine.connect() as connection:
        storage = connection.scalar(
            text(
                "SELECT attstorage FROM pg_attribute"
                " WHERE attrelid = 'feature'::regclass AND attname = 'embedding'"
            )
        )
        options = connection.scalar(
            text("SELECT reloptions FROM pg_class WHERE oid = 'feature'::regclass")
        )
    assert storage == "p"
    assert options == ["toast_tuple_target=8160"]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'somebody else'",
        "DELETE FROM audit",
        "DELETE FROM audit WHERE false",
        "TRUNCATE audit",
    ],
)
def test_the_audit_log_only_grows(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        audit.record(connection, "search", {"query": "q"}, purpose="a test")
    with pytest.raises(DBAPIError, match="audit rows are only ever added"):  # noqa: SIM117
        with engine.begin() as connection:
            connection.execute(text(statement))
    with engine.connect() as connection:
        assert [row["purpose"] for row in audit.entries(connection, 10)] == ["a test"]


def test_one_model_is_active(engine: Engine) -> None:
    with engine.connect() as connection:
        definition = connection.scalar(
            text("SELECT indexdef FROM pg_indexes WHERE indexname = 'uq_model_active'")
        )
    assert definition.endswith("(active) WHERE active")
