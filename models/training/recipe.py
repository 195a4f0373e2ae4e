"""The recipe of the joint network: a small readable TOML file, checked when it is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from models.training.recipe_rules import (
    NOT_NEGATIVE,
    POSITIVE,
    SHARE,
    YES_OR_NO,
    BadRecipe,
    Recipe,
    Rule,
    whole,
)

__all__ = ["BadRecipe", "JointRecipe", "read_joint_recipe"]


@dataclass(frozen=True)
class JointRecipe(Recipe):
    """How the joint network is trained. `rate` is per step, `height` and `width` are in pixels,
    `junk` is a number of made junk crops in each batch, `singles` of images of people with one
    image only, who teach attributes and quality. In the first `small_epochs` the network sees two
    thirds of the height and width, at less than half the cost. With `other_cameras_first` a
    person's images in a batch come from as many cameras as there are.

    Raises BadRecipe for a value of the wrong type or out of its range.
    """

    height: int
    width: int
    people: int
    images: int
    junk: int
    rate: float
    weight_decay: float
    warmup_epochs: int
    label_smoothing: float
    identity_scale: float
    identity_margin: float
    part_weight: float
    triplet_weight: float
    attribute_weight: float
    quality_weight: float
    rare_power: float
    whitening: float
    score_weight: float
    flip_average: bool
    singles: int = 0
    small_epochs: int = 0
    other_cameras_first: bool = False

    RULES: ClassVar[Mapping[str, Rule]] = {
        **Recipe.RULES,
        "height": whole(32),
        "width": whole(16),
        "people": whole(2),  # triplets need another person ...
        "images": whole(2),  # ... and another image of the same one
        "junk": whole(1),  # without it there is nothing to tell quality by
        "rate": POSITIVE,
        "weight_decay": NOT_NEGATIVE,
        "warmup_epochs": whole(0),
        "label_smoothing": SHARE,
        "identity_scale": POSITIVE,
        "identity_margin": SHARE,
        "part_weight": NOT_NEGATIVE,
        "triplet_weight": NOT_NEGATIVE,
        "attribute_weight": NOT_NEGATIVE,
        "quality_weight": NOT_NEGATIVE,
        "rare_power": NOT_NEGATIVE,
        "whitening": SHARE,
        "score_weight": NOT_NEGATIVE,
        "flip_average": YES_OR_NO,
        "singles": whole(0),
        "small_epochs": whole(0),
        "other_cameras_first": YES_OR_NO,
    }


def read_joint_recipe(path: Path | None = None) -> JointRecipe:
    """The recipe at `path`, or the one that ships. Raises BadRecipe."""
    return JointRecipe.read("joint", path)
