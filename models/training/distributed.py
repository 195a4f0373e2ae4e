"""Several processes that train one network together, as `torchrun` starts them.

Each process takes its share of every batch, so that the batch, the steps and the rate are those of
the recipe whatever the number of processes. The first process alone validates, saves and logs.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from errors import UsageError
from models.extractor import choose_device

# the others wait while the first one validates
_PATIENCE = timedelta(hours=2)


class TooManyProcesses(UsageError):
    """A batch cannot be shared among so many processes."""


@dataclass(frozen=True)
class Ranks:
    """Which process this is, from 0, and how many there are."""

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def share(self, batch: Any, together: int = 1) -> Any:
        """This process's rows of an index array, (B, ...) to (B / world, ...).

        `together` rows that follow each other stay in one share: the K images of a person. What
        cannot be shared evenly is left out, so that every share weighs the same in the mean of the
        gradients. Raises TooManyProcesses for less than two such groups a share.
        """
        if self.world == 1:
            return batch
        groups = len(batch) // together // self.world
        if groups < 2:
            raise TooManyProcesses(
                f"a batch of {len(batch)} cannot be shared among {self.world} processes; start "
                "fewer with torchrun, or raise the batch in the recipe"
            )
        size = groups * together
        return batch[self.rank * size : (self.rank + 1) * size]

    def mean(self, values: Tensor) -> Tensor:
        """The mean over the processes, the same in each."""
        if self.world > 1:
            dist.all_reduce(values)
            values /= self.world
        return values

    def agree(self, answer: bool) -> bool:
        """The first process's answer, in each; all wait here for all."""
        if self.world == 1:
            return answer
        answers = [answer]
        dist.broadcast_object_list(answers)
        return answers[0]

    def wrap(self, module: nn.Module, device: torch.device) -> nn.Module:
        """The module with its gradients averaged over the processes."""
        if self.world == 1:
            return module
        return DistributedDataParallel(module, [device] if device.type == "cuda" else None)


ALONE = Ranks()


@contextmanager
def joined(device: str | None) -> Iterator[tuple[Ranks, torch.device]]:
    """Joins the processes that torchrun started, by NCCL on GPUs and Gloo on CPUs; gives the own
    place and the own device. Without torchrun there is one process and nothing to join.

    Raises UnknownDevice, also where there are more processes than GPUs.
    """
    chosen = choose_device(device)
    if not dist.is_torchelastic_launched() or int(os.environ["WORLD_SIZE"]) == 1:
        yield ALONE, chosen
        return
    if chosen.type == "cuda":
        chosen = choose_device(f"cuda:{os.environ['LOCAL_RANK']}")
        torch.cuda.set_device(chosen)
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size()), chosen
    finally:
        dist.destroy_process_group()
