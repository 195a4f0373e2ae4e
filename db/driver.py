"""psycopg's own connection, for what SQLAlchemy has no words for."""

from typing import Any

import psycopg
from sqlalchemy import Connection


def driver_of(connection: Connection) -> "psycopg.Connection[Any]":
    """Return the psycopg connection of one that is in the pool, or was taken out of it."""
    driver = connection.connection.dbapi_connection
    assert isinstance(driver, psycopg.Connection)
    return driver
