"""The 12 readable fields as groups: what was decided beside what is true. NumPy only.

A group of one column says what its column says; a colour group has one answer where the file has
eight or nine columns, so that "no, no, red, no ..." counts once and not eight times.
"""

# N images, A=56 names, W words of a field

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vocabulary import COLUMNS, FIELDS, LABEL_OF, NUM_VALUES, Field

Ints = npt.NDArray[np.integer]
Bits = npt.NDArray[np.bool_]

SEVERAL = "several"


@dataclass(frozen=True)
class GroupMetrics:
    """One group. `majority` is the word that is true most often, `majority_accuracy` what always
    answering it gives; `balanced_accuracy` is the mean recall of the words that occur, None where
    only one does. `confusion[truth][decided]` counts images; `several` stands among the truths
    where the annotations give an image two colours, which no decision ever gets right. Images of
    whom a column of the group is unknown are left out; where none is left, figures are None."""

    name: str
    accuracy: float | None
    balanced_accuracy: float | None
    majority_accuracy: float | None
    majority_balanced_accuracy: float | None
    majority: str | None
    confusion: Mapping[str, Mapping[str, int]]


def bits_of(values_NC: Ints) -> Bits:
    """The 56 bits that 27 values (from 1) set, (N, 56): 27 of a row are set, fewer where a value is
    0, unknown."""
    bits_NA = np.zeros((len(values_NC), len(LABEL_OF)), bool)
    starts_C = np.array([LABEL_OF[f"{column}-1"] - 1 for column in COLUMNS])
    np.put_along_axis(bits_NA, starts_C + np.maximum(values_NC, 1) - 1, True, axis=1)
    return bits_NA & known_bits(values_NC)


def known_bits(values_NC: Ints) -> Bits:
    """Which of the 56 bits belong to a known value, (N, 56)."""
    sizes = [NUM_VALUES[column] for column in COLUMNS]
    return np.repeat(values_NC > 0, sizes, axis=1)


def evaluate_groups(truth_NC: Ints, decided_NC: Ints) -> tuple[GroupMetrics, ...]:
    """The 12 groups in the order of `FIELDS`, of at least one image."""
    truth_NA, decided_NA = bits_of(truth_NC), bits_of(decided_NC)
    known_NA = known_bits(truth_NC)
    found = []
    for field in FIELDS:
        known_N = known_NA[:, _positions(field)].all(axis=1)
        truth_N, decided_N = _words(field, truth_NA), _words(field, decided_NA)
        found.append(_group(field, truth_N[known_N], decided_N[known_N]))
    return tuple(found)


def _positions(field: Field) -> list[int]:
    return [LABEL_OF[name] - 1 for name in field.values.values()]


def _words(field: Field, bits_NA: Bits) -> Ints:
    """Which of the field's values each image has; W for none of them, W + 1 for several."""
    positions = _positions(field)
    chosen_NW = bits_NA[:, positions]
    found_N = chosen_NW.sum(axis=1)
    rest_N = len(positions) + (found_N > 1)
    words_N: Ints = np.where(found_N == 1, chosen_NW.argmax(axis=1), rest_N)
    return words_N


def _group(field: Field, truth_N: Ints, decided_N: Ints) -> GroupMetrics:
    words = (*field.values, "unknown", SEVERAL)
    if not len(truth_N):
        return GroupMetrics(field.name, None, None, None, None, None, {})
    counts_WW = np.zeros((len(words), len(words)), int)
    np.add.at(counts_WW, (truth_N, decided_N), 1)
    right_W, true_W = counts_WW.diagonal()[:-1], counts_WW.sum(axis=1)
    answers = true_W[:-1]  # nobody can answer "several"
    occurring = np.flatnonzero(answers)
    recalls = right_W[occurring] / answers[occurring]
    shown = [w for w, word in enumerate(words) if word in field.words or counts_WW[w].any()]
    return GroupMetrics(
        name=field.name,
        accuracy=float(right_W.sum() / len(truth_N)),
        balanced_accuracy=float(recalls.mean()) if len(occurring) > 1 else None,
        majority_accuracy=float(answers.max() / len(truth_N)),
        majority_balanced_accuracy=1 / len(occurring) if len(occurring) > 1 else None,
        majority=words[int(answers.argmax())],
        confusion={
            words[w]: {word: int(counts_WW[w, words.index(word)]) for word in field.words}
            for w in shown
        },
    )
