"""How many images a collection has, and how many of them a model has embedded: kept, not counted.

Triggers add a row to `gallery_count` for whatever adds or removes images or features, in the same
transaction: a reader sees rows and their number as of one moment, and no path can forget it. They
only add, so that nobody waits for anybody; `fold_counts` adds the rows up now and then. An image
stays in its collection: no trigger looks at updates.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, text


@dataclass(frozen=True)
class Counts:
    """`embedded` images have features of the model, `waiting` ones neither features nor a task that
    failed: they are not embedded yet, and may be."""

    embedded: int
    waiting: int


_KEPT = (
    "SELECT coalesce(sum(images) FILTER (WHERE model_id IS NULL), 0)::bigint AS images,"
    " coalesce(sum(images) FILTER (WHERE model_id = :model), 0)::bigint AS embedded"
    " FROM gallery_count WHERE collection_id = ANY(:collections)"
)
_EMBEDDED = text(_KEPT)
# all of it in one statement, so of one moment
_WAITING = text(
    f"SELECT embedded, images - embedded - ("
    "SELECT count(*) FROM task t JOIN image i ON i.id = t.image_id"
    " WHERE t.model_id = :model AND t.state = 'failed' AND i.collection_id = ANY(:collections)"
    " AND NOT EXISTS (SELECT FROM feature f WHERE f.model_id = :model AND f.image_id = t.image_id)"
    f") AS waiting FROM ({_KEPT}) AS kept"
)


def counts(connection: Connection, model_id: int, collection_ids: list[int]) -> Counts:
    """Count the images of some collections together."""
    values = {"model": model_id, "collections": collection_ids}
    images, embedded = connection.execute(_EMBEDDED, values).one()
    if images == embedded:  # the usual case, and nothing can have failed
        return Counts(embedded, 0)
    return Counts(*connection.execute(_WAITING, values).one())


def fold_counts(connection: Connection, collection_id: int) -> None:
    """Adds up what was added row by row; what somebody else is adding up is left to them."""
    connection.execute(
        text(
            "WITH gone AS (DELETE FROM gallery_count WHERE id = ANY(ARRAY(SELECT id"
            " FROM gallery_count WHERE collection_id = :collection FOR UPDATE SKIP LOCKED))"
            " RETURNING model_id, images)"
            " INSERT INTO gallery_count (collection_id, model_id, images)"
            " SELECT :collection, model_id, sum(images) FROM gone GROUP BY model_id"
            " HAVING sum(images) <> 0"
        ),
        {"collection": collection_id},
    )
