"""Collections: named sets of images within an identity space."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Connection,
    Engine,
    Text,
    bindparam,
    delete,
    func,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError

from db.schema import Collection, GalleryCount, Image
from db.spelling import as_stored, one_form, spellings
from errors import UsageError, did_you_mean
from gallery.counts import fold_counts

UNNAMED_SPACE = "default"  # of collections for which nobody has named another


class UnknownCollection(UsageError):
    """No collection of that name exists."""

    http_status = 404


class IdentitiesDiffer(UsageError):
    """A collection cannot move to another identity space."""

    http_status = 409


@dataclass(frozen=True)
class CollectionRow:
    id: int
    name: str
    identities: str
    revision: int


def _rows(connection: Connection, *where: Any) -> list[CollectionRow]:
    stmt = (
        select(Collection.id, Collection.name, Collection.identities, Collection.revision)
        .where(*where)
        .order_by(Collection.name)
    )
    return [CollectionRow(*row) for row in connection.execute(stmt)]


def all_collections(connection: Connection) -> list[CollectionRow]:
    return _rows(connection)


def collection_named(connection: Connection, name: str) -> CollectionRow:
    """Raises UnknownCollection, suggesting the nearest name."""
    found = {row.name: row for row in _rows(connection, Collection.name.in_(spellings(name)))}
    if meant := as_stored(name, found):
        return found[meant]
    names = [row.name for row in all_collections(connection)]
    known = f"; there are {', '.join(names)}" if names else "; see `reid ingest --help`"
    raise UnknownCollection(f"no collection {name!r}{did_you_mean(name, names) or known}")


def collections_named(connection: Connection, names: tuple[str, ...]) -> list[CollectionRow]:
    """Look up collections by name, in the order given, each once. Raises UnknownCollection."""
    found = {row.name: row for row in _rows(connection, Collection.name.in_(names))}
    return [found.get(name) or collection_named(connection, name) for name in dict.fromkeys(names)]


def collection_called(connection: Connection, name: str, identities: str | None) -> CollectionRow:
    """The collection, made where there is none.

    Raises IdentitiesDiffer where it exists in another identity space than the one asked for.
    """
    if not name.strip() or len(name) > 200:
        raise UsageError("a collection needs a name of 1 to 200 characters")
    if not _rows(connection, Collection.name.in_(spellings(name))):
        stmt = insert(Collection).values(
            name=one_form(name), identities=identities or UNNAMED_SPACE
        )
        connection.execute(stmt.on_conflict_do_nothing())
    row = collection_named(connection, name)
    if identities is not None and row.identities != identities:
        raise IdentitiesDiffer(
            f"collection {name!r} has identities {row.identities!r}, not {identities!r}; "
            "ingest into a new collection"
        )
    return row


def image_counts(connection: Connection) -> dict[int, int]:
    """Number of registered images by collection id; kept, not counted, since pages ask for it."""
    kept = func.sum(GalleryCount.images)
    stmt = select(GalleryCount.collection_id, kept).where(GalleryCount.model_id.is_(None))
    return {
        row[0]: int(row[1]) for row in connection.execute(stmt.group_by(GalleryCount.collection_id))
    }


_FOLD_EVERY = 32  # stores; so many rows are added up in no time
_LOCK = 0x5E1DC  # the advisory locks' first key: "a collection of Reid search"


def lock_collections(
    connection: Connection, collection_ids: Iterable[int], *, exclusive: bool
) -> None:
    """Lock collections until the transaction ends, exclusively or shared.

    Registering, pruning and removing want a collection alone. Storing and running share it. Each
    takes it before any row: their orders of rows differ, and would meet in deadlocks.
    """
    function = "pg_advisory_xact_lock" if exclusive else "pg_advisory_xact_lock_shared"
    for collection_id in sorted(set(collection_ids)):
        connection.execute(
            text(f"SELECT {function}(:kind, CAST(:id AS int))"),
            {"kind": _LOCK, "id": collection_id},
        )


def raise_revision(connection: Connection, collection_id: int) -> None:
    """Notes that the gallery has changed; runs made before are stale."""
    stmt = update(Collection).where(Collection.id == collection_id)
    stmt = stmt.values(revision=Collection.revision + 1)
    revision = connection.scalar(stmt.returning(Collection.revision))
    if revision is not None and revision % _FOLD_EVERY == 0:
        fold_counts(connection, collection_id)


def remove(connection: Connection, collection_id: int) -> None:
    """Removes a collection with its images, features, thumbnails and matches."""
    lock_collections(connection, [collection_id], exclusive=True)
    connection.execute(delete(Collection).where(Collection.id == collection_id))


def mark_missing(connection: Connection, image_ids: list[int]) -> None:
    """Notes files that were not found any more; they stay searchable until pruned."""
    listed = func.any_(literal(image_ids, ARRAY(BigInteger)))  # of any length, unlike IN
    stmt = update(Image).where(Image.id == listed, Image.missing_since.is_(None))
    connection.execute(stmt.values(missing_since=func.now()))


def prune(connection: Connection, collection_id: int) -> int:
    """Removes the images whose files are missing; gives their number."""
    lock_collections(connection, [collection_id], exclusive=True)
    stmt = delete(Image).where(
        Image.collection_id == collection_id, Image.missing_since.is_not(None)
    )
    count = connection.execute(stmt).rowcount
    if count:
        raise_revision(connection, collection_id)
    return count


_SCANNED = ("image", "feature", "task")
_WORTH_IT = 0.05  # of a table's rows
_CHANGED = text(
    "SELECT relname FROM pg_class WHERE oid = ANY(ARRAY(SELECT to_regclass(name)"
    " FROM unnest(:tables) AS name)) AND greatest(:changed,"
    " pg_stat_get_mod_since_analyze(oid), pg_stat_get_ins_since_vacuum(oid))"
    " > :share * greatest(reltuples, 0)"
).bindparams(bindparam("tables", type_=ARRAY(Text)))


def analyze_after(engine: Engine, changed: int) -> None:
    """After `changed` rows of a bulk load: tells the planner the new sizes and index scans which
    pages they need not look at, for tables of which enough has changed.

    Not for any price: where it is not allowed or a table is in use otherwise, all goes on without.
    """
    # the server's own counts may lag behind by some seconds, and know of the loads before
    values = {"tables": _SCANNED, "changed": changed, "share": _WORTH_IT}
    with (
        suppress(DBAPIError),
        engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
    ):
        for table in connection.scalars(_CHANGED, values).all():
            connection.execute(text(f"VACUUM (ANALYZE, SKIP_LOCKED) {table}"))
