"""What is told of images, rather than read from them: person, camera, and when each was taken."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from gallery import centring
from gallery.collections import raise_revision
from gallery.manifest import ALIVE


@dataclass(frozen=True)
class ToldFacts:
    """Corrections for one image; only the fields in `columns` (`pid`, `camid`, `time`) change."""

    path: str
    path_raw: bytes | None
    columns: frozenset[str]
    pid: int | None
    camid: int | None
    captured_at: datetime | None


def correct(connection: Connection, collection_id: int, told: Sequence[ToldFacts]) -> int:
    """Brings images to what is told of them now; gives the number that it was not true of.

    What a living worker holds is left for the next time: it has read the old facts.
    """
    ids = list(
        connection.scalars(
            text(
                "UPDATE image SET"
                " pid = CASE WHEN f.has_pid THEN f.pid ELSE image.pid END,"
                " camid = CASE WHEN f.has_camid THEN f.camid ELSE image.camid END,"
                " captured_at = CASE WHEN f.has_time THEN f.time ELSE image.captured_at END"
                " FROM unnest(:paths ::text[], :raws ::bytea[], :has_pid ::bool[], :pids ::int[],"
                " :has_camid ::bool[], :camids ::smallint[], :has_time ::bool[],"
                " :times ::timestamptz[])"
                " AS f(path, path_raw, has_pid, pid, has_camid, camid, has_time, time)"
                " WHERE image.collection_id = :collection AND image.path = f.path"
                " AND image.path_raw IS NOT DISTINCT FROM f.path_raw"
                " AND (f.has_pid AND image.pid IS DISTINCT FROM f.pid"
                " OR f.has_camid AND image.camid IS DISTINCT FROM f.camid"
                " OR f.has_time AND image.captured_at IS DISTINCT FROM f.time)"
                " AND NOT EXISTS (SELECT 1 FROM task WHERE task.image_id = image.id"
                f" AND task.state = 'leased' AND {ALIVE}) RETURNING image.id"
            ).columns(),
            {
                "collection": collection_id,
                "paths": [one.path for one in told],
                "raws": [one.path_raw for one in told],
                "has_pid": ["pid" in one.columns for one in told],
                "pids": [one.pid for one in told],
                "has_camid": ["camid" in one.columns for one in told],
                "camids": [one.camid for one in told],
                "has_time": ["time" in one.columns for one in told],
                "times": [one.captured_at for one in told],
            },
        )
    )
    if ids:
        raw = {
            model_id: centring.raw_of(connection, model_id, ids)
            for model_id in centring.centred_models(connection)
        }
        connection.execute(
            text(
                "UPDATE feature SET camid = i.camid FROM image i WHERE i.id = ANY(:ids)"
                " AND feature.image_id = i.id AND feature.camid IS DISTINCT FROM i.camid"
            ),
            {"ids": ids},
        )
        for model_id, embeddings in raw.items():
            centring.centre_again(connection, model_id, embeddings)
        raise_revision(connection, collection_id)
    return len(ids)
