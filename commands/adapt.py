"""`reid adapt`: learn the cameras of stored images, without labels."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands import options
from commands.output import emit, format_option, note, on_terminal
from commands.progress import Phases, Steps

if TYPE_CHECKING:
    from models.training.adapt import RoundReport


@click.command()
@click.option(
    "--collection", "collections", multiple=True, required=True, metavar="NAME", help="Repeatable."
)
@options.model
@click.option("--name", metavar="NAME", help="Of the new model; else the old one's and -adapted.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs/adapt"),
    show_default=True,
    metavar="DIR",
    help="Keeps the run; the same command goes on where it was stopped.",
)
@click.option(
    "--data",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="A folder of labelled people to train on beside; repeatable.",
)
@click.option(
    "--recipe",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Of each round, instead of joint-adapt.toml.",
)
@click.option("--rounds", type=click.IntRange(1, 50), default=3, show_default=True, metavar="N")
@click.option(
    "--density",
    type=float,
    default=0.5,
    show_default=True,
    metavar="X",
    help="Jaccard distance within which images are one group; lower is more careful.",
)
@options.device
@format_option
def adapt(
    collections: tuple[str, ...],
    model: str | None,
    name: str | None,
    out: Path,
    data: tuple[Path, ...],
    recipe: Path | None,
    rounds: int,
    density: float,
    device: str | None,
    format_: str,
) -> None:
    """Learn the cameras of stored images, without labels: a new model beside the old one.

    Images that lie close together are taken for one person, the model is trained on these groups,
    and the better model groups again. Nothing is activated: embed the images with the new model by
    `reid ingest --model`, compare, then `reid model activate`.
    """
    from people.adapt import AdaptListener, AdaptRequest
    from people.adapt import adapt as run

    asked = AdaptRequest(collections, out, model, name, data, recipe, rounds, density, device)
    with Phases("adapt") as bar:
        listener = AdaptListener(note, bar.show, Steps().show, _tell, on_terminal())
        done = run(options.database(), asked, listener)
    document = done.to_json()
    emit(document, document["rounds"], format_)
    _say(done.left_out, done.model, collections)


def _tell(report: "RoundReport") -> None:
    said = [f"{report.groups} groups of {report.grouped} of {report.images} images"]
    if report.agreement is not None:
        said.append(f"{report.agreement:.3f} like those before")
    if report.halves_before is not None and report.halves_after is not None:
        halves = f"{report.halves_before:.3f} -> {report.halves_after:.3f}"
        said.append(f"halves that find each other {halves}")
    note(f"round {report.round}: {', '.join(said)}, loss {report.loss:.4f}")


def _say(left_out: int, model: str, collections: tuple[str, ...]) -> None:
    if left_out:
        note(f"{left_out} images are gone from their place or changed, and were left out")
    embed = f"reid ingest SOURCE --collection {collections[0]} --model {model}"
    note(
        f"{model} is registered; embed with it by `{embed}`, compare, then "
        f"`reid model activate {model}`"
    )
