"""Training a model from a folder, to a checkpoint that `model add` takes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from errors import UsageError
from images.walk import walk
from models.recipe import read_joint_recipe

if TYPE_CHECKING:
    from models.checkpoint import Header
    from models.training import EpochReport

START = ("imagenet", "none")


@dataclass(frozen=True)
class TrainOptions:
    """How to train. `strangers` is a folder of other people, for calibration and figures."""

    data: Path
    out: Path
    recipe: Path | None = None
    epochs: int | None = None
    device: str | None = None
    start: str = "imagenet"
    strangers: Path | None = None
    identity_space: str = "default"
    show: bool = False


def train_joint(
    options: TrainOptions, on_epoch: "Callable[[EpochReport], None] | None" = None
) -> "tuple[Path, Header]":
    """Trains, or goes on with the run in `out`, then measures, calibrates and saves.

    Gives the checkpoint's path and header. Raises BadTrainingData, BadRecipe, TrainingFailed.
    """
    from models.data import load_training_folder
    from models.extractor import choose_device
    from models.finish import finish
    from models.start import start_from_imagenet
    from models.training import JointTraining
    from models.transforms import JOINT

    if options.start not in START:
        raise UsageError(f"--start is {options.start!r}; expected {' or '.join(START)}")
    recipe = read_joint_recipe(options.recipe).with_changes(epochs=options.epochs)
    strangers = []
    if options.strangers:
        strangers = [options.strangers / file.path for file in walk(options.strangers).files]
    training = JointTraining(
        load_training_folder(options.data, JOINT),
        recipe,
        options.out,
        choose_device(options.device),
        start_from_imagenet if options.start == "imagenet" else None,
    )
    while training.epoch < recipe.epochs:
        report = training.run_epoch(validate=True, show=options.show)
        if on_epoch:
            on_epoch(report)
    path = options.out / "model.safetensors"
    return path, finish(training, path, options.identity_space, strangers)
