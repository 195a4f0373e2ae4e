"""The batch store beside a plain binary COPY of the same ready bytes: rows/s, and what the rest is.

.venv/bin/python benchmarks/storing.py [--rows 20000] [--batch 64 --batch 512]

A database of its own. A third of the batches is stored by `gallery.store.store_batch`, from
features that lie ready: leases confirmed, hashes and thumbnails written, labels decided, features
copied, tasks settled, the collection's revision raised. The others are bytes that were packed
before: of the features alone, in one COPY, and of features and thumbnails, in two. A transaction a
batch everywhere, one batch of each in turn, so that all see tables of one size, with the same
indexes, foreign keys and triggers. CPU seconds are of this process and of the server. Linux only.
"""

# N images, A=56 scores, D=512 embedding numbers

import argparse
import hashlib
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from sqlalchemy import Connection, Engine, event

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.costs import Cost, Meter, own_database, total
from db.arrays import blob_rows, feature_rows
from gallery import manifest, store
from gallery.collections import CollectionRow, collection_called
from gallery.manifest import Claim, FileFacts
from gallery.model_rows import ModelRow, register
from gallery.store import Batch, Features, ReadImage, store_batch, write_features, write_thumbnails
from images.preprocessing import Preprocessing
from models.checkpoint import Header
from vocabulary import decide

THUMBNAIL_BYTES = 2284  # the mean of real crops of 64x128
STORE, FEATURES, BOTH = "store_batch", "COPY of features", "COPY of features, thumbnails"
Way = Callable[[Connection], object]


@dataclass(frozen=True)
class Ready:
    """A leased batch, and its bytes as COPY takes them."""

    batch: Batch
    features: bytes
    thumbnails: bytes


def draw(claims: list[Claim], model: ModelRow, rng: np.random.Generator) -> Ready:
    """What a network might have said of these images, and how it is packed."""
    count = len(claims)
    scores_NA = rng.random((count, 56), np.float32)
    embeddings_ND = rng.normal(size=(count, 512)).astype(np.float32)
    embeddings_ND /= np.linalg.norm(embeddings_ND, axis=1, keepdims=True)
    images = tuple(
        ReadImage(
            image_id=claim.image_id,
            collection_id=claim.collection_id,
            camid=claim.camid,
            content_hash=hashlib.sha256(claim.path.encode()).digest(),
            width=64,
            height=128,
            thumbnail=rng.bytes(THUMBNAIL_BYTES),
        )
        for claim in claims
    )
    ids = [image.image_id for image in images]
    features = feature_rows(
        model.id,
        claims[0].collection_id,
        ids,
        [image.camid for image in images],
        [decide(row) for row in scores_NA.tolist()],
        scores_NA,
        [0.9] * count,
        embeddings_ND,
    )
    return Ready(
        Batch(computed=images, features=Features(scores_NA, embeddings_ND, (0.9,) * count)),
        features,
        blob_rows(ids, [image.thumbnail for image in images]),
    )


def _fill(engine: Engine, collection: CollectionRow, model: ModelRow, rows: int) -> None:
    files = [FileFacts(f"{n:07}_c{1 + n % 6}.jpg", None, 4000, n, n, 1 + n % 6)
             for n in range(rows)]  # fmt: skip
    with engine.begin() as connection:
        for start in range(0, rows, 2000):
            part = files[start : start + 2000]
            manifest.register(connection, collection.id, model.id, "/drawn", part)


class Parts:
    """Seconds on the clock of what `store_batch` asks of the server, by statement; and of COPY."""

    def __init__(self, engine: Engine) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.watching = False
        self._write = write_features
        event.listen(engine, "before_cursor_execute", self._before)
        event.listen(engine, "after_cursor_execute", self._after)

    def _before(self, *_: Any) -> None:
        self._began = time.perf_counter()

    def _after(self, _connection: Any, _cursor: Any, stmt: str, *_: Any) -> None:
        if self.watching:
            self.seconds[" ".join(stmt.split()[:4])] += time.perf_counter() - self._began

    def write(self, connection: Connection, rows: bytes) -> None:
        began = time.perf_counter()
        self._write(connection, rows)
        if self.watching:
            self.seconds["COPY feature"] += time.perf_counter() - began


def compare(engine: Engine, home: Path, model: ModelRow, rows: int, size: int) -> None:
    """The table of one batch size."""
    with engine.begin() as connection:
        collection = collection_called(connection, f"of {size}", None)
    _fill(engine, collection, model, 3 * rows)
    meter, parts, rng = Meter(home), Parts(engine), np.random.default_rng(size)
    costs: dict[str, list[Cost]] = {STORE: [], FEATURES: [], BOTH: []}
    commits = 0.0
    with engine.connect() as connection:
        worker = manifest.become_worker(connection)
        for turn in range(rows // size):
            ready = []
            for _ in costs:
                with connection.begin():
                    claims = manifest.claim(connection, worker, model.id, size, collection.id)
                ready.append(draw(claims, model, rng))
            one, two, three = ready

            def stored(connection: Connection, ready: Ready = one) -> None:
                store_batch(connection, worker, model.id, ready.batch)

            def features(connection: Connection, ready: Ready = two) -> None:
                write_features(connection, ready.features)

            def both(connection: Connection, ready: Ready = three) -> None:
                write_features(connection, ready.features)
                write_thumbnails(connection, ready.thumbnails)

            ways: dict[str, Way] = {STORE: stored, FEATURES: features, BOTH: both}
            names = list(ways)
            for name in names[turn % 3 :] + names[: turn % 3]:
                parts.watching = name == STORE
                meter.read()
                with patch.object(store, "write_features", parts.write):
                    with connection.begin():
                        ways[name](connection)
                        before = time.perf_counter()
                    commits += time.perf_counter() - before if name == STORE else 0.0
                costs[name].append(meter.read())
                parts.watching = False
    parts.seconds["COMMIT"] = commits
    show(size, {name: total(found[1:]) for name, found in costs.items()}, size * len(costs[STORE]))
    clock = total(costs[STORE]).clock
    parts.seconds["Python, the rest"] = clock - sum(parts.seconds.values())
    for name, seconds in sorted(parts.seconds.items(), key=lambda item: -item[1]):
        print(f"    {name:44} {seconds / clock:6.1%} of the store's clock")


def show(size: int, costs: dict[str, Cost], rows: int) -> None:
    print(f"\nbatches of {size}, {rows:,} rows by each way; load {os.getloadavg()[0]:.1f}")
    print(f"{'':30} {'rows/s':>8} {'us of CPU':>10} {'here':>7} {'server':>7}"
          "  its rate against store_batch: by CPU, by clock")  # fmt: skip
    ours = costs[STORE]
    for name, cost in costs.items():
        print(
            f"{name:30} {rows / cost.clock:8.0f} {1e6 * cost.cpu / rows:10.0f} "
            f"{1e6 * cost.here / rows:7.0f} {1e6 * cost.server / rows:7.0f}  store is "
            f"{cost.cpu / ours.cpu:.2f} by CPU, {cost.clock / ours.clock:.2f} by clock"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--batch", type=int, action="append")
    given = parser.parse_args()
    with own_database() as (home, engine):
        header = Header("drawn", Preprocessing(128, 64))
        with engine.begin() as connection:
            model = register(connection, "drawn", "00" * 32, header.to_json())
        for size in given.batch or [64, 512]:
            compare(engine, home, model, given.rows, size)


if __name__ == "__main__":
    main()
