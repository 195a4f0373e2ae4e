"""The audit log: who did what, when, why and with which result. Rows are only ever added."""

import getpass
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, insert, select

from db.read_only import goes_unrecorded
from db.schema import Audit
from settings import Settings

MAX_RESULT_IDS = 10_000  # of one row; a run of many queries finds more than anybody looks at
_STREAMED = 1_000  # rows that are read from the server at once

_ACTING: ContextVar[str | None] = ContextVar("acting", default=None)


@contextmanager
def acting_as(label: str | None) -> Iterator[None]:
    """Act for somebody else than the user who runs the process, in this thread or task:
    whoever signed in to the page. None changes nothing."""
    token = _ACTING.set(label or _ACTING.get())
    try:
        yield
    finally:
        _ACTING.reset(token)


def actor() -> str:
    """Whom `acting_as` names, `REID_ACTOR`, or the name of the user who runs this process."""
    given = _ACTING.get() or Settings.from_environment().actor
    if given:
        return given
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return f"uid {os.getuid()}"


@dataclass(frozen=True)
class Which:
    """Rows of the log: from a moment on, of one actor, of an action or a group of them (`match` is
    `match confirm` too). None leaves nothing out."""

    since: datetime | None = None
    who: str | None = None
    action: str | None = None

    def narrow(self, stmt: Select[Any]) -> Select[Any]:
        if self.since is not None:
            stmt = stmt.where(Audit.at >= self.since)
        if self.who is not None:
            stmt = stmt.where(Audit.actor == self.who)
        if self.action is not None:
            below = Audit.action.startswith(f"{self.action} ", autoescape=True)
            stmt = stmt.where((Audit.action == self.action) | below)
        return stmt


EVERYTHING = Which()


def record(
    connection: Connection,
    action: str,
    question: Mapping[str, Any],
    *,
    purpose: str | None = None,
    result_ids: Sequence[int] = (),
    candidates: int | None = None,
    complete: bool | None = None,
) -> None:
    """Adds one row, in the caller's transaction; none where `--read-only` allows that on a server
    that takes no writes. Raises ReadOnlyDatabase.

    Of more than MAX_RESULT_IDS the first are kept, and `question.results_cut` says how many are
    not. Images and stored queries are named by their numbers here, never by path or hash: the row
    outlives them, and once they are erased the numbers lead nowhere.
    """
    if goes_unrecorded(connection):
        return
    cut = len(result_ids) - MAX_RESULT_IDS
    connection.execute(
        insert(Audit).values(
            actor=actor(),
            action=action,
            question={**question, "results_cut": cut} if cut > 0 else dict(question),
            purpose=purpose,
            result_ids=list(result_ids[:MAX_RESULT_IDS]),
            candidates=candidates,
            complete=complete,
        )
    )


COLUMNS = tuple(column.name for column in Audit.__table__.columns)


def entries(connection: Connection, limit: int, which: Which = EVERYTHING) -> list[dict[str, Any]]:
    """The newest `limit` rows, newest first."""
    stmt = which.narrow(select(*Audit.__table__.columns)).order_by(Audit.id.desc()).limit(limit)
    return [dict(row._mapping) for row in connection.execute(stmt)]


def every(connection: Connection, which: Which = EVERYTHING) -> Iterator[dict[str, Any]]:
    """Every row, oldest first, as of one moment; read through a cursor, so in little memory."""
    stmt = which.narrow(select(*Audit.__table__.columns)).order_by(Audit.id)
    options = {"stream_results": True, "yield_per": _STREAMED}
    for row in connection.execute(stmt, execution_options=options):
        yield dict(row._mapping)


def written_since(connection: Connection, moment: datetime) -> list[dict[str, Any]]:
    """`{"at", "action", "file"}` of backups and exported files since then, oldest first: copies
    that this database cannot reach. Of the log itself none: it shows nobody."""
    file = Audit.question["out"].astext
    stmt = (
        select(Audit.at, Audit.action, file.label("file"))
        .where(Audit.at >= moment, file.is_not(None), Audit.action != "audit export")
        .order_by(Audit.id)
    )
    return [dict(row._mapping) for row in connection.execute(stmt)]
