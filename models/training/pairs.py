"""Pairs for the contrastive loss: half of one person, half of strangers, anew each epoch."""

# N images, M pairs

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.training.data import BadTrainingData

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TrainingPairs:
    """Positions of the two images, (M, 2), and whether they are of one person, (M,)."""

    images_M2: Ints
    same_M: npt.NDArray[np.bool_]


def draw_pairs(pids_N: Ints, camids_N: Ints, seed: int, epoch: int) -> TrainingPairs:
    """One pair an image, in random order, the same ones for a seed and an epoch.

    Each image is the first of one pair. One person and strangers take turns, so that a batch holds
    half of each. The second image of one person is from another camera where there is one: from the
    same camera it would differ by little more than its number in the film. A stranger is any image
    of anybody else. Who has one image only is met as a stranger alone.

    Raises BadTrainingData where nobody has two images, or there is one person only.
    """
    rng = np.random.default_rng([seed, 2, epoch])
    by_person = np.argsort(pids_N, kind="stable")
    starts_N = np.searchsorted(pids_N[by_person], pids_N, side="left")
    counts_N = np.searchsorted(pids_N[by_person], pids_N, side="right") - starts_N
    if counts_N.max(initial=0) < 2 or counts_N.max() == len(pids_N):
        raise BadTrainingData(
            "pairs need two images of one person, and another person; bring more images"
        )
    order = rng.permutation(len(pids_N))
    usable = order[counts_N[order] > 1][: len(order) // 2]
    rest = order[~np.isin(order, usable)]
    partners = [_partner(i, by_person, starts_N, counts_N, camids_N, rng) for i in usable]
    # a draw among all others: those after the person's own block are shifted over it
    drawn = rng.integers(0, len(pids_N) - counts_N[rest])
    strangers = by_person[drawn + counts_N[rest] * (drawn >= starts_N[rest])]
    images_M2 = np.concatenate(
        [
            np.stack([usable, np.array(partners)], axis=1),
            np.stack([rest, strangers], axis=1),
        ]
    )
    same_M = np.arange(len(images_M2)) < len(usable)
    turns = np.argsort(
        np.concatenate([np.arange(len(usable)), np.arange(len(rest))]), kind="stable"
    )
    return TrainingPairs(images_M2[turns], same_M[turns])


def _partner(
    i: int, by_person: Ints, starts_N: Ints, counts_N: Ints, camids_N: Ints,
    rng: np.random.Generator,
) -> int:  # fmt: skip
    own = by_person[starts_N[i] : starts_N[i] + counts_N[i]]
    elsewhere = own[camids_N[own] != camids_N[i]]
    return int(rng.choice(elsewhere if len(elsewhere) else own[own != i]))
