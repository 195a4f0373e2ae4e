"""Retention: the terms, what is due, and removing it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from sqlalchemy import Engine

from db.audit import record
from db.pooler import own_sessions
from db.spelling import as_stored
from errors import UsageError
from gallery import erase_rows, retention_rows, scrub
from gallery.centre_models import refresh_due
from gallery.collections import collection_named
from gallery.erase import remove_uploads
from gallery.erase_rows import CHUNK
from gallery.retention_rows import Terms
from gallery.sent_images import sweep

OnStep = Callable[[str, float], object]  # what is done, and its share done in [0, 1]


class BadTerm(UsageError):
    """A term that cannot be kept, or says nothing."""


@dataclass(frozen=True)
class Removed:
    """What was older than its term. `left` are pictures that were sent into another home, which
    could not be removed from here, by folder."""

    images: int = 0
    queries: int = 0
    audit_rows: int = 0
    left: dict[str, int] = field(default_factory=dict)


def set_terms(
    engine: Engine, days: int | None, collection: str | None, audit_days: int | None
) -> Terms:
    """Sets what is given and leaves the rest. Raises BadTerm, UnknownCollection."""
    if days is None and audit_days is None:
        raise BadTerm("say after how many days: `reid retention set DAYS`, or --audit DAYS")
    if days is None and collection is not None:
        raise BadTerm(f"say after how many days the images of {collection!r} are to go")
    with engine.begin() as connection:
        wanted = retention_rows.terms(connection, to_change=True)
        if collection is not None:
            name = collection_named(connection, collection).name
            wanted = replace(wanted, collections={**wanted.collections, name: days or 0})
        elif days is not None:
            wanted = replace(wanted, days=days)
        if audit_days is not None:
            wanted = replace(wanted, audit_days=audit_days)
        if wanted.audit_days is not None and wanted.audit_days < wanted.longest:
            raise BadTerm(
                f"the audit log would be kept {wanted.audit_days} days, images {wanted.longest}: "
                "who has looked at an image must be known for as long as it is there, at least"
            )
        retention_rows.set_terms(connection, wanted)
        record(connection, "retention set", asdict(wanted))
    return wanted


def switch_off(engine: Engine, collection: str | None, *, audit: bool) -> int:
    """Takes a collection's own term away, the audit log's, or all those of images; what these have
    removed may be taken in again: gives its number. Raises BadTerm."""
    with engine.begin() as connection:
        wanted = retention_rows.terms(connection, to_change=True)
        if audit:
            wanted, lifted = replace(wanted, audit_days=None), 0
        elif collection is None:
            wanted, lifted = (
                Terms(audit_days=wanted.audit_days),
                retention_rows.remove_retention_tombstones(connection, None),
            )
        else:
            meant = as_stored(collection, wanted.collections)
            if meant is None:
                raise BadTerm(f"collection {collection!r} has no term of its own")
            kept = {name: n for name, n in wanted.collections.items() if name != meant}
            wanted = replace(wanted, collections=kept)
            lifted = retention_rows.remove_retention_tombstones(connection, meant)
        retention_rows.set_terms(connection, wanted)
        record(connection, "retention off", {**asdict(wanted), "lifted": lifted})
    return lifted


def show(engine: Engine) -> list[dict[str, Any]]:
    """`{"what", "name", "days", "due"}` of each term; `due` counts what is older than it now."""
    with engine.connect() as connection:
        wanted = retention_rows.terms(connection)
        rows: list[dict[str, Any]] = []
        if wanted.days is not None:
            rows += [
                _row(
                    "images", None, wanted.days, len(retention_rows.old_images(connection, wanted))
                ),
                _row(
                    "queries",
                    None,
                    wanted.days,
                    len(retention_rows.old_queries(connection, wanted)),
                ),
            ]
        for name, days in sorted(wanted.collections.items()):
            alone = Terms(collections={name: days})
            rows.append(
                _row("collection", name, days, len(retention_rows.old_images(connection, alone)))
            )
        if wanted.audit_days is not None:
            due = retention_rows.old_audit_rows(connection, wanted)
            rows.append(_row("audit log", None, wanted.audit_days, due))
    return rows


def _row(what: str, name: str | None, days: int, due: int) -> dict[str, Any]:
    return {"what": what, "name": name, "days": days, "due": due}


def run(engine: Engine, on_step: OnStep | None = None) -> Removed:
    """Removes what is older than its term. Killed anywhere, the next run goes on.

    Raises LogInUse.
    """
    removed = remove_old(engine, on_step)
    with engine.connect() as connection:
        wanted = retention_rows.terms(connection)
        due = wanted.audit_days is not None and retention_rows.old_audit_rows(connection, wanted)
    gone = 0
    while due:
        with engine.begin() as connection:
            rows = retention_rows.remove_audit_rows(connection, wanted)
            if rows is None:
                break
            record(connection, "retention audit", {"days": wanted.audit_days, **asdict(rows)})
        gone += rows.rows
    return replace(removed, audit_rows=gone)


def remove_old(engine: Engine, on_step: OnStep | None = None) -> Removed:
    """Remove old images and stored queries; costs one statement where no term is set."""
    with engine.begin() as connection:
        sweep(connection)
        wanted = retention_rows.terms(connection)
        if not wanted.longest:
            return Removed()
        erase_rows.lock_everything(connection)
        images = retention_rows.old_images(connection, wanted)
        queries = len(retention_rows.old_queries(connection, wanted))
        if not (images or queries):
            return Removed()
        with own_sessions(engine, "retention"):  # which VACUUM needs: asked before anything goes
            scrub.set_pending(connection)
        question = {**asdict(wanted), "images": len(images), "queries": queries}
        record(connection, "retention run", question, result_ids=images)
    done, total = 0, len(images) + queries
    left: Counter[str] = Counter()
    while some := _remove_some(engine, wanted, left):
        done += some
        if on_step:
            on_step("remove what is old", min(1.0, done / total))
    refresh_due(engine, grown=False)
    scrub.vacuum(engine)
    if left:
        with engine.begin() as connection:
            record(connection, "retention files left", {"folders": dict(left)})
    return Removed(len(images), queries, left=dict(left))


def _remove_some(engine: Engine, wanted: Terms, left: Counter[str]) -> int:
    """A chunk in a transaction of its own; gives its number. Queries go first: they are found by
    the images whose bytes they have."""
    with engine.begin() as connection:
        erase_rows.lock_everything(connection)
        queries = retention_rows.old_queries(connection, wanted, CHUNK)
        if queries:
            retention_rows.remove_queries(connection, queries)
            return len(queries)
        images = retention_rows.old_images(connection, wanted, CHUNK)
        if images:
            left += remove_uploads(connection, images)
            retention_rows.remove_images(connection, wanted, images)
        return len(images)
