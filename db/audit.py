"""The audit log: who did what, when, why and with which result. Rows are only ever added."""

import getpass
import os
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, insert, select

from db.schema import Audit


def actor() -> str:
    """`REID_ACTOR`, or the name of the user who runs this process."""
    given = os.environ.get("REID_ACTOR")
    if given:
        return given
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return f"uid {os.getuid()}"


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
    """Adds one row, in the caller's transaction."""
    connection.execute(
        insert(Audit).values(
            actor=actor(),
            action=action,
            question=dict(question),
            purpose=purpose,
            result_ids=list(result_ids),
            candidates=candidates,
            complete=complete,
        )
    )


def entries(connection: Connection, limit: int) -> list[dict[str, Any]]:
    """The newest `limit` rows, newest first."""
    stmt = select(*Audit.__table__.columns).order_by(Audit.id.desc()).limit(limit)
    return [dict(row._mapping) for row in connection.execute(stmt)]
