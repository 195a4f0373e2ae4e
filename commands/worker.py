"""`reid worker`: works through what is registered."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click

from commands import options
from commands.output import emit, format_option, note
from commands.progress import Images
from errors import ReidError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from ingest.worker import Observer


@click.command()
@options.model
@options.device
@options.workers
@options.batch
@click.option("--until-empty", is_flag=True, help="End when nothing is left, instead of waiting.")
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    metavar="P",
    help="Serve metrics for Prometheus on this port; 0 takes a free one.",
)
@click.option(
    "--metrics-host",
    default="127.0.0.1",
    show_default=True,
    metavar="HOST",
    help="The address that metrics are served on.",
)
@format_option
def worker(
    model: str | None,
    device: str | None,
    workers: int,
    batch: int,
    until_empty: bool,
    metrics_port: int | None,
    metrics_host: str,
    format_: str,
) -> int:
    """Work through what `ingest --enqueue` registered, on any machine that reaches the database.

    The files must be readable under the same paths as where they were registered.
    """
    from ingest.options import Options
    from ingest.run import run_worker

    engine = options.database()
    if not until_empty:
        note("waiting for work; Ctrl-C ends the worker and gives back what it holds")
    chosen = Options(model=model, device=device, workers=workers, batch_size=batch)
    with _metrics(engine, metrics_host, metrics_port) as observer, Images("worker") as bar:
        progress = run_worker(
            engine,
            chosen,
            until_empty=until_empty,
            on_batch=bar.show,
            observer=observer,
            on_note=note,
        )
    counts = {"stored": progress.stored, "known": progress.known, "failed": progress.failed}
    emit(counts, [counts], format_)
    if progress.failed:
        note(f"{progress.failed} failed, each with its reason: reid status --failed")
    return 3 if progress.failed else 0


@contextmanager
def _metrics(engine: "Engine", host: str, port: int | None) -> Iterator["Observer | None"]:
    if port is None:
        yield None
        return
    if find_spec("prometheus_client") is None:
        raise ReidError("the metrics' package is missing; run `make install`")
    from ingest.metrics import serve_metrics

    with serve_metrics(engine, host, port) as (observer, address):
        note(f"metrics at {address}")
        yield observer
