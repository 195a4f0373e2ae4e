"""An image of the gallery as people and programs see it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, text

from errors import UsageError
from gallery.model_rows import ModelRow
from gallery.models import chosen
from vocabulary import describe


@dataclass(frozen=True)
class StoredImage:
    """An image of a collection. What reading gives is None until it was read; `quality` and
    `attributes` are the model's, None where it has not embedded the image."""

    id: int
    collection: str
    path: str
    content_hash: str | None
    width: int | None
    height: int | None
    pid: int | None
    camid: int | None
    ingested_at: datetime
    missing: bool
    model: str
    quality: float | None
    attributes: dict[str, str] | None


def images_by_id(
    connection: Connection, model: ModelRow, ids: Sequence[int]
) -> dict[int, StoredImage]:
    """What is stored of these images; those that are not there are left out."""
    rows = connection.execute(
        text(
            "SELECT i.id, c.name AS collection, i.path, encode(i.content_hash, 'hex') AS hash,"
            " i.width, i.height, i.pid, i.camid, i.ingested_at, i.missing_since, f.quality,"
            " f.labels FROM image i JOIN collection c ON c.id = i.collection_id"
            " LEFT JOIN feature f ON f.image_id = i.id AND f.model_id = :model"
            " WHERE i.id = ANY(:ids)"
        ),
        {"model": model.id, "ids": list(ids)},
    )
    return {
        row.id: StoredImage(
            row.id, row.collection, row.path, row.hash, row.width, row.height, row.pid, row.camid,
            row.ingested_at, row.missing_since is not None, model.name, row.quality,
            None if row.labels is None else describe(row.labels),
        )
        for row in rows
    }  # fmt: skip


def image(engine: Engine, image_id: int) -> StoredImage:
    """An image with what the active model says of it. Raises UnknownImage."""
    model = chosen(engine, None)
    with engine.connect() as connection:
        found = images_by_id(connection, model, [image_id]).get(image_id)
    if found is None:
        raise UnknownImage(f"no image {image_id}; it may have been removed")
    return found


class UnknownImage(UsageError):
    """No image of that number can be searched for."""

    http_status = 404
