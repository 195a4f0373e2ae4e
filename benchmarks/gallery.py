"""A database of a million people's images that never were, for measuring searches at that size.

.venv/bin/python benchmarks/gallery.py --home HOME --rows 1000000 [--seed 0]

The embeddings cluster like those of the default model on real people: some 17 images a person, on
twelve cameras; squared distances spread over directions with shares that fall by 1/e every 33, of a
person 0.63 and of its images 0.37 of the whole. Attributes follow the person's place in that space,
so that a filter cuts out a region, as clothes do. Rows are stored in blocks, each whole: run again,
it goes on where it was stopped, and the same seed gives the same rows.
"""

# N images, P people, L=256 directions, D=512 embedding numbers, A=56 scores

import argparse
import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import Engine, text

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from db.arrays import feature_rows  # noqa: E402
from db.connect import DatabaseAddress  # noqa: E402
from db.driver import driver_of  # noqa: E402
from db.open import open_database  # noqa: E402
from gallery.collections import collection_called, raise_revision  # noqa: E402
from gallery.models import chosen  # noqa: E402
from gallery.store import write_features  # noqa: E402
from vocabulary import COLUMNS, NUM_VALUES, decide  # noqa: E402

BLOCK = 20_000  # images; people do not reach over blocks
COLLECTION = "drawn"
_DIRECTIONS, _FALL = 256, 33.0
_PERSON, _CAMERA, _IMAGE = 0.63, 0.15, 0.22  # shares of the variance
_IMAGES, _CAMERAS = 17, 12
# how many people have value 2; the three that the benchmark filters by are exact
_SHARE = {"gender": 0.5, "upgreen": 0.05, "downpink": 0.005, "hat": 0.03, "backpack": 0.27}

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class People:
    """Who is in one block: their centres (P, L), and how many images each has."""

    centres_PL: Floats
    counts_P: npt.NDArray[np.int64]


def _rng(seed: int, *what: int) -> np.random.Generator:
    return np.random.default_rng([seed, *what])


def _deviations_L() -> Floats:
    variances_L = np.exp(-np.arange(_DIRECTIONS) / _FALL)
    deviations_L: Floats = np.sqrt(variances_L / variances_L.sum()).astype(np.float32)
    return deviations_L


def _rotation_LD() -> Floats:
    square = np.linalg.qr(_rng(0, 1).normal(size=(512, 512)))[0]
    return np.ascontiguousarray(square[:_DIRECTIONS], np.float32)


