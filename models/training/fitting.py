"""Which batch would have fitted, when the device's memory was too small for one."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from models.extractor import OutOfDeviceMemory

if TYPE_CHECKING:
    from models.training.task import Task


def too_large(task: "Task", batch: Any, rng: np.random.Generator, world: int) -> OutOfDeviceMemory:
    """The error for a batch, or a process's share of one, that did not fit: halves are tried until
    one does, so that the sentence names what was seen to fit."""
    groups = len(batch) // task.together
    found = groups // 2
    while found > 1 and not _fits(task, batch[: found * task.together], rng):
        found //= 2
    short = f"{task.device} has too little memory for a batch of {len(batch)}"
    if found <= 1:
        return OutOfDeviceMemory(f"{short}; use a smaller trunk, or --device cpu")
    return OutOfDeviceMemory(
        f"{short}; {found * task.together} would fit: "
        f"set {task.batch_key} = {found * world} in the recipe"
    )


def _fits(task: "Task", batch: Any, rng: np.random.Generator) -> bool:
    try:
        task.optimiser.zero_grad(set_to_none=True)
        # before the first step, the optimiser does not hold its two averages yet
        parameters = [p for group in task.optimiser.param_groups for p in group["params"]]
        spare = [] if task.optimiser.state else [torch.empty_like(p) for p in parameters * 2]
        torch.stack(list(task.losses(batch, rng).values())).sum().backward()  # type: ignore[no-untyped-call]
        del spare
    except torch.OutOfMemoryError:
        return False
    return True
