"""How far groups of images are people: BCubed (Bagga, Baldwin, 1998), the adjusted Rand index.

An image in no group is one of its own. Judged are the images whose person is known; the others
stand in the groups as strangers to everybody.
"""

# N images

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
NOBODY = -1


@dataclass(frozen=True)
class GroupQuality:
    """`precision` is the mean share of an image's group that shows its person, `recall` the mean
    share of its person's images in its group, each over the judged images, itself among them;
    `f1` their harmonic mean. `rand` is the adjusted Rand index, 1 for the same partition and about
    0 by chance."""

    groups: int
    people: int
    precision: float
    recall: float
    f1: float
    rand: float


def as_partition(groups_N: Ints) -> Ints:
    """Groups from 0 on, with a group of its own for each image in none."""
    alone = np.flatnonzero(groups_N == NOBODY)
    whole_N = groups_N.copy()
    whole_N[alone] = groups_N.max(initial=NOBODY) + 1 + np.arange(len(alone))
    partition_N: Ints = np.unique(whole_N, return_inverse=True)[1].astype(np.int64)
    return partition_N


def quality_of(groups_N: Ints, people_N: Ints, known_N: Bools) -> GroupQuality:
    """The figures of groups (N,), beside the person of each image where `known_N`. Raises
    ValueError where nobody is known."""
    if not known_N.any():
        raise ValueError("expected an image whose person is known")
    partition_N = as_partition(groups_N)
    sizes = np.bincount(partition_N)
    own_N, people = partition_N[known_N], np.unique(people_N[known_N], return_inverse=True)[1]
    _, cell_N, counts = np.unique(
        np.stack([own_N, people], axis=1), axis=0, return_inverse=True, return_counts=True
    )
    both_N = counts[cell_N.ravel()]
    precision = float((both_N / sizes[own_N]).mean())
    recall = float((both_N / np.bincount(people)[people]).mean())
    return GroupQuality(
        groups=len(np.unique(groups_N[groups_N != NOBODY])),
        people=len(np.unique(people)),
        precision=precision,
        recall=recall,
        f1=2 * precision * recall / (precision + recall),
        rand=_adjusted_rand(counts, np.bincount(own_N), np.bincount(people)),
    )


def _adjusted_rand(cells: Ints, rows: Ints, columns: Ints) -> float:
    """From the sizes of the cells of a table of two partitions, its rows and its columns."""

    def pairs(sizes: Ints) -> float:
        return float((sizes * (sizes - 1.0)).sum() / 2)

    total = pairs(np.array([rows.sum()]))
    expected = pairs(rows) * pairs(columns) / total if total else 0.0
    most = (pairs(rows) + pairs(columns)) / 2
    return 1.0 if most == expected else (pairs(cells) - expected) / (most - expected)


def trivial(number: int) -> dict[str, Ints]:
    """The two partitions that need no look at the images."""
    return {
        "one group an image": np.full(number, NOBODY),
        "one group for all": np.zeros(number, np.int64),
    }
