"""Two models' workers store the same images at the same time."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from sqlalchemy import Connection, Engine, text

from gallery import manifest
from gallery.model_rows import ModelRow
from gallery.store import Batch, Features, ReadImage, store_batch
from tests.fakes import names, register, register_fake_model, write_pictures

_WAITING = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                " AND datname = current_database()")  # fmt: skip


def leased(connection: Connection, model: ModelRow, thumbnail: bytes) -> tuple[int, Batch]:
    worker = manifest.become_worker(connection)
    with connection.begin():
        claims = manifest.claim(connection, worker, model.id, 10)
    images = tuple(
        ReadImage(claim.image_id, claim.collection_id, None, b"%032d" % n, 32, 64, thumbnail)
        for n, claim in enumerate(claims)
    )
    scores_NA = np.full((len(images), 56), 0.5, np.float32)
    embeddings_ND = np.full((len(images), 512), 0.25, np.float32)
    return worker, Batch(images, Features(scores_NA, embeddings_ND, (None,) * len(images)))


def test_the_second_waits_and_replaces_the_thumbnails(engine: Engine, tmp_path: Path) -> None:
    model = register_fake_model(engine)
    other = register_fake_model(engine, "other")
    folder = write_pictures(tmp_path / "crops", names(3))
    for registered in (model, other):
        register(engine, folder, "gallery", registered)
    with (
        engine.connect() as first,
        engine.connect() as second,
        engine.connect() as watching,
        ThreadPoolExecutor(1) as threads,
    ):
        watching = watching.execution_options(isolation_level="AUTOCOMMIT")
        one, two = leased(first, model, b"first"), leased(second, other, b"second")

        def store_second() -> set[int]:
            with second.begin():
                return store_batch(second, two[0], other.id, two[1])

        with first.begin():
            assert len(store_batch(first, one[0], model.id, one[1])) == 3
            storing = threads.submit(store_second)
            while not watching.scalar(_WAITING):
                assert not storing.done(), storing.result()
                time.sleep(0.01)
        assert len(storing.result(timeout=60)) == 3
        stored = watching.execute(text("SELECT jpeg FROM thumbnail")).scalars().all()
        features = watching.scalar(text("SELECT count(*) FROM feature"))
    assert [bytes(jpeg) for jpeg in stored] == [b"second"] * 3
    assert features == 6
