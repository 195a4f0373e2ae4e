"""`reid model`: registered checkpoints."""

import json
from pathlib import Path
from typing import Any

import click

from commands import options
from commands.output import emit, format_option, note, say_written


@click.group()
def model() -> None:
    """List, add, activate models; show a model's card."""


@model.command("list")
@format_option
def list_(format_: str) -> None:
    """List the registered models."""
    from gallery.models import chosen
    from gallery.status import list_models

    engine = options.database()
    chosen(engine, None)
    rows = list_models(engine)
    emit(rows, rows, format_)


@model.command("add")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", help="What to call it; default: the file's name.")
def add(file: Path, name: str | None) -> None:
    """Register a checkpoint and keep a copy of it; the active model stays active."""
    from gallery.models import add as run
    from gallery.models import chosen

    engine = options.database()
    chosen(engine, None)
    row = run(engine, file, name)
    click.echo(f"{row.name}: {row.architecture}, {row.content_hash[:12]}")


@model.command("activate")
@click.argument("name")
def activate(name: str) -> None:
    """Make a model the one that search uses; the others' features stay."""
    from gallery.models import activate as run

    click.echo(f"{run(options.database(), name).name} is active")


@model.command("centre")
@click.argument("name", required=False)
@click.option("--on/--off", "wanted", default=None, help="Switch it; else the means are made anew.")
@format_option
def centre(name: str | None, wanted: bool | None, format_: str) -> None:
    """Subtract each camera's own mean from a model's embeddings, or bring them back with --off.

    What a camera adds to everybody who passes it is left out. The limits of auto are those of the
    way that is chosen. Later ingests keep the means up; new ones wait while embeddings are written.
    """
    from gallery.centre_models import centre as run
    from gallery.models import chosen

    engine = options.database()
    done = run(engine, chosen(engine, name).name, wanted=wanted)
    emit(done, [done], format_)
    if done["centred"] and done["max_distance"] is None:
        note("no limit is calibrated for this; run `reid calibrate` before --max-distance auto")


_IN_THE_ROW = (
    "max_distance", "calibration", "rerank_max_distance", "rerank_calibration", "centred",
    "other_limits", "cutoffs",
)  # fmt: skip


@model.command("card")
@click.argument("name", required=False)
def card(name: str | None) -> None:
    """Show what a model says of itself: recipe, figures, calibration."""
    from gallery.models import chosen

    row = chosen(options.database(), name)
    # what `reid calibrate` has found since stands in the row, not in the checkpoint
    calibrated = {key: getattr(row, key) for key in _IN_THE_ROW}
    shown = {
        key: _counted(key, value)
        for key, value in {**row.header, **calibrated}.items()
        if key != "attribute_names"
    }
    click.echo(json.dumps({"name": row.name, "hash": row.content_hash, **shown}, indent=2))


def _counted(key: str, value: Any) -> Any:
    """People's numbers as counts; other facts as they are."""
    if key == "trained_pids":
        return f"{len(value)} people"
    if key == "trained_people":
        return {space: f"{len(pids)} people" for space, pids in value.items()}
    return value


@model.command("verify")
@click.argument("file", type=click.Path(path_type=Path))
def verify(file: Path) -> int:
    """Compare torch and OpenVINO on a checkpoint; keep torch's answers in a file beside it.

    With that file, NAME.reference.json, the checkpoint can be used where torch is not installed.
    """
    from inference.admission import verify as run

    result = run(file)
    found = result.found
    click.echo(
        f"{result.engine}: a score moved by {found.score:.2g} at most, an embedding by "
        f"{found.distance:.2g}, a quality by {found.quality:.2g}; "
        f"{'allowed' if result.agrees else 'NOT allowed'} are {result.allowed.score:g}, "
        f"{result.allowed.distance:g}, {result.allowed.quality:g}"
    )
    click.echo(f"{result.file}: what torch says")
    return 0 if result.agrees else 1


@model.command("export")
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path))
def export(name: str, file: Path) -> None:
    """Write a model as ONNX: raw RGB pixels in; scores, embedding, quality out."""
    from gallery.models import export_onnx

    outputs = export_onnx(options.database(), name, file)
    say_written(file, f"{', '.join(outputs)} of pixels (N, height, width, 3), any N")
