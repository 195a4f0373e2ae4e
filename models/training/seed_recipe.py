"""The recipes of the report's two networks: small readable TOML files, checked when read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from models.nets.seed_nets import TRUNKS
from models.training.augment import Augmentation
from models.training.recipe_rules import POSITIVE, SHARE, Recipe, Rule, one_of, whole


@dataclass(frozen=True)
class SeedRecipe(Recipe):
    """What both have in common: the rate is the same in every step.

    Raises BadRecipe for a value of the wrong type or out of its range.
    """

    optimiser: str
    rate: float
    beta1: float
    beta2: float
    momentum: float
    batch: int

    RULES: ClassVar[Mapping[str, Rule]] = {
        **Recipe.RULES,
        "optimiser": one_of("adam", "sgd", "adagrad"),
        "rate": POSITIVE,
        "beta1": SHARE,
        "beta2": SHARE,
        "momentum": SHARE,
        "batch": whole(2),  # batch normalisation needs two
    }
    AUGMENTATION: ClassVar[Augmentation] = Augmentation(flip=0, pad=0, erase=0, light=0)

    def optimiser_for(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        if self.optimiser == "adam":
            betas = (self.beta1, self.beta2)
            return torch.optim.Adam(parameters, lr=self.rate, betas=betas)
        if self.optimiser == "sgd":
            return torch.optim.SGD(parameters, lr=self.rate, momentum=self.momentum)
        return torch.optim.Adagrad(parameters, lr=self.rate)


@dataclass(frozen=True)
class AttributesRecipe(SeedRecipe):
    """How the attribute network is trained; `batch` is in images."""

    trunk: str

    RULES: ClassVar[Mapping[str, Rule]] = {**SeedRecipe.RULES, "trunk": one_of(*TRUNKS)}


@dataclass(frozen=True)
class SiameseRecipe(SeedRecipe):
    """How the siamese network is trained, on the attribute network's trunk; `batch` is in pairs."""

    margin: float

    RULES: ClassVar[Mapping[str, Rule]] = {**SeedRecipe.RULES, "margin": POSITIVE}
