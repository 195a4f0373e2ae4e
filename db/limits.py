"""How long a search may keep the server: one limit on each of its statements."""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from errors import ReidError, UsageError
from settings import Settings

DEFAULT_TIMEOUT_S = 300.0  # many times what an exact scan of millions of rows takes
_LONGEST_S = 2**31 // 1000  # Postgres keeps milliseconds in 32 bits


class BadStatementTimeout(UsageError):
    """REID_STATEMENT_TIMEOUT is no number of seconds."""

    http_status = 503


class SearchTookTooLong(ReidError):
    """A statement of a search reached the limit; the message names it."""

    http_status = 503


def statement_timeout() -> float | None:
    """Seconds from `REID_STATEMENT_TIMEOUT`, 0 for no limit; None where it says nothing.

    Raises BadStatementTimeout.
    """
    given = Settings.from_environment().statement_timeout
    if not given:
        return None
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= _LONGEST_S:  # false for nan too
        raise BadStatementTimeout(
            f"REID_STATEMENT_TIMEOUT is {given!r}; expected seconds from 0, which is no limit, "
            f"to {_LONGEST_S}"
        )
    return seconds


# `jit`: a filtered scan is dear enough for the planner to compile it, but its time goes into
# pgvector's own functions, which compiling leaves as they are
_LIMIT = text(
    "SELECT set_config('statement_timeout', CASE WHEN :given"
    " OR current_setting('statement_timeout') = '0' THEN :ours"
    " ELSE current_setting('statement_timeout') END, true), set_config('jit', 'off', true)"
)
_UNLIMIT = text("SET LOCAL statement_timeout TO DEFAULT")  # what the server has of its own


@contextmanager
def limited(
    connection: Connection, *, to_the_end: bool = False, what: str = "search"
) -> Iterator[None]:
    """Limits each statement of the block, which lies in one transaction. Where the environment says
    nothing, a limit that the server has of its own stays. `to_the_end` of the transaction it stays
    too, where nothing long comes after the block. `what` is stopped then, in its sentence.

    Raises BadStatementTimeout, and SearchTookTooLong from within.
    """
    given = statement_timeout()
    seconds = DEFAULT_TIMEOUT_S if given is None else given
    ours = f"{math.ceil(seconds * 1000)}ms"
    said = connection.execute(_LIMIT, {"given": given is not None, "ours": ours}).one()[0]
    try:
        yield
    except (DBAPIError, psycopg.Error) as error:
        if was_too_long(error):
            raise SearchTookTooLong(_sentence(said, what)) from error
        raise
    if not to_the_end:
        connection.execute(_UNLIMIT)


def was_too_long(error: BaseException) -> bool:
    """Whether a statement was cancelled by a limit, and not by somebody."""
    cause = getattr(error, "orig", error)
    if not isinstance(cause, psycopg.errors.QueryCanceled):
        return False
    # both have one code; a server that speaks another language is taken at its likelier word
    return "user request" not in (cause.diag.message_primary or "")


def _sentence(limit: str, what: str) -> str:
    """`limit` as Postgres writes it: 5min, 1500ms."""
    spaced = re.sub(r"(?<=\d)(?=[a-z])", " ", limit)
    ways = (
        "narrow it with --where or --max-distance, use --approximate after `reid index build`, or "
    )
    return (
        f"the {what} was stopped: a statement took longer than {spaced}; "
        f"{ways if what == 'search' else ''}raise REID_STATEMENT_TIMEOUT (seconds; 0 is no limit)"
    )
