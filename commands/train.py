"""`reid train`: models from a folder in the data set's layout."""

import json
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands import options
from commands.output import emit, format_option, note, on_terminal
from commands.progress import Steps

if TYPE_CHECKING:
    from models.checkpoint import Header
    from models.training.train import Listener, TrainOptions

_PATH = click.Path(path_type=Path)
_SHARED = (
    click.option(
        "--data",
        required=True,
        multiple=True,
        type=_PATH,
        metavar="DIR",
        help="A folder of labelled people; repeatable: each has people of its own.",
    ),
    click.option(
        "--out",
        type=_PATH,
        metavar="DIR",
        help="Keeps the run; the same command goes on where it was stopped.",
    ),
    click.option("--recipe", type=_PATH, metavar="FILE", help="A recipe file (TOML)."),
    click.option("--epochs", type=click.IntRange(1), metavar="N", help="Instead of the recipe's."),
    click.option(
        "--identities",
        multiple=True,
        metavar="SPACE",
        help="The space of a --data's person numbers, in the same order; without it `default` for "
        "the first, and the folder's name for others.",
    ),
    options.device,
)
_PATIENCE = click.option(
    "--patience",
    type=click.IntRange(1),
    metavar="N",
    help="End after N epochs that are not better, with the weights of the best.",
)
_START = click.option(
    "--start",
    type=click.Choice(["imagenet", "none"]),
    default="imagenet",
    show_default=True,
    help="The trunk's weights at the start.",
)
_STRANGERS = click.option(
    "--strangers",
    type=_PATH,
    metavar="FOLDER",
    help="Images of other people: the distance is calibrated with them in the gallery.",
)
_NAMES = (
    "data", "out", "recipe", "epochs", "identities", "device", "patience", "start", "strangers",
    "compiled",
)  # fmt: skip


def _training(function: Callable[..., Any]) -> Callable[..., Any]:
    """What every training takes, given to `function` as one argument `asked`."""

    @wraps(function)
    def with_asked(**given: Any) -> Any:
        from models.training.train import TrainOptions

        own = {name: given.pop(name) for name in _NAMES if name in given}
        own["out"] = own["out"] or Path("runs") / function.__name__.rstrip("_")
        return function(asked=TrainOptions(**own), **given)

    for decorate in reversed(_SHARED):
        with_asked = decorate(with_asked)
    return with_asked


@click.group()
def train() -> None:
    """Train a model from a folder with train/ and annotations_train.csv.

    A run is kept in --out (runs/ and the command's name), with its curves for TensorBoard. A fifth
    of the people is held out: the figures and the calibrated distance come from them.
    """


@train.command("attributes")
@_training
@click.option("--trunk", metavar="NAME", help="Instead of the recipe's: alexnet, resnet34 ...")
@_START
@_PATIENCE
def attributes(asked: "TrainOptions", trunk: str | None) -> None:
    """The report's first network: 56 attributes, on a torchvision trunk."""
    from models.training.train import train_attributes

    found = train_attributes(asked, {"trunk": trunk}, _listener())
    if found:
        _print(*found)
        folders = " ".join(f"--data {folder}" for folder in asked.data)
        note(f"go on with: reid train siamese {folders} --attributes {found[0]}")


@train.command("siamese")
@_training
@click.option(
    "--attributes",
    required=True,
    type=_PATH,
    metavar="FILE",
    help="The checkpoint that `train attributes` wrote; its trunk is trained on.",
)
@_STRANGERS
@_PATIENCE
def siamese(asked: "TrainOptions", attributes: Path) -> None:
    """The report's second network: pairs of images, on the trunk that learned attributes."""
    from models.training.train import train_siamese

    found = train_siamese(asked, attributes, listener=_listener())
    if found:
        _print(*found)
        _next(found[0])


@train.command("joint")
@_training
@click.option(
    "--start",
    default="imagenet",
    show_default=True,
    metavar="imagenet|none|default|FILE",
    help="The weights at the start; `default` is the shipped model, FILE another joint one.",
)
@click.option(
    "--compile",
    "compiled",
    is_flag=True,
    help="Compile the trunk first (a minute; needs a C++ compiler): steps are faster.",
)
@click.option("--all", "on_all", is_flag=True, help="Hold nobody out: nothing can be measured.")
@click.option(
    "--twin",
    type=_PATH,
    metavar="FILE",
    help="With --all: take limit and figures from this one, trained without some of the people.",
)
@_STRANGERS
@_PATIENCE
def joint(asked: "TrainOptions", on_all: bool, twin: Path | None) -> None:
    """The default recipe: attributes, identity and crop quality on one small trunk."""
    from models.training.train import train_joint

    found = train_joint(asked, on_all=on_all, twin=twin, listener=_listener())
    if found:
        _print(*found)
        _next(found[0])


@train.command("compare")
@_training
@click.option("--trunk", "trunks", multiple=True, required=True, metavar="NAME", help="Repeatable.")
@click.option(
    "--optimiser",
    "optimisers",
    multiple=True,
    type=click.Choice(["adam", "sgd", "adagrad"]),
    default=("adam",),
    show_default=True,
    help="Repeatable.",
)
@click.option(
    "--pair-epochs", type=click.IntRange(1), metavar="N", help="Instead of the siamese recipe's."
)
@_START
@_STRANGERS
@format_option
def compare_(
    asked: "TrainOptions",
    trunks: tuple[str, ...],
    optimisers: tuple[str, ...],
    pair_epochs: int | None,
    format_: str,
) -> None:
    """The report's networks by trunk and optimiser, in one table.

    All are trained with the same people, epochs and batches; --out keeps the runs and the table.
    """
    from models.training.compare import TABLE, compare

    rows = compare(asked, trunks, optimisers, pair_epochs, _listener())
    emit(rows, rows, format_)
    note(f"the table is in {asked.out / TABLE}")


def _listener() -> "Listener":
    from models.training.train import Listener

    return Listener(note, _tell, Steps().show, on_terminal())


def _tell(epoch: int, loss: float, figures: Mapping[str, Any]) -> None:
    shown = "".join(
        f", {name} {figures[name]:.4f} ({guess} {figures[beside]:.4f})"
        for name, guess, beside in _BESIDE
        if name in figures
    )
    note(f"epoch {epoch}: loss {loss:.4f}{shown}")


# what guessing gets stands beside every figure
_BESIDE = (
    ("accuracy", "majority", "majority_accuracy"),
    ("balanced_accuracy", "majority", "majority_balanced_accuracy"),
    ("bits_accuracy", "majority", "bits_majority_accuracy"),
    ("mAP", "chance", "chance_mAP"),
    ("rank1", "chance", "chance_rank1"),
)


def _print(path: Path, header: "Header") -> None:
    document = {
        "checkpoint": str(path),
        "max_distance": header.max_distance,
        "notes": header.notes,
        "metrics": dict(header.metrics),
    }
    click.echo(json.dumps(document, indent=2))


def _next(path: Path) -> None:
    note(f"register it with: reid model add {path} --name NAME")
