"""Cut-offs on the scores of two-valued columns, chosen on people the model was not trained on.

A rare value that is decided where its score passes one half is decided too seldom. A cut-off is the
score with the highest sum of accuracy and balanced accuracy: the first alone never says yes to a
rare value, the second alone says it far too often. What is reported is cross-fitted: the people of
each fifth are decided by cut-offs chosen on the others, and a cut-off is kept only where that is
better.
"""

# N images, C=27 columns, A=56 scores, F=5 folds

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vocabulary import COLUMNS, LABEL_OF, NUM_VALUES, decide, values_in_order

MIN_RARE = 10  # people with the rarer value: below it, a cut-off would follow one coat
MIN_GAIN = 0.01  # of cross-fitted balanced accuracy: less is noise
_FOLDS = 5
_SEED = 0
TWO_VALUED = tuple(column for column in COLUMNS if NUM_VALUES[column] == 2)

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]
Bits = npt.NDArray[np.bool_]
Cutoffs = Mapping[str, float]


@dataclass(frozen=True)
class ColumnCutoff:
    """A column's cut-off, or why it has none, with cross-fitted figures with and without it.

    `num_identities` counts the people with the rarer value. Balanced accuracy is None where only
    one value occurs, accuracy where none is known.
    """

    name: str
    cutoff: float | None
    num_identities: int
    balanced_accuracy_without: float | None
    balanced_accuracy: float | None
    accuracy_without: float | None
    accuracy: float | None
    reason: str


def choose_cutoffs(
    truth_NC: Ints, scores_NA: Floats, people_N: npt.NDArray[np.object_]
) -> tuple[ColumnCutoff, ...]:
    """The 26 two-valued columns in their order; truth from 1, 0 where it is unknown, scores as they
    are stored.

    Raises ValueError for no image at all.
    """
    if not len(truth_NC):
        raise ValueError("expected at least one image")
    people = {column: _rare_people(truth_NC, column, people_N) for column in TWO_VALUED}
    tried = [column for column in TWO_VALUED if people[column] >= MIN_RARE]
    folds_N = _folds(people_N)
    fitted = [_fit(truth_NC[folds_N != f], scores_NA[folds_N != f], tried) for f in range(_FOLDS)]
    without_NC = _decided(scores_NA, {})
    kept = list(tried)
    while True:
        # of a group of colours one is decided: without one column's cut-off, others may lose theirs
        with_NC = _cross_decided(scores_NA, folds_N, fitted, kept)
        better = [c for c in kept if _is_better(c, truth_NC, without_NC, with_NC)]
        if better == kept:
            break
        kept = better
    chosen = _fit(truth_NC, scores_NA, kept)
    return tuple(
        _report(column, chosen.get(column), people[column], truth_NC, without_NC, with_NC)
        for column in TWO_VALUED
    )


def _report(
    column: str, cutoff: float | None, people: int, truth_NC: Ints, without_NC: Ints, with_NC: Ints
) -> ColumnCutoff:
    reason = ""
    if people < MIN_RARE:
        reason = f"{people} people have the rarer value, {MIN_RARE} are needed"
    elif cutoff is None:
        reason = "no better with a cut-off"
    accuracy, balanced = _figures(column, truth_NC, with_NC)
    accuracy_without, balanced_without = _figures(column, truth_NC, without_NC)
    return ColumnCutoff(
        name=column,
        cutoff=cutoff,
        num_identities=people,
        balanced_accuracy_without=balanced_without,
        balanced_accuracy=balanced,
        accuracy_without=accuracy_without,
        accuracy=accuracy,
        reason=reason,
    )


def _rare_people(truth_NC: Ints, column: str, people_N: npt.NDArray[np.object_]) -> int:
    """Number of people with the column's rarer value; 0 where only one value occurs."""
    values_N = truth_NC[:, COLUMNS.index(column)]
    return min(len(set(people_N[values_N == value].tolist())) for value in (1, 2))


def _folds(people_N: npt.NDArray[np.object_]) -> Ints:
    """Each image's fold, from 0; all images of a person lie in one."""
    people = sorted(set(people_N.tolist()), key=str)
    order = np.random.default_rng(_SEED).permutation(len(people))
    fold_of = {people[i]: position % _FOLDS for position, i in enumerate(order)}
    return np.array([fold_of[person] for person in people_N.tolist()])


def _fit(truth_NC: Ints, scores_NA: Floats, columns: Sequence[str]) -> dict[str, float]:
    cutoffs = {}
    for column in columns:
        truth_N = truth_NC[:, COLUMNS.index(column)]
        known_N = truth_N > 0
        scores_N = scores_NA[known_N, LABEL_OF[f"{column}-2"] - 1]
        best = _best_cutoff(scores_N, truth_N[known_N] == 2)
        if best is not None:
            cutoffs[column] = best
    return cutoffs


def _best_cutoff(scores_N: Floats, positive_N: Bits) -> float | None:
    """The cut-off with the highest sum of accuracy and balanced accuracy, halfway between two
    scores; None where there is nothing to choose."""
    scores_N = scores_N.astype(np.float64)
    levels = np.unique(scores_N)
    positive, negative = np.sort(scores_N[positive_N]), np.sort(scores_N[~positive_N])
    if not (len(positive) and len(negative) and len(levels) > 1):
        return None
    limits = (levels[1:] + levels[:-1]) / 2
    hits = len(positive) - np.searchsorted(positive, limits)
    rejected = np.searchsorted(negative, limits)
    balanced = (hits / len(positive) + rejected / len(negative)) / 2
    return float(limits[np.argmax(balanced + (hits + rejected) / len(scores_N))])


def _decided(scores_NA: Floats, cutoffs: Cutoffs) -> Ints:
    """Values (N, 27), from 1."""
    rows = [values_in_order(decide(scores, cutoffs)) for scores in scores_NA.tolist()]
    return np.array(rows).reshape(-1, len(COLUMNS))


def _cross_decided(
    scores_NA: Floats, folds_N: Ints, fitted: Sequence[Cutoffs], kept: Sequence[str]
) -> Ints:
    """Each fold decided by the cut-offs that were chosen on the other folds."""
    decided_NC = np.zeros((len(scores_NA), len(COLUMNS)), np.int64)
    for fold, cutoffs in enumerate(fitted):
        own = {column: cutoffs[column] for column in kept if column in cutoffs}
        decided_NC[folds_N == fold] = _decided(scores_NA[folds_N == fold], own)
    return decided_NC


def _figures(column: str, truth_NC: Ints, decided_NC: Ints) -> tuple[float | None, float | None]:
    """(accuracy, balanced accuracy) over the known values; None where none or only one occurs."""
    index = COLUMNS.index(column)
    known_N = truth_NC[:, index] > 0
    truth_N = truth_NC[known_N, index]
    right_N = truth_N == decided_NC[known_N, index]
    if not len(truth_N):
        return None, None
    recalls = [float(right_N[truth_N == value].mean()) for value in np.unique(truth_N)]
    return float(right_N.mean()), float(np.mean(recalls)) if len(recalls) > 1 else None


def _is_better(column: str, truth_NC: Ints, without_NC: Ints, with_NC: Ints) -> bool:
    accuracy, balanced = _figures(column, truth_NC, with_NC)
    accuracy_without, balanced_without = _figures(column, truth_NC, without_NC)
    # a column is tried where people with both values are known
    assert balanced is not None
    assert balanced_without is not None
    assert accuracy is not None
    assert accuracy_without is not None
    gain = balanced - balanced_without
    return gain >= MIN_GAIN and gain > accuracy_without - accuracy
