"""The training loop that every recipe shares: steps, validation, checkpoints, resume, curves.

A killed run goes on from `last.pt` and is the run that was not killed: all that is drawn at random
follows from the recipe's seed and the epoch, and a broken epoch is begun again.
"""

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from models.training.distributed import ALONE, Ranks
from models.training.fitting import too_large
from models.training.task import Ints, Task, Validation
from models.training.training_log import MISSING, TrainingLog
from models.training.training_state import (
    BEST,
    LAST,
    TrainingFailed,
    check_same_run,
    read_state,
    write_state,
)


@dataclass(frozen=True)
class EpochReport:
    """What one epoch gave; `steps` counts from the beginning of the run."""

    epoch: int
    loss: float
    losses: dict[str, float]
    rate: float
    steps: int
    figures: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        own = {k: v for k, v in vars(self).items() if k != "figures"}
        return {**own, **self.figures}


@dataclass(frozen=True)
class StepReport:
    """One step of the run: `step` of `steps` in `epoch` of `epochs`, all from 1; `images` so
    far."""

    epoch: int
    epochs: int
    step: int
    steps: int
    images: int
    loss: float
    rate: float


class _Step(nn.Module):
    """A batch's losses as a module's forward, which is what averages gradients over processes."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(task.modules)
        self._losses = task.losses

    def forward(self, batch: Ints, rng: np.random.Generator) -> dict[str, Tensor]:
        return self._losses(batch, rng)


def _with_total(losses: Mapping[str, float]) -> dict[str, float]:
    return {"total": sum(losses.values()), **(losses if len(losses) > 1 else {})}


@dataclass
class Loop:
    """One run of a task in `folder`, and where it stands; goes on where `last.pt` says.

    With `patience` it ends early, after so many epochs without a better decisive figure. `tell`
    gets what a person should know, `on_step` each step. Raises TrainingFailed for a folder with
    another run.
    """

    task: Task
    folder: Path
    patience: int | None = None
    ranks: Ranks = ALONE
    show: bool = False
    tell: Callable[[str], object] = lambda _: None
    on_step: Callable[[StepReport], object] = lambda _: None
    epoch: int = 0
    steps: int = 0
    images: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._resume()
        self._step_module = self.ranks.wrap(_Step(self.task), self.task.device)

    @property
    def best(self) -> dict[str, Any] | None:
        """The history of the best epoch, the earlier of equals; None where nothing is measured."""
        measured = [h for h in self.history if h.get(self.task.decisive) is not None]
        return max(measured, key=lambda h: float(h[self.task.decisive]), default=None)

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or patience is at its end."""
        if self.epoch >= self.task.recipe.epochs:
            return True
        best = self.best
        return bool(self.patience and best and self.epoch - best["epoch"] >= self.patience)

    def run(self, on_epoch: Callable[[EpochReport], object] = lambda _: None) -> None:
        """Trains to the end. Raises TrainingFailed, TooManyProcesses."""
        log = TrainingLog(self.folder, self.steps) if self.ranks.first else None
        if log and not log.writes:
            self.tell(MISSING)
        bar = tqdm(initial=self.steps, unit="step", disable=not (self.show and self.ranks.first))
        try:
            while not self.ranks.agree(self.finished):
                report = self.run_epoch(log, bar)
                with tqdm.external_write_mode(file=sys.stderr):
                    on_epoch(report)
        finally:
            bar.close()
            if log:
                log.close()
        if self.epoch < self.task.recipe.epochs:
            self.tell(f"ended early: {self.patience} epochs without a better {self.task.decisive}")

    def run_epoch(
        self, log: TrainingLog | None = None, bar: "tqdm[Any] | None" = None
    ) -> EpochReport:
        """One pass; saves `last.pt` when it is complete, and `best.pt` where it is the best."""
        task, rank = self.task, self.ranks.rank
        torch.manual_seed(task.recipe.seed * 10_000 + self.epoch + rank * 2**32)
        rng = np.random.default_rng([task.recipe.seed, 1, self.epoch, *([rank] if rank else [])])
        batches = task.batches(self.epoch)
        if bar is not None:
            bar.total = self.steps + len(batches) * (task.recipe.epochs - self.epoch)
            bar.set_description(f"epoch {self.epoch + 1}/{task.recipe.epochs}")
        self._step_module.train()
        every: list[dict[str, float]] = []
        for step, batch in enumerate(batches):
            rate = self._set_rate(self.epoch + step / len(batches))
            every.append(self._one_step(batch, rng))
            self._tell_step(step, len(batches), batch, every[-1], rate)
            if log:
                log.numbers("loss", _with_total(every[-1]), self.steps + step)
                log.numbers("training", {"rate": rate}, self.steps + step)
            if bar is not None:
                recent = [sum(losses.values()) for losses in every[-50:]]
                bar.set_postfix(loss=f"{np.mean(recent):.3f}", refresh=False)
                bar.update()
        return self._end_epoch(every, log)

    def _tell_step(
        self, step: int, steps: int, batch: Ints, losses: Mapping[str, float], rate: float
    ) -> None:
        self.images += len(batch)
        self.on_step(
            StepReport(
                self.epoch + 1, self.task.recipe.epochs, step + 1, steps,
                self.images, sum(losses.values()), rate,
            )
        )  # fmt: skip

    def _one_step(self, batch: Ints, rng: np.random.Generator) -> dict[str, float]:
        share = self.ranks.share(batch, self.task.together)
        try:
            losses = self._step_module(share, rng)
            means = self.ranks.mean(torch.stack([x.detach().float() for x in losses.values()]))
            values = dict(zip(losses, means.tolist(), strict=True))
            self._check_finite(sum(values.values()))
            self.task.optimiser.zero_grad(set_to_none=True)
            sum(losses.values()).backward()
            self.task.optimiser.step()
            return values
        except torch.OutOfMemoryError:
            pass  # left first, so that what the failed step holds is free again
        raise too_large(self.task, share, rng, self.ranks.world)

    def _check_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise TrainingFailed(f"the loss became {loss} {self._way_back()}")

    def _way_back(self) -> str:
        kept = f"the checkpoint of the epoch before is in {self.folder}"
        return (
            f"in epoch {self.epoch + 1}; {kept if self.epoch else 'nothing was saved yet'}; "
            "try again with a lower rate"
        )

    def _end_epoch(self, every: list[dict[str, float]], log: TrainingLog | None) -> EpochReport:
        # the last step of an epoch may spoil the weights without a loss that says so
        if not all(p.isfinite().all() for p in self._step_module.parameters()):
            raise TrainingFailed(f"the weights became infinite {self._way_back()}")
        names = every[0] if every else ()
        losses = {name: float(np.mean([step[name] for step in every])) for name in names}
        loss = float(np.mean([sum(step.values()) for step in every]))
        rate = self.task.rate_at(self.epoch)
        self.epoch += 1
        self.steps += len(every)
        validation = self.task.validate() if self.ranks.first else Validation()
        report = EpochReport(self.epoch, loss, losses, rate, self.steps, validation.figures)
        self.history.append(report.to_json())
        if self.ranks.first:
            self._save()
        if log:
            log.numbers("validation", validation.figures, self.steps - 1)
            if validation.strip is not None:
                log.picture("matches", validation.strip, self.steps - 1)
            log.flush()
        return report

    def _set_rate(self, epoch: float) -> float:
        rate = self.task.rate_at(epoch)
        for group in self.task.optimiser.param_groups:
            group["lr"] = rate
        return rate

    def _identity(self) -> dict[str, Any]:
        task = self.task
        return {"recipe": task.recipe.to_json(), "pids": task.pids, "origin": task.origin}

    def _save(self) -> None:
        state = {
            **{name: module.state_dict() for name, module in self.task.modules.items()},
            **self._identity(),
            "epoch": self.epoch,
            "steps": self.steps,
            "history": self.history,
        }
        # the best first: a kill between the two repeats this epoch, and then writes it again
        if self.best == self.history[-1]:
            write_state(self.folder / BEST, state)
        write_state(self.folder / LAST, {**state, "optimiser": self.task.optimiser.state_dict()})

    def _resume(self) -> None:
        path = self.folder / LAST
        if not path.exists():
            return
        state = self._read(path, {"optimiser"})
        self.task.optimiser.load_state_dict(state["optimiser"])
        self.epoch, self.history = state["epoch"], state["history"]
        self.steps = state.get("steps", 0)

    def load_best(self) -> int:
        """Puts the weights of the best epoch into the task; gives its number, from 1.

        Where nothing was measured, the last ones stay.
        """
        best = self.best
        if best is None:
            return self.epoch
        return int(self._read(self.folder / BEST, set())["epoch"])

    def _read(self, path: Path, more: set[str]) -> dict[str, Any]:
        state = read_state(path, {"recipe", "epoch", "history", *more})
        check_same_run(path, state, self._identity())
        for name, module in self.task.modules.items():
            try:
                module.load_state_dict(state[name])
            except (KeyError, RuntimeError):
                raise TrainingFailed(f"{path} is damaged; remove it to start again") from None
        return state
