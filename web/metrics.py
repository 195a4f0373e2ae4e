"""Requests counted and timed, for `/api/v1/metrics`. Without prometheus-client nothing is."""

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import Any

from starlette.types import Scope

from errors import ReidError
from gallery.manifest import STATES

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class MetricsMissing(ReidError):
    """The package that writes metrics is not installed."""

    http_status = 501


class Meter:
    """One app's numbers, in a registry of its own."""

    def __init__(self) -> None:
        self.registry: Any = None
        if find_spec("prometheus_client") is None:
            return
        from prometheus_client import CollectorRegistry, Histogram

        self.registry = CollectorRegistry()
        self._seconds = Histogram(
            "reid_http_request_seconds",
            "Seconds until a request was answered, by its route.",
            ("method", "route", "status"),
            buckets=SECONDS,
            registry=self.registry,
        )

    def observe(self, scope: Scope, status: int, seconds: float) -> None:
        """Counts one answered request. Paths that lead nowhere count as one route."""
        if self.registry is not None:
            route = getattr(scope.get("route"), "path", "other")
            self._seconds.labels(scope["method"], route, str(status)).observe(seconds)

    def text(self, counts: Iterable[Mapping[str, Any]]) -> bytes:
        """Prometheus' text format; `counts` are those of `reid status`. Raises MetricsMissing."""
        if self.registry is None:
            raise MetricsMissing(
                "the package prometheus-client is not installed; install the extra `metrics`"
            )
        from prometheus_client import CollectorRegistry, Gauge, generate_latest

        stored = CollectorRegistry()
        images = Gauge(
            "reid_images",
            "Images by collection, model and state.",
            ("collection", "model", "state"),
            registry=stored,
        )
        for row in counts:
            for state in STATES:
                images.labels(row["collection"], row["model"], state).set(row[state])
        return bytes(generate_latest(stored) + generate_latest(self.registry))
