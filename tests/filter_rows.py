"""Images with features that filters are tried on, and how they come into a database."""

import random
from datetime import timedelta

from sqlalchemy import Connection, insert

from db.schema import Collection, Feature, Image, Model
from tests.filter_oracle import Row, real
from tests.filter_trees import CAMERAS, COLLECTIONS, PATHS, PIDS, SCORES, TIMES
from vocabulary import COLUMNS, LABEL_OF, LOWER_COLUMNS, UPPER_COLUMNS


def random_labels(chance: random.Random) -> tuple[int, ...]:
    """27 labels with at most one upper and one lower colour, as `vocabulary.decide` gives."""
    value = {column: chance.choice((1, 2)) for column in COLUMNS} | {"age": chance.randint(1, 4)}
    for group in (UPPER_COLUMNS, LOWER_COLUMNS):
        chosen = chance.choice((None, *group))
        value |= {column: 2 if column == chosen else 1 for column in group}
    return tuple(LABEL_OF[f"{column}-{value[column]}"] for column in COLUMNS)


def random_row(chance: random.Random, number: int) -> Row:
    def score() -> float:
        return real(chance.choice((*SCORES, chance.random())))

    return Row(
        labels=random_labels(chance),
        scores=tuple(score() for _ in range(56)),
        quality=chance.choice((None, score())),
        camera=chance.choice((None, *CAMERAS)),
        pid=chance.choice((None, *PIDS)),
        collection=chance.choice(COLLECTIONS),
        path=chance.choice(PATHS) if number < 60 else f"{chance.choice(PATHS)}{number}",
        ingested=chance.choice(TIMES) + timedelta(microseconds=chance.choice((-1, 0, 0, 1))),
        taken=chance.choice((None, *TIMES)),
    )


def store(connection: Connection, rows: list[Row]) -> dict[int, Row]:
    """The rows by the image id that they were given."""
    model_id = connection.scalar(
        insert(Model).returning(Model.id),
        {
            "name": "m", "content_hash": b"m", "architecture": "a", "preprocessing": {},
            "dimension": 512, "distance": "l2", "normalised": True, "attribute_names": [],
            "calibration": {}, "cutoffs": {}, "header": {},
        },
    )  # fmt: skip
    names = sorted({row.collection for row in rows})
    ids = {
        name: connection.scalar(insert(Collection).returning(Collection.id), {"name": name})
        for name in names
    }
    stored: dict[int, Row] = {}
    for number, row in enumerate(rows):
        image = {
            "collection_id": ids[row.collection], "path": row.path, "source": "s",
            "path_raw": str(number).encode(), "pid": row.pid, "camid": row.camera,
            "ingested_at": row.ingested, "captured_at": row.taken,
        }  # fmt: skip
        image_id = connection.scalar(insert(Image).returning(Image.id), image)
        assert image_id is not None
        stored[image_id] = row
    features = [
        {
            "model_id": model_id, "image_id": image_id, "collection_id": ids[row.collection],
            "camid": row.camera, "labels": list(row.labels), "scores": list(row.scores),
            "quality": row.quality, "embedding": [0.0] * 512,
        }
        for image_id, row in stored.items()
    ]  # fmt: skip
    connection.execute(insert(Feature), features)
    return stored
