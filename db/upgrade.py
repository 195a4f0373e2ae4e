"""Bringing a database to this program's schema, with Alembic."""

from pathlib import Path

import psycopg
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from db.connect import check_server, reach
from errors import ReidError

_MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"
_LOCK = 0x5E1D  # an advisory lock: two processes may both find the database empty


class UpgradeFailed(ReidError):
    """The schema could not be changed; the database is as it was."""

    http_status = 503


class PgvectorMissing(ReidError):
    """pgvector must be installed in the database by somebody who may."""

    http_status = 503


def install_pgvector(connection: Connection) -> str:
    """The schema that pgvector lies in; made where there is none. Raises PgvectorMissing."""
    try:
        connection.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
    except DBAPIError as error:
        if not isinstance(error.orig, psycopg.errors.InsufficientPrivilege):
            raise
        user, database = connection.engine.url.username, connection.engine.url.database
        raise PgvectorMissing(
            f"user {user!r} may not install pgvector in database {database!r}; have the server's "
            "administrator run this there, once: CREATE EXTENSION vector"
        ) from None
    schema: str = connection.execute(
        text(
            "SELECT n.nspname::text FROM pg_extension AS e"
            " JOIN pg_namespace AS n ON n.oid = e.extnamespace WHERE e.extname = 'vector'"
        )
    ).scalar_one()
    return schema


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Runs the migrations in one transaction; nothing where the schema is current.

    Raises DatabaseUnreachable for a server without pgvector, UpgradeFailed for an unknown revision.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    # Alembic keeps it in a configparser, to which a single % is the beginning of a variable
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    with reach(engine) as connection:
        check_server(connection)
        install_pgvector(connection)
        connection.commit()
        with connection.begin():
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, revision)
            except CommandError as error:
                raise UpgradeFailed(
                    f"the database's schema is unknown to this program ({error}); "
                    "upgrade the program: `git pull`, then `make install`"
                ) from None
