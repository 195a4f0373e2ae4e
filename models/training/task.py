"""What is trained, as the loop sees it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from images.preprocessing import Pixels
from models.training.recipe_rules import Recipe

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Validation:
    """Figures of the people held out, by name; empty where there is nothing to measure.

    A figure that guessing also gets stands beside it as `chance_...` or `majority_...`. `strip`
    shows some queries with their best matches, (H, W, 3).
    """

    figures: Mapping[str, float] = field(default_factory=dict)
    strip: Pixels | None = None


class Task(Protocol):
    """What is trained, and how; the loop does the rest.

    `modules` are saved under their names, and hold all that `optimiser` trains. A batch is an array
    of indices whose first axis is shared among processes, `together` rows at a time. `batch_key` is
    the recipe's key for the number of such groups. `decisive` names the figure that decides which
    epoch is the best; higher is better. `pids` are trained on. `origin` says what the run started
    from, where that matters.
    """

    device: torch.device
    modules: dict[str, nn.Module]
    optimiser: torch.optim.Optimizer
    pids: list[int]
    origin: str
    decisive: str
    together: int
    batch_key: str

    @property
    def recipe(self) -> Recipe:
        """Its epochs and its seed are the loop's, and it says which run this is."""

    def batches(self, epoch: int) -> list[Ints]:
        """The batches of an epoch, the same ones each time it is asked."""

    def losses(self, batch: Ints, rng: np.random.Generator) -> dict[str, Tensor]:
        """Weighted losses by name; their sum is minimised."""

    def rate_at(self, epoch: float) -> float:
        """The learning rate after so many epochs, and parts of one."""

    def validate(self) -> Validation:
        """Measures the people held out."""
