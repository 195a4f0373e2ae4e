"""Rows that the database cannot hold fail one by one: those beside them are stored."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import psycopg
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

T = TypeVar("T")

# a value of a wrong kind or out of range, and a limit of the server: an index row is too long
_OF_THE_VALUES = ("22", "54")


def store_each(
    connection: Connection, items: Sequence[T], store: Callable[[Sequence[T]], object]
) -> list[tuple[T, str]]:
    """Stores items at once, or as many of them as can be held; gives the others, each with what
    the server says of it. What is no fault of a value is raised."""
    if not items:
        return []
    try:
        with connection.begin_nested():
            store(items)
    except (DBAPIError, UnicodeEncodeError) as error:
        why = _about_values(error)
        if why is None:
            raise
    else:
        return []
    if len(items) == 1:
        return [(items[0], why)]
    half = len(items) // 2
    parts = (items[:half], items[half:])
    return [refused for part in parts for refused in store_each(connection, part, store)]


def _about_values(error: DBAPIError | UnicodeEncodeError) -> str | None:
    """What is wrong with a value, in a few words; None for an error of another kind."""
    if isinstance(error, UnicodeEncodeError):
        return "it has characters that are no text"
    cause = error.orig
    if not isinstance(cause, psycopg.Error):
        return None
    state = cause.sqlstate
    if state is None:  # psycopg's own, before anything is sent
        return " ".join(str(cause).split())[:200] if isinstance(cause, psycopg.DataError) else None
    if not state.startswith(_OF_THE_VALUES):
        return None
    if state == psycopg.errors.ProgramLimitExceeded.sqlstate:
        return "its path is longer than an index of the database can hold; shorten it"
    return cause.diag.message_primary or type(cause).__name__


def plain_text(text: str) -> str:
    """A text as the database can hold it: without zero bytes and halves of characters."""
    return text.replace("\0", "\\x00").encode(errors="backslashreplace").decode()
