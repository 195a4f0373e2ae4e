"""Batches of P people with K images each, the same for a seed and an epoch."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt


def pk_batches(
    pids_N: Sequence[int], people: int, images: int, seed: int, epoch: int
) -> Iterator[npt.NDArray[np.int64]]:
    """Index arrays of length `people` x `images`; nearly every image is drawn once an epoch.

    A person with fewer than `images` images is filled up by repeating some. Raises ValueError when
    there are fewer than `people` people.
    """
    rng = np.random.default_rng([seed, epoch])
    by_pid: dict[int, list[int]] = defaultdict(list)
    for index, pid in enumerate(pids_N):
        by_pid[int(pid)].append(index)
    if len(by_pid) < people:
        raise ValueError(f"expected at least {people} people, got {len(by_pid)}")
    chunks: dict[int, list[npt.NDArray[np.int64]]] = {}
    for pid, own in sorted(by_pid.items()):
        shuffled = rng.permutation(own)
        short = -len(shuffled) % images
        filled = np.concatenate([shuffled, rng.choice(shuffled, short)]) if short else shuffled
        chunks[pid] = list(filled.reshape(-1, images))
    while len(chunks) >= people:
        weights = np.array([len(chunk) for chunk in chunks.values()], float)
        drawn = rng.choice(list(chunks), people, replace=False, p=weights / weights.sum())
        yield np.concatenate([chunks[int(pid)].pop() for pid in drawn])
        chunks = {pid: left for pid, left in chunks.items() if left}
