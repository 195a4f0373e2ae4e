"""A task for the training loop that takes no time, and a process that runs it.

    python -m tests.tiny_task FOLDER EPOCHS      (also under torch.distributed.run)

It says `step` at each step and waits a moment, so that it can be killed in the middle of an epoch.
"""

# N images, I=6 numbers of an image, B images of a batch

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.training.augment import Augmentation
from models.training.distributed import joined
from models.training.loop import Loop
from models.training.recipe_rules import Recipe
from models.training.sampler import pk_batches
from models.training.task import Ints, Validation

PIDS = np.repeat(np.arange(1, 9), 6)


@dataclass(frozen=True)
class TinyRecipe(Recipe):
    rate: float


RECIPE = TinyRecipe(epochs=4, held_out=0.0, seed=7, augmentation=Augmentation(), rate=0.02)


class TinyTask:
    """People are directions in noise; a layer with normalisation and dropout learns to tell them.

    Batches are four people with two images each. `scores` are the figures that validation gives,
    epoch by epoch; without them it measures how often the network is right.
    """

    together, batch_key, decisive = 2, "people", "rank1"
    before_step: Callable[[int], object] = staticmethod(lambda _: None)

    def __init__(self, recipe: TinyRecipe = RECIPE, origin: str = "none") -> None:
        self.recipe, self.origin = recipe, origin
        self.device = torch.device("cpu")
        self.pids = sorted(set(PIDS.tolist()))
        self.scores: list[float] = []
        torch.manual_seed(recipe.seed)
        noise_NI = torch.randn(len(PIDS), 6)
        self.classes_N = torch.from_numpy(PIDS - 1)
        self.images_NI = torch.randn(len(self.pids), 6)[self.classes_N] + 0.3 * noise_NI
        net = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2))
        self.modules: dict[str, nn.Module] = {"net": net, "classifier": nn.Linear(16, 8)}
        parameters = [p for module in self.modules.values() for p in module.parameters()]
        self.optimiser: torch.optim.Optimizer = torch.optim.Adam(parameters, lr=recipe.rate)

    def batches(self, epoch: int) -> list[Ints]:
        return list(pk_batches(PIDS.tolist(), 4, 2, self.recipe.seed, epoch))

    def losses(self, batch: Ints, rng: np.random.Generator) -> dict[str, Tensor]:
        self.before_step(len(batch))
        index = torch.from_numpy(batch)
        noise_BI = torch.from_numpy(rng.normal(0, 0.1, (len(batch), 6))).float()
        features = self.modules["net"](self.images_NI[index] + noise_BI)
        logits = self.modules["classifier"](features)
        identity = nn.functional.cross_entropy(logits, self.classes_N[index])
        return {"identity": identity, "size": 0.001 * features.square().mean()}

    def rate_at(self, epoch: float) -> float:
        return self.recipe.rate / (1 + epoch)

    def validate(self) -> Validation:
        for module in self.modules.values():
            module.eval()
        if self.scores:
            score = self.scores.pop(0)
        else:
            with torch.inference_mode():
                logits = self.modules["classifier"](self.modules["net"](self.images_NI))
            score = float((logits.argmax(1) == self.classes_N).float().mean())
        strip = np.full((4, 8, 3), 255, np.uint8)
        return Validation({"rank1": score, "chance_rank1": 1 / 8}, strip)


def weights(task: TinyTask) -> dict[str, Tensor]:
    return {f"{m}.{n}": t for m, net in task.modules.items() for n, t in net.state_dict().items()}


def same_weights(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    assert first.keys() == second.keys()
    return all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def curves(folder: Path) -> Any:
    from tensorboard.backend.event_processing import (  # type: ignore[import-untyped]
        event_accumulator,
    )

    found = event_accumulator.EventAccumulator(str(folder / "tensorboard"))
    found.Reload()
    return found


def main(folder: Path, epochs: int) -> None:
    torch.set_num_threads(1)
    task = TinyTask(RECIPE.with_changes(epochs=epochs))

    def slowly(_: int) -> None:
        sys.stdout.write("step\n")
        sys.stdout.flush()
        time.sleep(0.02)

    task.before_step = slowly
    with joined("cpu") as (ranks, _device):
        Loop(task, folder, ranks=ranks).run()
        torch.save(weights(task), folder / f"weights{ranks.rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
