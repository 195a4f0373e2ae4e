"""From the report's two trainings to checkpoints: the attributes alone, then both side by side."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from errors import UsageError
from images.preprocessing import SEED
from models.checkpoint import Header, content_hash
from models.nets.load import load_attributes, save
from models.nets.seed_nets import ATTRIBUTES_ONLY, AttributeNet, SeedNet
from models.training.data import BadTrainingData, LabelledImages, split_people
from models.training.measure import attribute_figures, measured
from models.training.seed_recipe import SiameseRecipe
from models.training.seed_training import AttributesTraining, SiameseTraining, evaluate
from models.training.validation import measure_attributes


class OtherIdentities(UsageError):
    """The people of two trainings cannot be compared."""


class Trained(NamedTuple):
    """What `train attributes` wrote."""

    net: AttributeNet
    header: Header
    trunk: str
    content: str


def finish_attributes(training: AttributesTraining, path: Path, identity_space: str) -> Header:
    """Saves the attribute network in 32 bit, with its figures on the people held out."""
    header = Header(
        architecture=f"seed-{training.recipe.trunk}{ATTRIBUTES_ONLY}",
        preprocessing=SEED,
        normalised=False,
        trained_pids=tuple(training.pids),
        identity_space=identity_space,
        recipe=training.recipe.to_json(),
        notes="nobody was held out: nothing is measured",
    )
    if training.held_out.names:
        scores_NA = evaluate(training.net, training.held_out, training.device)
        found = measure_attributes(training.held_out, scores_NA)
        people = f"{found.num_identities} people never trained on"
        header = replace(
            header,
            metrics={"attributes": attribute_figures(found)},
            notes=f"measured on {people} (split seed {training.recipe.seed})",
        )
    save(path, training.net, header)
    return header


def read_attributes(path: Path) -> Trained:
    """Raises BadCheckpoint where `train attributes` did not write it."""
    net, header = load_attributes(path)
    trunk = header.architecture.removeprefix("seed-").removesuffix(ATTRIBUTES_ONLY)
    return Trained(net, header, trunk, content_hash(path))


def check_people(
    images: LabelledImages, recipe: SiameseRecipe, header: Header, identity_space: str
) -> None:
    """The people held out here must be strangers to the attribute network too.

    Raises OtherIdentities for another identity space, BadTrainingData for people who are not.
    """
    if header.identity_space != identity_space:
        raise OtherIdentities(
            f"the attributes were trained on people of {header.identity_space!r}, these are of "
            f"{identity_space!r}; name the same space with --identities"
        )
    held_out = split_people(images.pids, recipe.held_out, recipe.seed)[1]
    known = sorted(held_out & set(header.trained_pids))
    if known:
        raise BadTrainingData(
            f"{len(known)} people who would be held out are known to the attribute network, the "
            f"first is {known[0]}; use the data and the recipe's `held_out` and `seed` of its run"
        )


def finish_siamese(
    training: SiameseTraining,
    attributes: Trained,
    path: Path,
    identity_space: str,
    strangers: Sequence[Path] = (),
) -> Header:
    """Saves both networks as one in 16 bit, measures and calibrates what was saved on the people
    held out, and writes that into its header."""
    net = SeedNet(attributes.trunk)
    net.attributes.load_state_dict(attributes.net.state_dict())
    net.siamese.load_state_dict(training.net.state_dict())
    header = Header(
        architecture=net.architecture,
        preprocessing=SEED,
        normalised=False,
        trained_pids=tuple(sorted({*training.pids, *attributes.header.trained_pids})),
        identity_space=identity_space,
        recipe={
            "attributes": dict(attributes.header.recipe),
            "siamese": training.recipe.to_json(),
        },
    )
    save(path, net, header, half=True)
    header = measured(path, header, training.held_out, strangers, training.recipe.seed)
    save(path, net, header, half=True)
    return header
