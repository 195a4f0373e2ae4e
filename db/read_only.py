"""Servers that take no writes. They are searched only where somebody says so in words, since no
audit row can be written there."""

from sqlalchemy import Connection, text

from db.session import session_of
from errors import ReidError, UsageError
from settings import Settings


class ReadOnlyDatabase(ReidError):
    """Nothing can be written here, no audit row either."""

    http_status = 503


class NotReadOnly(UsageError):
    """--read-only is no way round the audit log."""

    http_status = 503


def is_allowed() -> bool:
    """Whether `--read-only` or REID_READ_ONLY lets searches go without an audit row."""
    return Settings.from_environment().read_only


def check_read_only(connection: Connection) -> None:
    """Raises NotReadOnly where the option is given for a server that takes writes."""
    if is_allowed() and session_of(connection).read_only is None:
        raise NotReadOnly(
            "--read-only (REID_READ_ONLY) is for a server that takes no writes, and this one takes "
            "them; leave it out: then the audit log knows of the search"
        )


def goes_unrecorded(connection: Connection) -> bool:
    """Whether an audit row is left out, which was allowed; False where it can be written.

    Raises ReadOnlyDatabase where it cannot be written, and nobody has allowed to leave it out.
    """
    why = session_of(connection).read_only
    # a standby may have become a server of its own meanwhile
    if why is None or not connection.scalar(_TAKES_NO_WRITES):
        return False
    if is_allowed():
        return True
    raise ReadOnlyDatabase(
        f"no audit row can be written: {why}; search without one with `reid --read-only`, or name "
        "a server that takes writes in REID_DATABASE_URL"
    )


_TAKES_NO_WRITES = text("SELECT current_setting('transaction_read_only')::bool")
