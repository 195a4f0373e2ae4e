"""Reviewing: verdicts given, taken back and read, beside what runs have found."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine

from db.audit import actor, record
from errors import UsageError
from query_sets.judged import Judged, ReviewedList, reviewed_list, verdict_counts, verdicts_of
from query_sets.runs import latest_run
from query_sets.verdict_rows import (
    SAID,
    GalleryImage,
    StoredQuery,
    give,
    images_named,
    lock_query,
    matched,
    standing,
    stored_query,
    withdraw,
)

_NOTE_LENGTH = 2000
_STORED = {said: stored for stored, said in SAID.items()}


@dataclass(frozen=True)
class Decided:
    """What a command did: images that it named, those where something is new, what stood there,
    and images that no run has listed for the query."""

    named: tuple[GalleryImage, ...]
    changed: tuple[GalleryImage, ...]
    replaced: dict[int, str]
    never_listed: tuple[GalleryImage, ...]


def decide(
    engine: Engine, set_name: str, query_name: str, images: Sequence[str], said: str,
    note: str | None = None,
) -> Decided:  # fmt: skip
    """Store a verdict, confirmed or rejected, on all of the images, or with an error on none.

    Raises UnknownQuerySet, UnknownQuery, NotInGallery, AmbiguousImage, UsageError for a long note.
    """
    note = note.strip() or None if note else None
    if note and len(note) > _NOTE_LENGTH:
        raise UsageError(f"the note has {len(note)} characters; expected {_NOTE_LENGTH} at most")
    verdict = _STORED[said]
    with engine.begin() as connection:
        query, named, before = _held(connection, set_name, query_name, images)
        ids = [image.id for image in named]
        changed = give(connection, query, ids, verdict, actor(), note)
        _audit(connection, f"match {verdict}", query, changed, before)
        listed = matched(connection, query, ids)
    return _decided(named, changed, before, listed)


def take_back(engine: Engine, set_name: str, query_name: str, images: Sequence[str]) -> Decided:
    """Leaves images without a verdict. Raises as `decide`."""
    with engine.begin() as connection:
        query, named, before = _held(connection, set_name, query_name, images)
        changed = withdraw(connection, query, [image.id for image in named])
        _audit(connection, "match withdraw", query, changed, before)
    return _decided(named, changed, before, {image.id for image in named})


def _held(
    connection: Connection, set_name: str, query_name: str, images: Sequence[str]
) -> tuple[StoredQuery, list[GalleryImage], dict[int, str]]:
    query = stored_query(connection, set_name, query_name)
    lock_query(connection, query)
    named = images_named(connection, query, images)
    return query, named, standing(connection, query, [image.id for image in named])


def _audit(
    connection: Connection,
    action: str,
    query: StoredQuery,
    changed: set[int],
    before: dict[int, str],
) -> None:
    """A row for each image. The query's name and the note stay out: they may name or describe a
    person, and what stands here cannot be erased."""
    for image_id in sorted(changed):
        question = {
            "set": query.set_name,
            "query": query.id,
            "replaces": before.get(image_id),
        }
        record(connection, action, question, result_ids=[image_id])


def _decided(
    named: Sequence[GalleryImage], changed: set[int], before: dict[int, str], listed: set[int]
) -> Decided:
    return Decided(
        tuple(named),
        tuple(image for image in named if image.id in changed),
        {image_id: said for image_id, said in before.items() if image_id in changed},
        tuple(image for image in named if image.id not in listed),
    )


def list_verdicts(
    engine: Engine, set_name: str, query_name: str | None = None, said: str | None = None
) -> list[Judged]:
    """The verdicts of a set or of one of its queries; written to the audit log, as an export is.

    Raises UnknownQuerySet, UnknownQuery.
    """
    with engine.begin() as connection:
        query_id = None
        if query_name is not None:
            query_id = stored_query(connection, set_name, query_name).id
        judged = verdicts_of(
            connection, set_name, query_id=query_id, verdict=None if said is None else _STORED[said]
        )
        record(
            connection,
            "match list",
            {"set": set_name, "query": query_id, "verdict": said},
            result_ids=sorted({item.image_id for item in judged}),
        )
    return judged


def count_verdicts(engine: Engine, set_name: str) -> dict[str, int]:
    """`{"confirmed", "rejected"}`. Raises UnknownQuerySet."""
    with engine.connect() as connection:
        return verdict_counts(connection, set_name)


def show_list(engine: Engine, set_name: str, query_name: str, run: int | None) -> ReviewedList:
    """One query's matches in a run, the set's newest where none is named, with their verdicts.

    Raises UnknownQuerySet, UnknownQuery, UnknownRun, NotAsked, CannotRun where there is no run.
    """
    with engine.connect() as connection:
        query = stored_query(connection, set_name, query_name)
        return reviewed_list(
            connection, query, latest_run(connection, set_name) if run is None else run
        )
