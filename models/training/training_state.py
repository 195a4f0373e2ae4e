"""`last.pt` and `best.pt` of a run: written by replacing, read without pickle's code."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from errors import ReidError

LAST, BEST = "last.pt", "best.pt"
State = dict[str, Any]


class TrainingFailed(ReidError):
    """Training cannot go on; the last good checkpoint is kept."""


def write_state(path: Path, state: State) -> None:
    """Replaces `path` when all is written: a kill leaves the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    torch.save(state, partial)
    partial.replace(path)


def read_state(path: Path, keys: set[str]) -> State:
    """What `write_state` wrote. Raises TrainingFailed for a file without these keys."""
    with path.open("rb") as file:
        try:
            state = torch.load(file, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, OSError, pickle.UnpicklingError):
            state = None
    if not isinstance(state, dict) or not keys <= state.keys():
        raise TrainingFailed(f"{path} is damaged; remove it to start again")
    return state


def check_same_run(path: Path, state: State, own: Mapping[str, Any]) -> None:
    """Raises TrainingFailed where `recipe`, `pids` or `origin` are not this run's own.

    A file of before one of them was kept is not refused for it.
    """
    for key, other in (
        ("recipe", "another recipe"),
        ("pids", "other people"),
        ("origin", "another start"),
    ):
        if state.get(key, own[key]) != own[key]:
            raise TrainingFailed(
                f"{path} belongs to {other}; name another folder with --out or remove it"
            )
