"""Groups of images as people: what reviewers said holds, numbers live on, and how sure each is."""

# N images, P pairs of them by their rows, G groups, U units, D=512 embedding numbers

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from errors import ReidError
from metrics.groups import NOBODY

Floats = npt.NDArray[np.float32]
Floats64 = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Pair = tuple[int, int]


class ContradictingVerdicts(ReidError):
    """Two images were rejected as one person, and are confirmed to be one through others."""

    http_status = 409

    def __init__(self, first: int, second: int) -> None:
        super().__init__(
            f"images {first} and {second} were rejected as one person, but confirmed pairs between "
            "them say that they are; withdraw one of the verdicts (`reid match withdraw`)"
        )


@dataclass(frozen=True)
class Said:
    """What reviewers said of pairs of images, by their rows: one person, or two."""

    confirmed: tuple[Pair, ...] = ()
    rejected: tuple[Pair, ...] = ()


def units_of(number: int, confirmed: Sequence[Pair]) -> Ints:
    """The unit of each image (N,): those that confirmed pairs join are one, each other image is
    one of its own."""
    rows = [first for first, _ in confirmed]
    columns = [second for _, second in confirmed]
    joined = sparse.coo_array((np.ones(len(rows)), (rows, columns)), shape=(number, number))
    units_N: Ints = connected_components(joined, directed=False)[1].astype(np.int64)
    return units_N


def kept_apart(groups_N: Ints, embeddings_ND: Floats, said: Said, names_N: Sequence[int]) -> Ints:
    """The groups (N,) with every confirmed pair together and every rejected pair apart.

    A unit that confirmed pairs join goes where most of its images are. A group with rejected pairs
    is divided: its units, the largest first, go to the part with the nearest mean embedding that
    holds nobody they were rejected with, else they begin a part. Raises ContradictingVerdicts by
    `names_N`, the images' numbers.
    """
    units_N = units_of(len(groups_N), said.confirmed)
    for first, second in said.rejected:
        if units_N[first] == units_N[second]:
            raise ContradictingVerdicts(names_N[first], names_N[second])
    new_N = _together(groups_N, units_N, said)
    refused: dict[int, set[int]] = {}
    for first, second in said.rejected:
        one, other = int(units_N[first]), int(units_N[second])
        refused.setdefault(one, set()).add(other)
        refused.setdefault(other, set()).add(one)
    bad = {int(new_N[a]) for a, b in said.rejected if new_N[a] == new_N[b] != NOBODY}
    for group in sorted(bad):
        _divide(group, new_N, units_N, refused, embeddings_ND)
    return new_N


def _together(groups_N: Ints, units_N: Ints, said: Said) -> Ints:
    """Each confirmed unit in one group, a new one where all its images lay by themselves."""
    new_N = groups_N.copy()
    named = np.unique([row for pair in said.confirmed for row in pair]).astype(np.int64)
    for unit in np.unique(units_N[named]).tolist():
        own = np.flatnonzero(units_N == unit)
        found = groups_N[own][groups_N[own] != NOBODY]
        group = new_N.max(initial=NOBODY) + 1
        if len(found):
            numbers, counts = np.unique(found, return_counts=True)
            group = numbers[counts.argmax()]
        new_N[own] = group
    return new_N


def _divide(
    group: int, new_N: Ints, units_N: Ints, refused: Mapping[int, set[int]], embeddings_ND: Floats
) -> None:
    """Divides one group in place; its first part keeps the number."""
    own = np.flatnonzero(new_N == group)
    units, counts = np.unique(units_N[own], return_counts=True)
    sized = zip(units.tolist(), counts.tolist(), strict=True)
    parts: list[list[int]] = []
    sums: list[Floats64] = []
    # those with something against them first: the others then go to whom they are near
    for unit, _ in sorted(sized, key=lambda one: (one[0] not in refused, -one[1], one[0])):
        total_D = embeddings_ND[own[units_N[own] == unit]].astype(np.float64).sum(axis=0)
        against = refused.get(unit, set())
        likeness = [
            -np.inf if against & set(part) else float(total_D @ sum_D / np.linalg.norm(sum_D))
            for part, sum_D in zip(parts, sums, strict=True)
        ]
        if not likeness or max(likeness) == -np.inf:
            parts.append([unit])
            sums.append(total_D)
            continue
        best = int(np.argmax(likeness))
        parts[best].append(unit)
        sums[best] = sums[best] + total_D
    free = int(new_N.max()) + 1
    for number, part in enumerate(parts[1:]):
        new_N[own[np.isin(units_N[own], part)]] = free + number


def confidences(groups_N: Ints, pairs: sparse.csr_array, confirmed: Iterable[Pair]) -> Floats64:
    """How sure each membership is (N,), in [0, 1]: the mean of 1 - the Jaccard distance to the
    other images of the group, where those beyond the density count as 0. What a reviewer confirmed
    is 1, who is nobody 0."""
    near = pairs.tocoo()
    same = groups_N[near.row] == groups_N[near.col]
    summed_N = np.bincount(near.row[same], 1 - near.data[same], minlength=len(groups_N))
    _, inverse_N, counts = np.unique(groups_N, return_inverse=True, return_counts=True)
    sure_N: Floats64 = summed_N / np.maximum(counts[inverse_N] - 1, 1)
    sure_N[[row for pair in confirmed for row in pair]] = 1.0
    sure_N[groups_N == NOBODY] = 0.0
    return np.clip(sure_N, 0.0, 1.0)


def living_on(groups_N: Ints, before_N: Ints) -> dict[int, int]:
    """Which person each group goes on as: group -> number. `before_N` has each image's person of
    the grouping before, `NOBODY` for none. The pair of a group and a person with the most images in
    common comes first, of equals the one with the smaller numbers; each is taken once."""
    known = (groups_N != NOBODY) & (before_N != NOBODY)
    pairs, counts = np.unique(
        np.stack([groups_N[known], before_N[known]], axis=1), axis=0, return_counts=True
    )
    taken: dict[int, int] = {}
    persons: set[int] = set()
    for place in np.lexsort((pairs[:, 0], pairs[:, 1], -counts)).tolist():
        group, person = pairs[place].tolist()
        if group not in taken and person not in persons:
            taken[group] = person
            persons.add(person)
    return taken
