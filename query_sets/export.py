"""The assignment's two files, byte-stable: exported twice, the bytes are equal."""

import csv
import io
from dataclasses import dataclass

from sqlalchemy import Connection, text

from errors import ReidError
from gallery.collections import CollectionRow
from gallery.model_rows import ModelRow
from query_sets.export_names import exported, in_collection, shortest, unambiguous
from vocabulary import COLUMNS, values_in_order


class NothingToExport(ReidError):
    """There is no stored answer to write."""

    http_status = 409


@dataclass(frozen=True)
class Exported:
    """A file's text, and what it holds."""

    text: str
    lines: int
    with_matches: int = 0
    left_out: int = 0


def reid_test(connection: Connection, run_id: int, min_quality: float = 0.0) -> Exported:
    """One line a query, best match first: `000616.jpg: 001249.jpg, 000316.jpg`.

    Queries stand in the order of their names, which `query add` has made as
    `query_sets.export_names` says; one without a match keeps its colon. Matches of less crop
    quality than `min_quality` are left out; where the model has not learned quality, none is.
    """
    named = connection.execute(
        text(
            "SELECT q.id, q.name FROM run_query r JOIN query q ON q.id = r.query_id"
            ' WHERE r.run_id = :run ORDER BY q.name COLLATE "C"'
        ),
        {"run": run_id},
    ).all()
    lists = connection.execute(
        text(
            "SELECT query_id, array_agg(image_id ORDER BY rank) FILTER (WHERE good),"
            " count(*) FILTER (WHERE NOT good) FROM (SELECT m.query_id, m.image_id, m.rank,"
            " coalesce(f.quality >= :min_quality, true) AS good FROM match m"
            " JOIN run r ON r.id = m.run_id"
            " LEFT JOIN feature f ON f.image_id = m.image_id AND f.model_id = r.model_id"
            " WHERE m.run_id = :run) AS judged GROUP BY query_id"
        ),
        {"run": run_id, "min_quality": min_quality},
    ).all()
    matches = {query_id: image_ids for query_id, image_ids, _ in lists if image_ids}
    gallery = _gallery_names(connection, run_id)
    lines = [
        f"{name}: {', '.join([gallery[i] for i in matches.get(query_id, ())])}".rstrip()
        for query_id, name in named
    ]
    left_out = sum(row[2] for row in lists)
    return Exported("".join(f"{line}\n" for line in lines), len(lines), len(matches), left_out)


def _gallery_names(connection: Connection, run_id: int) -> dict[int, str]:
    """Names by image id, unambiguous within the whole galleries of the run."""
    rows = connection.execute(
        text(
            "SELECT i.id, i.path, i.path_raw, c.name FROM image i"
            " JOIN collection c ON c.id = i.collection_id"
            " WHERE c.id::text IN (SELECT jsonb_object_keys(gallery_revisions) FROM run"
            " WHERE id = :run)"
        ),
        {"run": run_id},
    ).all()
    several = len({row[3] for row in rows}) > 1
    return shortest(
        {
            image_id: in_collection(collection, path, raw) if several else exported(path, raw)
            for image_id, path, raw, collection in rows
        }
    )


MATCH_COLUMNS = ("query", "rank", "image_id", "collection", "path", "distance", "pid", "camid")


def matches(connection: Connection, run_id: int) -> Exported:
    """CSV, a row a match: queries in the order of their names, best match first, ranks from 1."""
    rows = connection.execute(
        text(
            "SELECT q.name, row_number() OVER (PARTITION BY m.query_id ORDER BY m.rank),"
            " m.image_id, c.name AS collection, i.path, m.distance, i.pid, i.camid FROM match m"
            " JOIN query q ON q.id = m.query_id JOIN image i ON i.id = m.image_id"
            " JOIN collection c ON c.id = i.collection_id WHERE m.run_id = :run"
            ' ORDER BY q.name COLLATE "C", m.rank'
        ),
        {"run": run_id},
    ).all()
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(MATCH_COLUMNS)
    writer.writerows(tuple(row) for row in rows)
    return Exported(out.getvalue(), len(rows), len({row[0] for row in rows}))


def classification(connection: Connection, model: ModelRow, collection: CollectionRow) -> Exported:
    """The header of `annotations_train.csv` and a row an image, in the order of names.

    `id` is the file name; the values are the decided ones, 1 or 2, age 1 to 4.
    """
    rows = connection.execute(
        text(
            "SELECT i.path, i.path_raw, f.labels FROM feature f JOIN image i ON i.id = f.image_id"
            " WHERE f.model_id = :model AND i.collection_id = :collection"
        ),
        {"model": model.id, "collection": collection.id},
    ).all()
    if not rows:
        raise NothingToExport(
            f"collection {collection.name!r} has nothing stored by model {model.name!r}; "
            f"run `reid ingest FOLDER --collection {collection.name}`"
        )
    names = unambiguous((row[0], row[1]) for row in rows)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["id", *COLUMNS])
    for name, labels in sorted((names[row[0], row[1]], row[2]) for row in rows):
        writer.writerow([name, *values_in_order(labels)])
    return Exported(out.getvalue(), len(rows))
