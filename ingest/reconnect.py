"""A database that is away for a while: whoever works for days waits for it."""

import time
from collections.abc import Callable

import psycopg
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from db.connect import DatabaseUnreachable, reach
from db.error_sentences import is_lost, sentence_for

CONNECTION_ERRORS = (DBAPIError, psycopg.Error, DatabaseUnreachable)
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0


def wait_for_database(
    engine: Engine,
    error: DBAPIError | psycopg.Error | DatabaseUnreachable,
    on_note: Callable[[str], None],
) -> None:
    """Returns when the database answers again. Raises the error where it is about something else
    than a lost connection."""
    if not isinstance(error, DatabaseUnreachable) and not is_lost(error):
        raise error
    said = sentence_for(error) or str(error)
    on_note(f"{said.removesuffix('; run the same command again')}; waiting for the database")
    engine.dispose()
    pause = _FIRST_PAUSE_S
    while True:
        try:
            with reach(engine):
                on_note("the database is there again")
                return
        except DatabaseUnreachable:
            time.sleep(pause)
            pause = min(_LONGEST_PAUSE_S, 2 * pause)
