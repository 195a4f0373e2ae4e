"""`reid train`: models from a folder in the data set's layout."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from commands import options
from commands.output import note, on_terminal

if TYPE_CHECKING:
    from models.training import EpochReport


@click.group()
def train() -> None:
    """Train a model from a folder with train/ and annotations_train.csv."""


@train.command("joint")
@click.option("--data", required=True, type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs/joint"),
    show_default=True,
    help="Keeps the run; the same command goes on where it was stopped.",
)
@click.option("--recipe", type=click.Path(path_type=Path), help="A recipe file (TOML).")
@click.option("--epochs", type=click.IntRange(1), help="Instead of the recipe's.")
@click.option("--start", type=click.Choice(["imagenet", "none"]), default="imagenet")
@click.option(
    "--strangers",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Images of other people: the distance is calibrated with them in the gallery.",
)
@click.option("--identities", default="default", help="The space that the person numbers are of.")
@options.device
def joint(
    data: Path,
    out: Path,
    recipe: Path | None,
    epochs: int | None,
    start: str,
    strangers: Path | None,
    identities: str,
    device: str | None,
) -> None:
    """The default recipe: attributes and identity on one small trunk.

    A fifth of the people is held out: the figures and the calibrated distance come from them.
    """
    from actions.train import TrainOptions, train_joint

    path, header = train_joint(
        TrainOptions(
            data=data,
            out=out,
            recipe=recipe,
            epochs=epochs,
            device=device,
            start=start,
            strangers=strangers,
            identity_space=identities,
            show=on_terminal(),
        ),
        _tell,
    )
    click.echo(json.dumps(dict(header.metrics), indent=2))
    click.echo(f"{path}: max distance {header.max_distance}")
    note(f"register it with: reid model add {path} --name NAME")


def _tell(report: "EpochReport") -> None:
    reid = "" if report.reid is None else f", mAP {report.reid.mAP:.4f}, r1 {report.reid.rank1:.4f}"
    note(f"epoch {report.epoch}: loss {report.loss:.4f}{reid}")
