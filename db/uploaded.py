"""Images that were sent one by one, in the manifest."""

from sqlalchemy import Connection, text

from db.manifest import Known, known_files


def find(connection: Connection, collection_id: int, model_id: int, path: str) -> Known | None:
    """What the manifest holds of the file of that path, for one model."""
    return known_files(connection, collection_id, model_id, [path]).get((path, None))


def is_stored(known: Known) -> bool:
    return known.state == "done" and not known.missing


def forget(connection: Connection, image_id: int) -> bool:
    """Removes an image that no model has embedded; False where one has."""
    stmt = text(
        "DELETE FROM image WHERE id = :id AND NOT EXISTS (SELECT FROM feature WHERE image_id = :id)"
    )
    return connection.execute(stmt, {"id": image_id}).rowcount > 0
