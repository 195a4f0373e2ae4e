"""`worker --metrics-port`: what Prometheus scrapes, over a real request."""

import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

pytest.importorskip("prometheus_client", reason="the metrics' package is not installed")

from prometheus_client.parser import text_string_to_metric_families

from db.connect import DatabaseAddress, make_engine
from gallery.model_rows import ModelRow
from ingest.metrics import ManifestImages, MetricsPortTaken, WorkerMetrics, serve_metrics
from ingest.worker import Worker
from tests.fakes import (
    DECODERS,
    FakeNetwork,
    ingest,
    names,
    picture,
    register,
    register_fake_model,
    write_pictures,
)

Served = tuple[WorkerMetrics, str]
Samples = dict[tuple[str, tuple[str, ...]], float]


@pytest.fixture
def served(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr("ingest.metrics._SHARE", 0)  # counted at every scrape
    with serve_metrics(engine, "127.0.0.1", 0) as found:
        yield found


@pytest.fixture
def model(engine: Engine) -> ModelRow:
    return register_fake_model(engine)


def scrape(address: str) -> Samples:
    """By name and label values."""
    with urllib.request.urlopen(address, timeout=30) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        body = answer.read().decode()
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
    }


def test_what_a_worker_did(engine: Engine, tmp_path: Path, model: ModelRow, served: Served) -> None:
    folder = write_pictures(tmp_path / "people", names(20))
    (folder / "text.jpg").write_text("no picture")
    (folder / "empty.jpg").touch()
    picture(50, (320, 64)).save(folder / "wide.png")
    row, _ = register(engine, folder, "g", model)
    observer, address = served
    assert scrape(address)["reid_worker_images_total", ("stored",)] == 0
    during: list[Samples] = []
    network = FakeNetwork(on_call=lambda _: during.append(scrape(address)))
    with Worker(
        engine, network, model.id, batch_size=8, decoders=DECODERS, observer=observer
    ) as worker:
        worker.work(row.id)
    after = scrape(address)
    assert [after["reid_worker_images_total", (o,)] for o in ("stored", "known", "failed")] == [
        20, 0, 3,
    ]  # fmt: skip
    failures = {labels: v for (name, labels), v in after.items() if "failures_total" in name}
    assert failures == {("no image",): 2, ("shape",): 1}
    for step in ("read", "decode", "inference", "store"):
        assert after["reid_worker_batch_seconds_count", (step,)] == 3
        assert after["reid_worker_batch_seconds_sum", (step,)] > 0
    assert after["reid_worker_images_per_second", ()] > 0
    for step in ("inference", "store"):
        assert after["reid_worker_queue_images", (step,)] == 0
    states = {s: after["reid_images", ("g", "fake", s)] for s in ("pending", "leased", "done")}
    assert states == {"pending": 0, "leased": 0, "done": 20}
    assert after["reid_images", ("g", "fake", "failed")] == 3
    assert after["reid_database_up", ()] == 1
    assert during[0]["reid_images", ("g", "fake", "leased")] >= 8
    assert {sample["reid_worker_queue_images", ("inference",)] for sample in during} <= {0, 8, 7}


def test_known_images_are_counted(
    engine: Engine, tmp_path: Path, model: ModelRow, served: Served
) -> None:
    folder = write_pictures(tmp_path / "people", names(4))
    ingest(engine, folder, "g", model)
    with engine.begin() as connection:
        connection.execute(text("UPDATE task SET state = 'pending'"))
    observer, address = served
    with Worker(engine, FakeNetwork(), model.id, decoders=DECODERS, observer=observer) as worker:
        worker.work()
    found = scrape(address)
    assert found["reid_worker_images_total", ("known",)] == 4
    assert found["reid_worker_images_total", ("stored",)] == 0


def test_without_a_database_the_worker_is_still_seen() -> None:
    engine = make_engine(DatabaseAddress(Path(), "postgresql://nobody@127.0.0.1:1/none"))
    with serve_metrics(engine, "127.0.0.1", 0) as (_, address):
        found = scrape(address)
    engine.dispose()
    assert found["reid_database_up", ()] == 0
    assert found["reid_worker_images_total", ("stored",)] == 0
    assert not any(name == "reid_images" for name, _ in found)


def test_counting_is_rationed(
    engine: Engine, model: ModelRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A manifest that takes a second to count is counted three times a minute."""
    assert model.active
    now, counted = [0.0], []

    def slowly(_: object) -> list[dict[str, object]]:
        now[0] += 1
        counted.append(now[0])
        return []

    monkeypatch.setattr("ingest.metrics.manifest.state_counts", slowly)
    monkeypatch.setattr("ingest.metrics.time.monotonic", lambda: now[0])
    images = ManifestImages(engine)
    for second in range(60):
        now[0] = max(now[0], float(second))
        list(images.collect())
    assert counted == [1, 22, 43]


def test_a_port_that_is_taken(engine: Engine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with (
            pytest.raises(MetricsPortTaken) as caught,
            serve_metrics(engine, "127.0.0.1", port),
        ):
            pass
    assert str(caught.value) == (
        f"cannot listen on 127.0.0.1:{port} (Address already in use); choose another --metrics-port"
    )
