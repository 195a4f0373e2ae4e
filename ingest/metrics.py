"""A worker's numbers for Prometheus, served over HTTP."""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from errors import ReidError
from gallery import manifest
from gallery.manifest import STATES
from gallery.store import Batch
from ingest.worker import Observer

_WINDOW_S = 60.0
_SHARE = 20  # counting takes at most one twentieth of the time, however large the manifest is
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60)


class MetricsPortTaken(ReidError):
    """The port cannot be listened on."""

    http_status = 409


class WorkerMetrics(Observer):
    """What a worker does, in numbers of its own registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._lock = Lock()
        self._settled = deque([(time.monotonic(), 0)])
        self._images = Counter(
            "reid_worker_images",
            "Images that this worker settled.",
            ["outcome"],
            registry=registry,
        )
        for outcome in ("stored", "known", "failed"):
            self._images.labels(outcome)  # there from the start, as zero
        self._failures = Counter(
            "reid_worker_failures", "Images that failed here.", ["kind"], registry=registry
        )
        self._waiting = Gauge(
            "reid_worker_queue_images",
            "Images that are ready for a step and wait for it.",
            ["step"],
            registry=registry,
        )
        self._seconds = Histogram(
            "reid_worker_batch_seconds",
            "Time that a batch took in a step.",
            ["step"],
            buckets=_SECONDS,
            registry=registry,
        )
        for step in ("read", "decode", "inference", "store"):
            self._seconds.labels(step)
        for step in ("inference", "store"):
            self._waiting.labels(step)
        rate = Gauge(
            "reid_worker_images_per_second",
            f"Images settled a second, over the last {_WINDOW_S:.0f} seconds.",
            registry=registry,
        )
        rate.set_function(self.images_per_second)

    def waits(self, step: str, images: int) -> None:
        self._waiting.labels(step).inc(images)

    def took(self, step: str, seconds: float) -> None:
        self._seconds.labels(step).observe(seconds)

    def settled(self, batch: Batch, settled: set[int]) -> None:
        stored = sum(image.image_id in settled for image in batch.read)
        known = sum(image_id in settled for image_id in batch.unchanged)
        failed = [failure.kind for failure in batch.failed if failure.image_id in settled]
        for outcome, count in (("stored", stored), ("known", known), ("failed", len(failed))):
            self._images.labels(outcome).inc(count)
        for kind in failed:
            self._failures.labels(kind).inc()
        with self._lock:
            before = self._settled[-1][1]
            self._settled.append((time.monotonic(), before + stored + known + len(failed)))

    def images_per_second(self) -> float:
        now = time.monotonic()
        with self._lock:
            while len(self._settled) > 1 and self._settled[1][0] <= now - _WINDOW_S:
                self._settled.popleft()
            began, before = self._settled[0]
            began = max(began, now - _WINDOW_S)
            return (self._settled[-1][1] - before) / (now - began) if now > began else 0.0


class ManifestImages(Collector):
    """The images of the whole database by state, as the manifest has them when asked. Without a
    database only that is said."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = Lock()
        self._rows: list[dict[str, Any]] = []
        self._good_until = 0.0

    def collect(self) -> Iterator[GaugeMetricFamily]:
        images = GaugeMetricFamily(
            "reid_images",
            "Images in the manifest, by state.",
            labels=["collection", "model", "state"],
        )
        up = GaugeMetricFamily("reid_database_up", "Whether the database answers.")
        rows = self._count()
        for row in rows or ():
            for state in STATES:
                images.add_metric([row["collection"], row["model"], state], row[state])
        up.add_metric([], float(rows is not None))
        yield up
        yield images

    def _count(self) -> list[dict[str, Any]] | None:
        with self._lock:
            began = time.monotonic()
            if began < self._good_until:
                return self._rows
            try:
                with self._engine.connect() as connection:
                    self._rows = manifest.state_counts(connection)
            except DBAPIError:
                return None
            now = time.monotonic()
            self._good_until = now + _SHARE * (now - began)
            return self._rows


@contextmanager
def serve_metrics(engine: Engine, host: str, port: int) -> Iterator[tuple[WorkerMetrics, str]]:
    """Serves while the block runs; gives the observer of a worker, and the address.

    Port 0 is any free one. Raises MetricsPortTaken.
    """
    registry = CollectorRegistry()
    metrics = WorkerMetrics(registry)
    registry.register(ManifestImages(engine))
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise MetricsPortTaken(
            f"cannot listen on {host}:{port} ({error.strerror}); choose another --metrics-port"
        ) from None
    shown = f"[{host}]" if ":" in host else host
    with server:
        yield metrics, f"http://{shown}:{server.server_port}/metrics"
        server.shutdown()
        thread.join()