def people_of(seed: int, block: int) -> People:
    """The people of a block; their images are `BLOCK` in all."""
    rng = _rng(seed, block, 0)
    counts_P = 1 + rng.geometric(1 / (_IMAGES - 1), size=BLOCK // 4)
    last = int(np.searchsorted(counts_P.cumsum(), BLOCK))
    counts_P = counts_P[: last + 1]
    counts_P[-1] -= counts_P.sum() - BLOCK
    centres_PL = rng.normal(size=(len(counts_P), _DIRECTIONS)).astype(np.float32)
    return People(centres_PL * _deviations_L(), counts_P)


def embedded(centres_NL: Floats, camera_NL: Floats, rng: np.random.Generator) -> Floats:
    """One image of each person at its camera: (N, 512), of length 1."""
    noise_NL = rng.normal(size=centres_NL.shape).astype(np.float32) * _deviations_L()
    mixed_NL = (
        np.sqrt(_PERSON) * centres_NL + np.sqrt(_CAMERA) * camera_NL + np.sqrt(_IMAGE) * noise_NL
    )
    rows_ND = mixed_NL @ _rotation_LD()
    rows_ND /= np.linalg.norm(rows_ND, axis=1, keepdims=True)
    # NumPy's square roots are float64, and so is what they touch
    unit_ND: Floats = rows_ND.astype(np.float32)
    return unit_ND


def _scores(centres_PL: Floats, seed: int) -> Floats:
    """56 scores of each person, (P, A): a column's value 2 lies on one side of a plane."""
    planes_LC = _rng(seed, 2).normal(size=(_DIRECTIONS, len(COLUMNS))).astype(np.float32)
    planes_LC /= np.linalg.norm(planes_LC * _deviations_L()[:, None], axis=0)
    sides_PC = centres_PL @ planes_LC
    parts = []
    for column, side_P in zip(COLUMNS, sides_PC.T, strict=True):
        beyond_P = side_P - NormalDist().inv_cdf(1 - _SHARE.get(column, 0.08))
        second_P = 1 / (1 + np.exp(-8 * beyond_P))
        if NUM_VALUES[column] == 2:
            parts += [1 - second_P, second_P]
        else:
            rest_P = (1 - second_P) / 3
            parts += [rest_P, second_P, rest_P * 1.2, rest_P * 0.8]
    return np.stack(parts, axis=1).astype(np.float32)


def queries(count: int, rows: int, seed: int = 0) -> Floats:
    """(count, 512): an image more of people who are among the first `rows` images."""
    blocks = max(1, rows // BLOCK)
    found: list[Floats] = []
    for block in range(min(blocks, count)):
        rng, people = _rng(seed, block, 3), people_of(seed, block)
        wanted = count // min(blocks, count) + (block < count % min(blocks, count))
        centres_NL = people.centres_PL[rng.choice(len(people.counts_P), wanted)]
        camera_NL = rng.normal(size=centres_NL.shape).astype(np.float32) * _deviations_L()
        found.append(embedded(centres_NL, camera_NL, rng))
    return np.concatenate(found)


def _images(seed: int, block: int) -> tuple[list[int], list[int], Floats, Floats]:
    """(person of each image, its camera, embeddings, scores) in an order that mixes people."""
    people, rng = people_of(seed, block), _rng(seed, block, 1)
    person_N = np.repeat(np.arange(len(people.counts_P)), people.counts_P)
    rng.shuffle(person_N)
    camera_N = rng.integers(1, _CAMERAS + 1, len(person_N))
    shape = (len(people.counts_P), 3, _DIRECTIONS)  # a person is seen by up to three cameras
    at_camera = rng.normal(size=shape).astype(np.float32) * _deviations_L()
    embeddings_ND = embedded(people.centres_PL[person_N], at_camera[person_N, camera_N % 3], rng)
    scores_NA = _scores(people.centres_PL, seed)[person_N]
    return person_N.tolist(), camera_N.tolist(), embeddings_ND, scores_NA


def fill(engine: Engine, rows: int, seed: int = 0) -> Iterator[int]:
    """Stores what is missing to `rows` images, a block at a time; gives how many are there."""
    model = chosen(engine, None)
    with engine.begin() as connection:
        collection = collection_called(connection, COLLECTION, None)
        stored: int = connection.execute(
            text("SELECT count(*) FROM feature WHERE collection_id = :c"), {"c": collection.id}
        ).scalar_one()
    for block in range(stored // BLOCK, rows // BLOCK):
        with engine.begin() as connection:
            _store(connection, model.id, collection.id, seed, block)
            raise_revision(connection, collection.id)
        yield (block + 1) * BLOCK
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SELECT setval(pg_get_serial_sequence('image', 'id'),"
                                " (SELECT max(id) FROM image))"))  # fmt: skip
        connection.execute(text("VACUUM (ANALYZE) image, feature, task"))


def _store(connection: Any, model_id: int, collection_id: int, seed: int, block: int) -> None:
    person_N, camera_N, embeddings_ND, scores_NA = _images(seed, block)
    ids = range(block * BLOCK + 1, (block + 1) * BLOCK + 1)
    with driver_of(connection).cursor() as cursor:
        image = "COPY image (id, collection_id, path, source, content_hash, pid, camid) FROM STDIN"
        with cursor.copy(image) as copy:
            for image_id, person, camid in zip(ids, person_N, camera_N, strict=True):
                pid = block * BLOCK + person + 1
                path = f"{pid:07d}_c{camid}_{image_id:09d}.jpg"
                digest = hashlib.sha256(path.encode()).digest()
                copy.write_row((image_id, collection_id, path, "/drawn", digest, pid, camid))
        labels = [decide(row) for row in scores_NA.tolist()]
        data = feature_rows(
            model_id, collection_id, ids, camera_N, labels, scores_NA, [0.9] * BLOCK, embeddings_ND
        )
        write_features(connection, data)
        cursor.execute(
            "INSERT INTO task (model_id, image_id, state, attempts)"
            " SELECT %s, id, 'done', 1 FROM generate_series(%s::bigint, %s::bigint) AS id",
            (model_id, ids[0], ids[-1]),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path, required=True, help="a REID_HOME of its own")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    engine = open_database(DatabaseAddress(asked.home.absolute()))
    for stored in fill(engine, asked.rows, asked.seed):
        print(f"{stored:,} of {asked.rows:,} images", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
