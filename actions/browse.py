"""Looking through what is stored, a piece at a time."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Engine

from actions.models import chosen
from actions.query_images import UnknownImage
from db.collections import collection_named
from search import browse
from search.browse import RunMatch, StoredImage
from search.filters.parse import parse
from search.question import Scope


def image(engine: Engine, image_id: int) -> StoredImage:
    """An image with what the active model says of it. Raises UnknownImage."""
    model = chosen(engine, None)
    with engine.connect() as connection:
        found = browse.images_by_id(connection, model, [image_id]).get(image_id)
    if found is None:
        raise UnknownImage(f"no image {image_id}; it may have been removed")
    return found


def images_of(
    engine: Engine, collection: str, *, where: str | None, model: str | None, after: int, limit: int
) -> list[StoredImage]:
    """Up to `limit` embedded images of a collection that pass the filter, by id, after that one.

    Raises UnknownCollection, UnknownModel, BadFilter.
    """
    row = chosen(engine, model)
    filter = None if where is None else parse(where)
    with engine.connect() as connection:
        scope = Scope(row, (collection_named(connection, collection),))
        return browse.images_after(connection, scope, filter, after, limit)


def matches_of(
    engine: Engine, run_id: int, *, after: tuple[int, int], limit: int
) -> list[RunMatch]:
    """Up to `limit` matches of a run after this key. Raises UnknownRun."""
    with engine.connect() as connection:
        return browse.matches_after(connection, run_id, after, limit)


def rows(found: Sequence[StoredImage] | Sequence[RunMatch]) -> list[dict[str, Any]]:
    return [asdict(item) for item in found]
