"""The small JPEGs of stored images."""

from collections.abc import Iterable, Sequence

from sqlalchemy import ARRAY, BigInteger, Engine, bindparam, text


def thumbnails_of(engine: Engine, image_ids: Iterable[int]) -> dict[int, bytes]:
    """The stored JPEGs of images, by image id."""
    stmt = text("SELECT image_id, jpeg FROM thumbnail WHERE image_id = ANY(:ids)").bindparams(
        bindparam("ids", type_=ARRAY(BigInteger))
    )
    with engine.connect() as connection:
        rows = connection.execute(stmt, {"ids": sorted(set(image_ids))})
        return {row[0]: bytes(row[1]) for row in rows}


def thumbnail(engine: Engine, image_id: int) -> bytes | None:
    """An image's stored JPEG, None where there is none."""
    if not 0 < image_id < 2**63:
        return None
    stmt = text("SELECT jpeg FROM thumbnail WHERE image_id = :id")
    with engine.connect() as connection:
        jpeg = connection.scalar(stmt, {"id": image_id})
    return None if jpeg is None else bytes(jpeg)


def some_images(engine: Engine, collections: Sequence[str], number: int) -> list[int]:
    """Images of collections to begin with, spread over all that is stored: neighbours are often of
    one person. Collections that are not there have none."""
    stmt = text(
        "WITH c AS (SELECT id FROM collection WHERE name = ANY(:names)),"
        " ends AS (SELECT min(id) AS low, max(id) AS high FROM image)"
        " SELECT DISTINCT near.id FROM ends, generate_series(0, :number - 1) AS n,"
        " LATERAL (SELECT i.id FROM image i WHERE i.collection_id IN (SELECT id FROM c)"
        " AND i.id >= low + (high - low) * n / :number ORDER BY i.id LIMIT 1) AS near"
        " JOIN thumbnail t ON t.image_id = near.id ORDER BY near.id"
    )
    with engine.connect() as connection:
        found = connection.scalars(stmt, {"names": list(collections), "number": number})
        return list(found)
