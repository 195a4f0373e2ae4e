"""Whether a database can be used, and what to tell people when it cannot."""

from typing import Any

import psycopg
from sqlalchemy import Engine, event
from sqlalchemy.exc import InvalidatePoolError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoFreeConnection

from db.connect import HEAD, DatabaseUnreachable, WrongSchema, current_revision, reach
from db.error_sentences import known_sentence

DATABASE_ERRORS: tuple[type[Exception], ...] = (SQLAlchemyError, psycopg.Error)


def health(engine: Engine) -> str:
    """The schema's revision. Raises DatabaseUnreachable, WrongSchema."""
    try:
        with reach(engine) as connection:
            revision = current_revision(connection)
    except DatabaseUnreachable as down:
        raise DatabaseUnreachable(unreachable(engine, down)) from down
    if revision != HEAD:
        raise WrongSchema(
            f"the database is at schema {revision or 'none'}, this program needs {HEAD}; "
            "`reid doctor` says what to do"
        )
    return revision


def keep_reachable(engine: Engine) -> None:
    """Lets a process that runs for days outlive a restart of the database: a connection is tried
    before it is used, and a dead one replaced together with the others of its age."""

    def check(connection: Any, _record: Any, _proxy: Any) -> None:
        try:
            engine.dialect.do_ping(connection)
        except psycopg.Error as error:
            raise InvalidatePoolError from error

    event.listen(engine, "checkout", check)


def sentence(engine: Engine, error: Exception) -> str | None:
    """What to tell a person about a database error, None for one that is our own fault."""
    if isinstance(error, NoFreeConnection):
        return "the page is busy: no connection to the database became free; try again in a moment"
    said = known_sentence(error)
    if said is None:
        return None
    try:
        with reach(engine):
            return said
    except DatabaseUnreachable as down:
        return unreachable(engine, down)


def is_of_the_question(error: Exception) -> bool:
    """Whether the database says that a value cannot be, and not that anything is broken."""
    return isinstance(getattr(error, "orig", error), psycopg.DataError)


def unreachable(engine: Engine, down: DatabaseUnreachable) -> str:
    """The way out where the embedded server was stopped under the page; else as it is said."""
    if str(engine.url.query.get("host", "")).startswith("/"):
        return (
            "the embedded database server was stopped; any reid command that needs it starts it "
            "again: try `reid status`"
        )
    return str(down)
