"""Reviewers' verdicts on a query and a gallery image, kept apart from distances and from runs."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select, text

from db.schema import Query
from db.spelling import as_stored, one_form, spellings
from errors import UsageError, did_you_mean
from gallery.collections import lock_collections
from query_sets.set_rows import query_set_id

SAID = {"confirm": "confirmed", "reject": "rejected"}  # as stored -> as people read it
_BY_NUMBER = re.compile(r"id:(\d{1,18})")


class UnknownQuery(UsageError):
    """A set has no query of that name."""

    http_status = 404


class NotInGallery(UsageError):
    """An image is in none of the collections that a query searches."""

    http_status = 404


class AmbiguousImage(UsageError):
    """Several images of a query's galleries have that path."""


@dataclass(frozen=True)
class StoredQuery:
    """A query of a set, and the collections that it searches."""

    id: int
    name: str
    set_name: str
    gallery_ids: tuple[int, ...]


@dataclass(frozen=True)
class GalleryImage:
    id: int
    collection: str
    path: str


def stored_query(connection: Connection, set_name: str, name: str) -> StoredQuery:
    """Raises UnknownQuerySet, UnknownQuery, suggesting the nearest name."""
    set_id = query_set_id(connection, set_name)
    found = connection.execute(
        text(
            "SELECT q.id, q.name, ARRAY(SELECT collection_id FROM question_gallery g"
            " WHERE g.question_id = q.question_id ORDER BY 1) AS galleries"
            " FROM query q WHERE q.query_set_id = :set AND q.name = ANY(:names)"
        ),
        {"set": set_id, "names": spellings(name)},
    )
    rows = {row.name: row for row in found}
    if meant := as_stored(name, rows):
        return StoredQuery(rows[meant].id, meant, set_name, tuple(rows[meant].galleries))
    stmt = select(Query.name).where(Query.query_set_id == set_id).order_by(Query.name)
    names = list(connection.scalars(stmt))
    known = f"; its queries are named like {names[0]!r}" if names else "; it holds none"
    raise UnknownQuery(
        f"query set {set_name!r} has no query {name!r}{did_you_mean(name, names) or known}"
    )


def lock_query(connection: Connection, query: StoredQuery) -> None:
    """Lock a query: until the transaction ends, none of its images is removed, and no other
    reviewer changes its verdicts. Raises UnknownQuery where it was removed meanwhile."""
    lock_collections(connection, query.gallery_ids, exclusive=False)
    stmt = select(Query.id).where(Query.id == query.id).with_for_update(key_share=True)
    if connection.scalar(stmt) is None:
        raise UnknownQuery(f"query {query.name!r} was removed meanwhile")


def images_named(
    connection: Connection, query: StoredQuery, words: Sequence[str]
) -> list[GalleryImage]:
    """Each word's image: a path as answers print it, or `id:123`; each image once, in order.

    Raises NotInGallery, AmbiguousImage.
    """
    numbers = {word: int(m[1]) for word in words if (m := _BY_NUMBER.fullmatch(word))}
    rows = connection.execute(
        text(
            "SELECT i.id, c.name AS collection, i.path FROM image i"
            " JOIN collection c ON c.id = i.collection_id WHERE c.id = ANY(:galleries)"
            " AND (i.id = ANY(:ids) OR i.path = ANY(:paths)) ORDER BY i.id"
        ),
        {
            "galleries": list(query.gallery_ids),
            "ids": list(numbers.values()),
            "paths": [form for word in words if word not in numbers for form in spellings(word)],
        },
    )
    by_id: dict[int, GalleryImage] = {}
    by_path: dict[str, list[GalleryImage]] = {}
    by_form: dict[str, list[GalleryImage]] = {}
    for row in rows:
        image = by_id[row.id] = GalleryImage(row.id, row.collection, row.path)
        by_path.setdefault(row.path, []).append(image)
        by_form.setdefault(one_form(row.path), []).append(image)
    found: dict[int, GalleryImage] = {}
    for word in words:
        number = numbers.get(word)
        called = by_path.get(word) or by_form.get(one_form(word), [])
        own = called if number is None else _present(by_id.get(number))
        if not own:
            raise NotInGallery(_not_there(connection, query, word))
        if len(own) > 1:
            which = ", ".join(f"id:{image.id} in {image.collection}" for image in own)
            raise AmbiguousImage(f"{len(own)} images are called {word!r}: give one of {which}")
        found[own[0].id] = own[0]
    return list(found.values())


