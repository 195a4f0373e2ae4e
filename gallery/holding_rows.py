"""What a collection holds: its images, the people and cameras that their names tell, and when the
newest was taken in. Counted, so for people who look and not for every request."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text


@dataclass(frozen=True)
class Holding:
    """`people` are those that file names or a manifest tell: neither junk (-1) nor distractors (0).
    `ingested_at` is None for an empty collection."""

    collection: str
    identities: str
    images: int
    people: int
    cameras: int
    ingested_at: datetime | None


def holdings(connection: Connection, collection_id: int | None = None) -> list[Holding]:
    """Count what is in all collections, by name, or in one."""
    rows = connection.execute(
        text(
            "SELECT c.name, c.identities, count(i.id),"
            " count(DISTINCT i.pid) FILTER (WHERE i.pid > 0), count(DISTINCT i.camid),"
            " max(i.ingested_at) FROM collection c LEFT JOIN image i ON i.collection_id = c.id"
            " WHERE CAST(:collection AS bigint) IS NULL OR c.id = :collection"
            " GROUP BY c.id ORDER BY c.name"
        ),
        {"collection": collection_id},
    )
    return [Holding(*row) for row in rows]
