"""`reid ingest`: files -> rows."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands import options
from commands.ingest_report import explain, in_words
from commands.output import emit, format_option, note
from commands.progress import Images
from errors import UsageError

if TYPE_CHECKING:
    from images.sources.base import Source


@click.command()
@click.argument("source")
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
@click.option(
    "--manifest",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="CSV or JSON lines with path, and pid, camid or time; takes in what it names.",
)
@click.option("--watch", is_flag=True, help="Go on with what arrives in a folder, until Ctrl-C.")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="Between two looks at the folder, with --watch.",
)
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Work in this process, or on Ray (extra cluster).",
)
@click.option(
    "--address",
    metavar="A",
    help="With --engine ray: a cluster that runs, auto or HOST:PORT; default: one of its own here.",
)
@format_option
def ingest(
    source: str,
    collection: str,
    identities: str | None,
    model: str | None,
    mode: str,
    workers: int,
    batch: int,
    device: str | None,
    allow_any_shape: bool,
    enqueue: bool,
    manifest: Path | None,
    watch: bool,
    interval: float,
    engine: str,
    address: str | None,
    format_: str,
) -> int:
    """Take person crops into a collection: a folder, a .tar, .tar.gz or .zip, or a URL of one.

    Safe to run again: what is stored and unchanged is not read again. A file that cannot be used
    is reported with its reason and stops nothing else (exit code 3).
    """
    from images.sources.open import source_of
    from ingest.options import Options
    from ingest.run import ingest as run

    found = source_of(source)
    if watch:
        _check_watch(found, manifest)
    _check_engine(engine, address, watch=watch, enqueue=enqueue)
    database = options.database()
    chosen = Options(
        model=model,
        identities=identities,
        overwrite=mode == "overwrite",
        allow_any_shape=allow_any_shape,
        enqueue=enqueue,
        workers=workers,
        batch_size=batch,
        device=device,
        manifest=manifest,
        engine=engine,
        address=address,
    )
    with Images("ingest") as bar:
        if watch:
            from ingest.watch import watch as go_on

            note(f"watching {found.name}; Ctrl-C ends it")
            summary = go_on(
                database, Path(found.name), collection, chosen, interval, bar.show, note
            )
        else:
            summary = run(database, source, collection, chosen, bar.show)
    row = summary.to_json()
    emit(row, [in_words(row) if format_ == "table" else row], format_)
    explain(summary, found.name)
    if watch:
        return 130
    return 3 if summary.failed else 0


def _check_watch(source: "Source", manifest: Path | None) -> None:
    from images.sources.open import is_folder

    if not is_folder(source.name):
        raise UsageError(f"--watch is for a folder; {source.name} is none, so ingest it as it is")
    if manifest is not None:
        raise UsageError("--watch takes no --manifest: files that arrive are not named in it")


def _check_engine(engine: str, address: str | None, *, watch: bool, enqueue: bool) -> None:
    if address is not None and engine != "ray":
        raise UsageError("--address is a Ray cluster's; add --engine ray")
    if engine == "ray" and enqueue:
        raise UsageError(
            "--enqueue only registers, nothing is left for --engine ray; leave out one of the two"
        )
    if engine == "ray" and watch:
        raise UsageError(
            "--watch goes on for ever, which --engine ray does not; leave out one of the two, or "
            "run the ingest again from time to time"
        )