def _present(image: GalleryImage | None) -> list[GalleryImage]:
    return [] if image is None else [image]


def _not_there(connection: Connection, query: StoredQuery, word: str) -> str:
    rows = connection.execute(
        text(
            "SELECT DISTINCT i.path FROM match m JOIN image i ON i.id = m.image_id"
            " WHERE m.query_id = :query ORDER BY i.path LIMIT 10000"
        ),
        {"query": query.id},
    )
    paths = [row.path for row in rows]
    same_name = [path for path in paths if path.rsplit("/", 1)[-1] == word]
    hint = f"; did you mean {same_name[0]!r}?" if same_name else did_you_mean(word, paths)
    where = f"`reid query show {query.set_name} {query.name}` lists its matches"
    return f"no image {word!r} where query {query.name!r} searches{hint or f'; {where}'}"


def matched(connection: Connection, query: StoredQuery, ids: Iterable[int]) -> set[int]:
    """Which of these images any run has listed for the query."""
    rows = connection.execute(
        text(
            "SELECT DISTINCT image_id FROM match WHERE query_id = :query AND image_id = ANY(:ids)"
        ),
        {"query": query.id, "ids": list(ids)},
    )
    return {row.image_id for row in rows}


def standing(connection: Connection, query: StoredQuery, ids: Iterable[int]) -> dict[int, str]:
    """The verdicts that stand on these images, as people read them."""
    rows = connection.execute(
        text(
            "SELECT image_id, verdict FROM verdict WHERE query_id = :query AND image_id = ANY(:ids)"
        ),
        {"query": query.id, "ids": list(ids)},
    )
    return {row.image_id: SAID[row.verdict] for row in rows}


def give(
    connection: Connection,
    query: StoredQuery,
    ids: Iterable[int],
    verdict: str,
    reviewer: str,
    note: str | None,
) -> set[int]:
    """Store a verdict, confirm or reject, on these images; return those where that is new.

    Without a note, an equal verdict keeps the note that it had; a contrary one drops it.
    """
    rows = connection.execute(
        text(
            "INSERT INTO verdict AS v (query_id, image_id, verdict, reviewer, note)"
            " SELECT :query, id, :verdict, :reviewer, :note FROM unnest(:ids ::bigint[]) AS id"
            " ON CONFLICT (query_id, image_id) DO UPDATE SET verdict = excluded.verdict,"
            " reviewer = excluded.reviewer, decided_at = excluded.decided_at,"
            " note = CASE WHEN v.verdict = excluded.verdict"
            " THEN coalesce(excluded.note, v.note) ELSE excluded.note END"
            " WHERE (v.verdict, v.reviewer) <> (excluded.verdict, excluded.reviewer)"
            " OR v.note IS DISTINCT FROM coalesce(excluded.note, v.note)"
            " RETURNING v.image_id"
        ),
        {
            "query": query.id,
            "ids": list(ids),
            "verdict": verdict,
            "reviewer": reviewer,
            "note": note,
        },
    )
    return {row.image_id for row in rows}


def withdraw(connection: Connection, query: StoredQuery, ids: Iterable[int]) -> set[int]:
    """Takes verdicts back; gives the images that had one."""
    rows = connection.execute(
        text(
            "DELETE FROM verdict WHERE query_id = :query AND image_id = ANY(:ids)"
            " RETURNING image_id"
        ),
        {"query": query.id, "ids": list(ids)},
    )
    return {row.image_id for row in rows}
