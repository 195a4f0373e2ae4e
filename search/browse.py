"""Long lists in order of their keys, a piece at a time: images of a collection, matches of a run.

The next piece starts after the last key of this one, wherever that stands by then: nothing is
shown twice or skipped while images come and go.
"""

from sqlalchemy import Connection, Engine

from db.schema import Feature
from gallery.collections import collection_named
from gallery.models import chosen
from gallery.stored_images import StoredImage, images_by_id
from search.filters.parse import parse
from search.filters.tree import Filter
from search.question import Question, Scope
from search.statement import passing


def images_after(
    connection: Connection, scope: Scope, filter: Filter | None, after: int, limit: int
) -> list[StoredImage]:
    """Up to `limit` images that the model has embedded and that pass, by id, after that one."""
    stmt = passing(scope, Question(filter=filter), Feature.image_id)
    stmt = stmt.where(Feature.image_id > after).order_by(Feature.image_id).limit(limit)
    ids = list(connection.scalars(stmt))
    found = images_by_id(connection, scope.model, ids)
    return [found[image_id] for image_id in ids if image_id in found]


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
        return images_after(connection, scope, filter, after, limit)
