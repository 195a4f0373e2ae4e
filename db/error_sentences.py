"""What the database says, as one sentence for a person: by SQLSTATE, and never by a guess.

What is not known is shown as it came, in one line, without any advice.
"""

from collections.abc import Callable

import psycopg
from sqlalchemy.exc import SQLAlchemyError

from db.limits import was_too_long

_LONGEST = 300  # letters of what somebody else has written
_AGAIN = "run the same command again"

# the whole SQLSTATE, else its first two letters; {said} is the server's own first line
_SENTENCES = {
    "08": "the connection to the database was lost ({said}); " + _AGAIN,
    "22021": "a text holds what the database cannot keep: {said}",
    "22P05": "a text holds what the database cannot keep: {said}",
    "22": "the database takes no such value: {said}",
    "23503": "what this belongs to was removed meanwhile: {said}",
    "23505": "the database has this already: {said}",
    "23": "the database refuses what was to be stored: {said}",
    "25006": "the database takes no writes here, and this command has something to write ({said}); "
    "name the server that takes them in REID_DATABASE_URL",
    "25P03": "the server ended a session that it took for idle ({said}); " + _AGAIN,
    "25P04": "the server ended a transaction that took longer than its transaction_timeout; "
    "raise that for this database user, and " + _AGAIN,
    "40": "another command changed the same rows at the same time; run this one again",
    "42P01": "a table that this program expects is not there: {said}; `reid doctor` says more",
    "42703": "a column that this program expects is not there: {said}; `reid doctor` says more",
    "53200": "the database server is out of memory: {said}",
    "53300": "the server has no connection left ({said}); end some, or raise its max_connections",
    "53400": "a limit of the server is reached: {said}; raise it for this database user",
    "54": "that is more than the database can hold in one piece: {said}",
    "55006": "somebody else uses that at this moment: {said}; " + _AGAIN,
    "55P03": "the server gave up waiting for a lock (lock_timeout), since another command holds "
    "what this one needs; " + _AGAIN,
    "57P01": "the connection to the database was lost ({said}); " + _AGAIN,
    "57P02": "the connection to the database was lost ({said}); " + _AGAIN,
    "57P03": "the server takes no connections at this moment ({said}); try again in a moment",
    "57P05": "the server ended a session that it took for idle ({said}); " + _AGAIN,
    "58030": "the database server cannot read or write a file: {said}",
    "58P01": "the database server misses a file: {said}",
    "XX001": "the database's files are damaged: {said}; restore a backup",
    "XX002": "an index of the database is damaged: {said}; REINDEX mends it",
}


def sentence_for(error: BaseException) -> str | None:
    """One sentence for an error of the database in mid-work, None for any other error."""
    cause = _cause(error)
    known = known_sentence(error)
    if known is not None or not isinstance(cause, psycopg.Error | SQLAlchemyError):
        return known
    code = getattr(cause, "sqlstate", None)
    return f"the database says: {_first_line(cause)}{f' ({code})' if code else ''}"


def known_sentence(error: BaseException) -> str | None:
    """The sentence for an error that this module knows; None for what is new to it, which may be a
    fault of the program."""
    cause = _cause(error)
    if not isinstance(cause, psycopg.Error):
        return None
    code = cause.sqlstate
    if code is None:
        return _from_this_side(cause)
    if code in _SPECIAL:
        return _SPECIAL[code](cause)
    known = _SENTENCES.get(code) or _SENTENCES.get(code[:2])
    return None if known is None else known.format(said=_first_line(cause))


def is_lost(error: BaseException) -> bool:
    """Whether the connection has gone, or the server takes none: whoever has time may try again."""
    cause = _cause(error)
    if getattr(error, "connection_invalidated", False):
        return True
    if not isinstance(cause, psycopg.Error):
        return False
    if cause.sqlstate is None:
        return (_from_this_side(cause) or "").startswith("the connection to the database was lost")
    return cause.sqlstate.startswith("08") or cause.sqlstate in _LOST


_LOST = ("25P03", "53300", "57P01", "57P02", "57P03", "57P05")


def _from_this_side(error: psycopg.Error) -> str | None:
    """Without a SQLSTATE an error comes from libpq or psycopg, not from the server."""
    said = " ".join(str(error).split())[:_LONGEST]
    if isinstance(error, psycopg.DataError):
        return f"the database takes no such value: {said}"
    broken = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    if broken and any(word in said.lower() for word in _OF_A_CONNECTION):
        return f"the connection to the database was lost ({said}); {_AGAIN}"
    return None


_OF_A_CONNECTION = (
    "connection", "consuming input", "could not receive", "could not send", "eof", "server closed",
)  # fmt: skip


def _cause(error: BaseException) -> BaseException:
    cause = getattr(error, "orig", None)
    return cause if isinstance(cause, BaseException) else error


def _first_line(error: BaseException) -> str:
    said = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    lines = (said or str(error)).strip().splitlines()
    return lines[0][:_LONGEST] if lines else type(error).__name__


def _cancelled(error: psycopg.Error) -> str:
    if was_too_long(error):
        return (
            "the server stopped a statement that took longer than its statement_timeout; "
            f"raise that for this database user, and {_AGAIN}"
        )
    return f"somebody stopped the statement at the server; {_AGAIN}"


def _full(error: psycopg.Error) -> str:
    said = _first_line(error)
    if "shared memory" in said:
        return (
            f"the server's shared memory is full ({said}); give its container more "
            "(--shm-size=1g), or set max_parallel_workers_per_gather = 0 for this database user"
        )
    return f"the database's disk is full; free some space and {_AGAIN}: what is stored stays stored"


def _not_allowed(error: psycopg.Error) -> str:
    said = _first_line(error)
    if "extension" in said:
        return f"the database user may not do that: {said}; the server's administrator may"
    return (
        f"the database user may not do that: {said}; run it as the database's owner "
        "(`reid db grant` lets others search and review, and no more)"
    )


_SPECIAL: dict[str, Callable[[psycopg.Error], str]] = {
    "42501": _not_allowed,
    "53100": _full,
    "57014": _cancelled,
}
