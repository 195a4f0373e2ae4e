"""Batches of P people with K images each, the same for a seed and an epoch."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def pk_batches(
    pids_N: Sequence[int],
    people: int,
    images: int,
    seed: int,
    epoch: int,
    camids_N: Sequence[int] | None = None,
) -> Iterator[Ints]:
    """Index arrays of length `people` x `images`; nearly every image is drawn once an epoch.

    With `camids_N` the images of a person come from as many cameras as he was seen by: positives
    from other cameras are what search is asked for. A person with fewer than `images` images is
    filled up by repeating some. Raises ValueError when there are fewer than `people` people.
    """
    rng = np.random.default_rng([seed, epoch])
    by_pid: dict[int, list[int]] = defaultdict(list)
    for index, pid in enumerate(pids_N):
        by_pid[int(pid)].append(index)
    if len(by_pid) < people:
        raise ValueError(f"expected at least {people} people, got {len(by_pid)}")
    cameras_N = None if camids_N is None else np.asarray(camids_N)
    chunks: dict[int, list[Ints]] = {}
    for pid, own in sorted(by_pid.items()):
        shuffled = rng.permutation(own)
        if cameras_N is not None:
            shuffled = _by_turns(shuffled, cameras_N[shuffled])
        short = -len(shuffled) % images
        filled = np.concatenate([shuffled, rng.choice(shuffled, short)]) if short else shuffled
        chunks[pid] = list(filled.reshape(-1, images))
    while len(chunks) >= people:
        weights = np.array([len(chunk) for chunk in chunks.values()], float)
        drawn = rng.choice(list(chunks), people, replace=False, p=weights / weights.sum())
        yield np.concatenate([chunks[int(pid)].pop() for pid in drawn])
        chunks = {pid: left for pid, left in chunks.items() if left}


def _by_turns(shuffled: Ints, camids: Ints) -> Ints:
    """One image of each camera, then the next of each, so that a run of K holds several cameras."""
    order = np.argsort(camids, kind="stable")
    starts = np.searchsorted(camids[order], camids[order])
    turn = np.arange(len(order)) - starts  # the how-manieth of its camera
    return shuffled[order[np.argsort(turn, kind="stable")]]
