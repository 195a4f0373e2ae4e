"""`reid worker`: works through what is registered."""

import click

from commands import options
from commands.output import emit, format_option, note


@click.command()
@options.model
@options.device
@options.workers
@options.batch
@click.option("--until-empty", is_flag=True, help="End when nothing is left, instead of waiting.")
@format_option
def worker(
    model: str | None,
    device: str | None,
    workers: int,
    batch: int,
    until_empty: bool,
    format_: str,
) -> int:
    """Work through what `ingest --enqueue` registered, on any machine that reaches the database.

    The files must be readable under the same paths as where they were registered.
    """
    from actions.ingest import Options, run_worker

    engine = options.database()
    if not until_empty:
        note("waiting for work; Ctrl-C ends the worker and gives back what it holds")
    chosen = Options(model=model, device=device, workers=workers, batch_size=batch)
    progress = run_worker(engine, chosen, until_empty=until_empty)
    counts = {"stored": progress.stored, "known": progress.known, "failed": progress.failed}
    emit(counts, [counts], format_)
    if progress.failed:
        note(f"{progress.failed} failed, each with its reason: reid status --failed")
    return 3 if progress.failed else 0
