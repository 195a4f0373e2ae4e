"""Files that crash or hang their decoder, in a worker; and how the worker leaves its decoders."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import Engine

from gallery.model_rows import ModelRow
from images.decoder_pool import Decoders
from ingest.worker import Worker
from tests.fakes import (
    FakeNetwork,
    everything_stored,
    ingest,
    names,
    register,
    register_fake_model,
    write_pictures,
)
from tests.poison import REASONS, let_it_work, poison
from tests.rows import failures, states

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def model(engine: Engine) -> ModelRow:
    return register_fake_model(engine)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty images, and poison in the first two batches of eight."""
    folder = write_pictures(tmp_path / "people", names(20))
    for name, what in (("0001_b", "segment"), ("0004_b", "hang"), ("0004_c", "leave")):
        (folder / f"{name}.jpg").write_bytes(poison(what))
    return folder


def test_poison_fails_alone_with_its_reason(
    engine: Engine, folder: Path, model: ModelRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, _ = register(engine, folder, "g", model)
    let_it_work(monkeypatch)
    with Worker(
        engine, FakeNetwork(), model.id, batch_size=8, decoders=Decoders(seconds=3)
    ) as worker:
        progress = worker.work(row.id)
    assert (progress.stored, progress.failed) == (20, 3)
    assert failures(engine) == {
        "0001_b.jpg": REASONS["segment"],
        "0004_b.jpg": "decoding took longer than 3 s",
        "0004_c.jpg": REASONS["leave"],
    }
    monkeypatch.undo()
    stored = [row[1:] for row in everything_stored(engine) if row[15] == "done"]
    for file in folder.glob("*.jpg"):
        file.unlink()
    ingest(engine, folder, "clean", model, FakeNetwork())
    clean = [row[1:] for row in everything_stored(engine) if row[0] == "clean"]
    assert stored == clean


WORKER = """
import signal, sys
from pathlib import Path
import images.decoder_pool
from gallery import model_rows as registry
from db.connect import DatabaseAddress, make_engine
from images.decoder_pool import Decoders
from ingest.worker import Worker
from tests import poison
from tests.fakes import FakeNetwork, register

signal.signal(signal.SIGTERM, signal.default_int_handler)  # as cli.main does
images.decoder_pool._SERVE = poison._SERVE
engine = make_engine(DatabaseAddress(Path(), sys.argv[1]))
with engine.connect() as connection:
    model = registry.active_model(connection)
row, _ = register(engine, Path(sys.argv[2]), "g", model)
decoders = Decoders(seconds=600)
decoders.start(2)
with Worker(engine, FakeNetwork(), model.id, batch_size=8, decoders=decoders) as worker:
    print(*(decoder._process.pid for decoder in decoders._all), flush=True)
    worker.work(row.id)
"""


def test_an_interrupted_worker_leaves_no_decoder_and_no_lease(
    engine: Engine, database_url: str, folder: Path, model: ModelRow
) -> None:
    """At once, although a decoder hangs and has ten minutes to go."""
    assert model.active
    running = subprocess.Popen(
        [sys.executable, "-c", WORKER, database_url, str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stdout
    decoders = [int(word) for word in running.stdout.readline().split()]
    assert len(decoders) == 2
    deadline = time.monotonic() + 60
    while states(engine).get("leased", 0) == 0:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    running.terminate()
    _, said = running.communicate(timeout=60)
    assert "KeyboardInterrupt" in said
    assert states(engine) == {"pending": 23}
    for decoder in decoders:
        with pytest.raises(ProcessLookupError):
            os.kill(decoder, 0)
