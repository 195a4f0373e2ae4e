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
    from models.training.loop import StepReport
    from models.training.seed_training import AttributesTraining, SiameseTraining

START, SHIPPED = ("imagenet", "none"), "default"
CHECKPOINT = "model.safetensors"


@dataclass(frozen=True)
class TrainOptions:
    """How to train. `data` are folders, `identities` the spaces of their person numbers, by default
    the folder's name after the first. `strangers` is a folder of other people, for calibration and
    figures; `patience` ends the run early, after so many epochs that are not better."""

    data: tuple[Path, ...]
    out: Path
    recipe: Path | None = None
    epochs: int | None = None
    device: str | None = None
    start: str = "imagenet"
    strangers: Path | None = None
    identities: tuple[str, ...] = ()
    patience: int | None = None
    compiled: bool = False

    def __post_init__(self) -> None:
        if len(self.identities) > len(self.data):
            raise UsageError(
                "more --identities than --data; name one space for each folder at most"
            )
        if len(set(self.spaces)) < len(self.spaces):
            raise UsageError(
                "two folders of --data have one space of person numbers; give --identities for each"
            )

    @property
    def spaces(self) -> tuple[str, ...]:
        """The identity space of each folder."""
        names = ("default", *(path.resolve().name for path in self.data[1:]))
        return (*self.identities, *names[len(self.identities) :])

    @property
    def only_space(self) -> str:
        """The identity space of the one folder. Raises UsageError for several: the report's recipe
        trains on one data set."""
        if len(self.data) > 1:
            raise UsageError("this recipe trains on one --data; `train joint` takes several")
        return self.spaces[0]


@dataclass(frozen=True)
class Listener:
    """Whom training tells how it goes: notes, each step, and after each epoch its number, loss and
    figures. `show` is whether a bar makes sense."""

    note: Callable[[str], object] = lambda _: None
    epoch: Callable[[int, float, Mapping[str, Any]], object] = lambda *_: None
    step: "Callable[[StepReport], object]" = lambda _: None
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

    space = options.only_space
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
        return path, finish_attributes(training, path, space)


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

    space = options.only_space
    recipe = SiameseRecipe.read("seed-siamese", options.recipe)
    recipe = recipe.with_changes(epochs=options.epochs, **changes)
    strangers = _strangers(options)
    trained = read_attributes(attributes)
    with joined(options.device) as (ranks, device):
        images = _images(options, SEED, ranks, listener)
        check_people(images, recipe, trained.header, space)
        training = SiameseTraining(
            images, recipe, device,
            attributes=trained.net, trunk=trained.trunk, origin=trained.content,
        )  # fmt: skip
        _run(training, options, ranks, listener)
        if not ranks.first:
            return None
        path = options.out / CHECKPOINT
        return path, finish_siamese(training, trained, path, space, strangers)


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
        training = JointTraining(
            images, recipe, device,
            on_all=on_all, compiled=options.compiled, **_joint_start(options),
        )  # fmt: skip
        _run(training, options, ranks, listener)
        if not ranks.first:
            return None
        path = options.out / CHECKPOINT
        return path, finish(training, path, options.spaces, strangers, twin)


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
    loop = Loop(
        training, options.out, options.patience, ranks, listener.show, listener.note, listener.step
    )
    if loop.epoch:
        listener.note(f"going on after epoch {loop.epoch} of {training.recipe.epochs}")
    loop.run(lambda report: listener.epoch(report.epoch, report.loss, report.figures))
    if options.patience and ranks.first:
        listener.note(f"the weights are those of epoch {loop.load_best()}, the best")


def _images(
    options: TrainOptions, preprocessing: "Preprocessing", ranks: "Ranks", listener: Listener
) -> "LabelledImages":
    from models.training.data import load_training_folders, people_by_space, people_without_images

    images = load_training_folders(options.data, preprocessing)
    people = people_by_space(images.pids, options.spaces)
    for folder, space in zip(options.data, options.spaces, strict=True) if ranks.first else ():
        missing = people_without_images(folder, people[space])
        if missing:
            listener.note(
                f"{len(missing)} annotated people of {folder} have no image, the first is "
                f"{missing[0]}; training goes on without them"
            )
    return images


def _strangers(options: TrainOptions) -> list[Path]:
    if not options.strangers:
        return []
    return [options.strangers / file.path for file in walk(options.strangers).files]
