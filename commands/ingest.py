"""`reid ingest`: files -> rows."""

from pathlib import Path
from typing import Any

import click

from commands import options
from commands.output import emit, format_option, note, on_terminal
from errors import UsageError


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--collection", required=True, metavar="NAME", help="Into which collection.")
@click.option(
    "--identities",
    metavar="SPACE",
    help="The space in which the file names' person numbers mean something (default: default).",
)
@options.model
@click.option(
    "--mode",
    type=click.Choice(["incremental", "overwrite"]),
    default="incremental",
    show_default=True,
    help="Leave what is stored, or compute it again.",
)
@options.workers
@options.batch
@options.device
@click.option("--allow-any-shape", is_flag=True, help="Take in full frames and tiny images too.")
@click.option(
    "--enqueue", is_flag=True, help="Only register the files; `reid worker` does the rest."
)
@format_option
def ingest(
    source: Path,
    collection: str,
    identities: str | None,
    model: str | None,
    mode: str,
    workers: int,
    batch: int,
    device: str | None,
    allow_any_shape: bool,
    enqueue: bool,
    format_: str,
) -> int:
    """Take a folder of person crops into a collection.

    Safe to run again: what is stored and unchanged is not read again. A file that cannot be used
    is reported with its reason and stops nothing else (exit code 3).
    """
    from actions.ingest import Options
    from actions.ingest import ingest as run

    if not source.is_dir():
        what = "is a file; expected a folder" if source.exists() else "is not there"
        raise UsageError(f"{source} {what}")
    engine = options.database()
    chosen = Options(
        model=model,
        identities=identities,
        overwrite=mode == "overwrite",
        allow_any_shape=allow_any_shape,
        enqueue=enqueue,
        workers=workers,
        batch_size=batch,
        device=device,
    )
    with Bar() as bar:
        summary = run(engine, source, collection, chosen, bar.show)
    emit(summary.to_json(), [summary.to_json()], format_)
    _explain(summary, source)
    return 3 if summary.failed else 0


def _explain(summary: Any, source: Path) -> None:
    for path, reason in summary.failures[:10]:
        note(f"failed: {_printable(path)}: {reason}")
    if len(summary.failures) > 10:
        note(f"... and {len(summary.failures) - 10} more: reid status --failed")
    if summary.missing:
        note(
            f"{summary.missing} files are gone from {source}; they stay searchable until "
            "`reid collection prune`"
        )
    if summary.ignored:
        listed = ", ".join(f"{count} {suffix}" for suffix, count in sorted(summary.ignored.items()))
        note(f"passed over, being no images: {listed}")


def _printable(path: str) -> str:
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in path)


class Bar:
    """A progress bar on a terminal, with images/s and time left; silent elsewhere."""

    def __init__(self) -> None:
        self._bar: Any = None

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, progress: Any, total: int) -> None:
        """Called after each batch with the counts so far."""
        if not on_terminal():
            return
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(total=total, unit="img", desc="ingest", smoothing=0.1)
        self._bar.total = max(total, progress.settled)
        self._bar.n = progress.settled
        self._bar.set_postfix(failed=progress.failed, refresh=False)
        self._bar.refresh()
