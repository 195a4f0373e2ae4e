"""psycopg's own connection, for what SQLAlchemy has no words for."""

from typing import Any

import psycopg
from sqlalchemy import Connection


def driver_of(connection: Connection) -> "psycopg.Connection[Any]":
    """Of a connection of the pool, or one that was taken out of it."""
    driver = connection.connection.dbapi_connection
    assert isinstance(driver, psycopg.Connection)
    return driver
