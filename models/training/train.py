"""Training a model from a folder, to a checkpoint that `model add` takes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errors import UsageError
from images.walk import walk
from models.shipped import shipped_checkpoint
from models.training.recipe import read_joint_recipe

if TYPE_CHECKING:
    from images.preprocessing import Preprocessing
    from models.checkpoint import Header
    from models.training.data import LabelledImages
    from models.training.distributed import Ranks
    from models.training.joint_training import JointTraining
    from models.training.seed_training import AttributesTraining, SiameseTraining

START, SHIPPED = ("imagenet", "none"), "default"
CHECKPOINT = "model.safetensors"


@dataclass(frozen=True)
class TrainOptions:
    """How to train. `strangers` is a folder of other people, for calibration and figures;
    `patience` ends the run early, after so many epochs that are not better."""

    data: Path
    out: Path
    recipe: Path | None = None
    epochs: int | None = None
    device: str | None = None
    start: str = "imagenet"
    strangers: Path | None = None
    identities: str = "default"
    patience: int | None = None


@dataclass(frozen=True)
class Listener:
    """Whom training tells how it goes: notes, and after each epoch its number, loss and figures.
    `show` is whether a bar makes sense."""

    note: Callable[[str], object] = lambda _: None
    epoch: Callable[[int, float, Mapping[str, Any]], object] = lambda *_: None
    show: bool = False


QUIET = Listener()
NOTHING: Mapping[str, Any] = {}


def train_attributes(
    options: TrainOptions,
    changes: Mapping[str, Any] = NOTHING,
    listener: Listener = QUIET,
) -> "tuple[Path, Header] | None":
    """Trains the report's attribute network, or goes on with the run in `out`, and saves it.

    `changes` stand instead of the recipe's values, such as `trunk` and `optimiser`. Gives the
    checkpoint's path and header; None in all but the first process of several. Raises
    BadTrainingData, BadRecipe, NoStartWeights, TrainingFailed, OutOfDeviceMemory.
    """
    from images.preprocessing import SEED
    from models.training.distributed import joined
    from models.training.seed_finish import finish_attributes
    from models.training.seed_recipe import AttributesRecipe
    from models.training.seed_training import IMAGENET, AttributesTraining
    from models.training.training_state import LAST

    recipe = AttributesRecipe.read("seed-attributes", options.recipe)
    recipe = recipe.with_changes(epochs=options.epochs, **changes)
    with joined(options.device) as (ranks, device):
        images = _images(options, SEED, ranks, listener)
        # a run that goes on has its weights already
        fresh = options.start == "imagenet" and not (options.out / LAST).exists()
        training = AttributesTraining(
            images, recipe, device, weights=IMAGENET if fresh else None, origin=options.start
        )
        _run(training, options, ranks, listener)
        if not ranks.first:
            return None
        path = options.out / CHECKPOINT
        return path, finish_attributes(training, path, options.identities)


def train_siamese(
    options: TrainOptions,
    attributes: Path,
    changes: Mapping[str, Any] = NOTHING,
    listener: Listener = QUIET,
) -> "tuple[Path, Header] | None":
    """Trains the report's siamese network on the trunk of `attributes`, or goes on with the run in
    `out`, then measures, calibrates and saves both networks as one.

    `changes` stand instead of the recipe's values. Gives the checkpoint's path and header; None in
    all but the first process of several. Raises
    BadCheckpoint, OtherIdentities, BadTrainingData, BadRecipe, TrainingFailed, OutOfDeviceMemory.
    """
    from images.preprocessing import SEED
    from models.training.distributed import joined
    from models.training.seed_finish import check_people, finish_siamese, read_attributes
    from models.training.seed_recipe import SiameseRecipe
    from models.training.seed_training import SiameseTraining

    recipe = SiameseRecipe.read("seed-siamese", options.recipe)
    recipe = recipe.with_changes(epochs=options.epochs, **changes)
    strangers = _strangers(options)
    trained = read_attributes(attributes)
    with joined(options.device) as (ranks, device):
        images = _images(options, SEED, ranks, listener)
        check_people(images, recipe, trained.header, options.identities)
        training = SiameseTraining(
            images, recipe, device,
            attributes=trained.net, trunk=trained.trunk, origin=trained.content,
        )  # fmt: skip
        _run(training, options, ranks, listener)
        if not ranks.first:
            return None
        path = options.out / CHECKPOINT
        return path, finish_siamese(training, trained, path, options.identities, strangers)


def train_joint(
    options: TrainOptions,
    *,
    on_all: bool = False,
    twin: Path | None = None,
    listener: Listener = QUIET,
) -> "tuple[Path, Header] | None":
    """Trains, or goes on with the run in `out`, then measures, calibrates and saves.

    `on_all` holds nobody out; figures and limit are then those of `twin`, where one is given. Gives
    the checkpoint's path and header; None in all but the first process of several. Raises
    BadTrainingData, BadRecipe, BadCheckpoint, NoStartWeights, TrainingFailed, OutOfDeviceMemory.
    """
    from images.preprocessing import joint_preprocessing
    from models.training.distributed import joined
    from models.training.finish import finish
    from models.training.joint_training import JointTraining

    if twin and not on_all:
        raise UsageError("--twin needs --all: a model with people held out measures itself")
    recipe = read_joint_recipe(options.recipe).with_changes(epochs=options.epochs)
    strangers = _strangers(options)
    with joined(options.device) as (ranks, device):
        pixels = joint_preprocessing(recipe.height, recipe.width)
        images = _images(options, pixels, ranks, listener)
        training = JointTraining(images, recipe, device, on_all=on_all, **_joint_start(options))
        _run(training, options, ranks, listener)
        if not ranks.first:
            return None
        path = options.out / CHECKPOINT
        return path, finish(training, path, options.identities, strangers, twin)


def _joint_start(options: TrainOptions) -> dict[str, Any]:
    """What the joint network starts from; nothing is loaded where a run goes on."""
    from models.checkpoint import content_hash
    from models.training.start import start_from_checkpoint, start_from_imagenet
    from models.training.training_state import LAST

    goes_on = (options.out / LAST).exists()
    if options.start in START:
        fresh = options.start == "imagenet" and not goes_on
        return {"origin": options.start, "start": start_from_imagenet if fresh else None}
    file = shipped_checkpoint() if options.start == SHIPPED else Path(options.start)
    return {
        "origin": content_hash(file) if file.is_file() else options.start,
        "start": None if goes_on else start_from_checkpoint(file),
        "imprint": not goes_on,
    }


def _run(
    training: "AttributesTraining | JointTraining | SiameseTraining",
    options: TrainOptions,
    ranks: "Ranks",
    listener: Listener,
) -> None:
    """To the last epoch; with patience, the weights of the best one are what is left."""
    from models.training.loop import Loop

    if options.patience and not training.held_out.names:
        raise UsageError("--patience needs people held out; raise `held_out` in the recipe")
    if not ranks.first:
        listener = QUIET
    loop = Loop(training, options.out, options.patience, ranks, listener.show, listener.note)
    if loop.epoch:
        listener.note(f"going on after epoch {loop.epoch} of {training.recipe.epochs}")
    loop.run(lambda report: listener.epoch(report.epoch, report.loss, report.figures))
    if options.patience and ranks.first:
        listener.note(f"the weights are those of epoch {loop.load_best()}, the best")


def _images(
    options: TrainOptions, preprocessing: "Preprocessing", ranks: "Ranks", listener: Listener
) -> "LabelledImages":
    from models.training.data import load_training_folder, people_without_images

    images = load_training_folder(options.data, preprocessing)
    missing = people_without_images(options.data, images)
    if missing and ranks.first:
        listener.note(
            f"{len(missing)} people of annotations_train.csv have no image, the first is "
            f"{missing[0]}; training goes on without them"
        )
    return images


def _strangers(options: TrainOptions) -> list[Path]:
    if not options.strangers:
        return []
    return [options.strangers / file.path for file in walk(options.strangers).files]
