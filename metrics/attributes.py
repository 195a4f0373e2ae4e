"""Attribute metrics: 27 columns, 56 bits, 12 groups, beside what always the majority gives.

Every rate is a fraction in [0, 1]. NumPy only.
"""

# N images, C=27 columns, A=56 scores

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metrics.attribute_groups import GroupMetrics, bits_of, evaluate_groups, known_bits
from vocabulary import COLUMNS, LABEL_OF, NUM_VALUES

Ints = npt.NDArray[np.integer]
Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class ColumnMetrics:
    """One column. `balanced_accuracy` is the mean recall of the values that occur, None where only
    one does; `f1` and `average_precision` are of value 2, for age the mean over its values. Beside
    them, what always answering the majority gives, and `chance_average_precision`, what equal
    scores for everybody give. All are over the `num_images` images whose value is known; where
    there is none, every figure is None."""

    name: str
    accuracy: float | None
    balanced_accuracy: float | None
    f1: float | None
    average_precision: float | None
    majority_accuracy: float | None
    num_identities: int
    num_images: int
    majority_balanced_accuracy: float | None
    majority_f1: float | None
    chance_average_precision: float | None


@dataclass(frozen=True)
class AttributeMetrics:
    """The 27 columns, the 56 bits, the 12 groups; the means leave out what is None.

    `num_identities` of a column counts the people with its rarest value that occurs.
    `bits_majority_accuracy` is what the more frequent answer of each bit gives. `num_unknown`
    counts the values, of 27 an image, that nobody knows: they are left out of every figure.
    """

    columns: tuple[ColumnMetrics, ...]
    groups: tuple[GroupMetrics, ...]
    bits_accuracy: float
    bits_majority_accuracy: float
    num_images: int
    num_identities: int
    num_unknown: int = 0

    @property
    def mean_accuracy(self) -> float:
        return _mean([column.accuracy for column in self.columns])

    @property
    def majority_accuracy(self) -> float:
        return _mean([column.majority_accuracy for column in self.columns])

    @property
    def mean_balanced_accuracy(self) -> float | None:
        return mean_of_known([column.balanced_accuracy for column in self.columns])

    @property
    def majority_balanced_accuracy(self) -> float | None:
        return mean_of_known([column.majority_balanced_accuracy for column in self.columns])

    @property
    def mean_f1(self) -> float | None:
        return mean_of_known([column.f1 for column in self.columns])

    @property
    def mean_average_precision(self) -> float | None:
        return mean_of_known([column.average_precision for column in self.columns])

    @property
    def majority_f1(self) -> float | None:
        return mean_of_known([column.majority_f1 for column in self.columns])

    @property
    def chance_average_precision(self) -> float | None:
        return mean_of_known([column.chance_average_precision for column in self.columns])

    @property
    def groups_accuracy(self) -> float | None:
        return mean_of_known([group.accuracy for group in self.groups])

    @property
    def groups_majority_accuracy(self) -> float | None:
        return mean_of_known([group.majority_accuracy for group in self.groups])

    @property
    def groups_balanced_accuracy(self) -> float | None:
        return mean_of_known([group.balanced_accuracy for group in self.groups])

    @property
    def groups_majority_balanced_accuracy(self) -> float | None:
        return mean_of_known([group.majority_balanced_accuracy for group in self.groups])

    def group(self, name: str) -> GroupMetrics:
        """The group of that field, such as `upper_color`."""
        return next(group for group in self.groups if group.name == name)


def average_precision(relevant_N: npt.NDArray[np.bool_], scores_N: Floats) -> float | None:
    """Step-form average precision, highest score first; None where nothing is relevant.

    Equal scores count as one step, so that their order does not matter.
    """
    if not relevant_N.any():
        return None
    order = np.argsort(-scores_N, kind="stable")
    hits = np.cumsum(relevant_N[order])
    last = np.append(np.diff(scores_N[order]) != 0, True)
    hits, ranks = hits[last], np.flatnonzero(last) + 1
    gained = np.diff(hits, prepend=0)
    return float((gained * hits / ranks).sum() / hits[-1])


def evaluate_attributes(
    truth_NC: Ints, decided_NC: Ints, scores_NA: Floats, identities_N: npt.NDArray[np.object_]
) -> AttributeMetrics:
    """Metrics of decided values (from 1) and scores against the truth, (N, 27) and (N, 56).

    A truth of 0 is unknown and left out. Raises ValueError where nothing is known of anybody.
    """
    if not (truth_NC > 0).any():
        raise ValueError("expected at least one image with a known value")
    columns = tuple(
        _column(name, truth_NC[:, c], decided_NC[:, c], scores_NA, identities_N)
        for c, name in enumerate(COLUMNS)
    )
    truth_NA, known_NA = bits_of(truth_NC), known_bits(truth_NC)
    right_NA = truth_NA == bits_of(decided_NC)
    asked = known_NA.any(axis=0)
    known_A = known_NA.sum(axis=0)[asked]
    share_A = truth_NA.sum(axis=0)[asked] / known_A
    return AttributeMetrics(
        columns=columns,
        groups=evaluate_groups(truth_NC, decided_NC),
        bits_accuracy=float(((right_NA & known_NA).sum(axis=0)[asked] / known_A).mean()),
        bits_majority_accuracy=float(np.maximum(share_A, 1 - share_A).mean()),
        num_images=len(truth_NC),
        num_identities=len(set(identities_N.tolist())),
        num_unknown=int((truth_NC == 0).sum()),
    )


def _column(
    name: str,
    truth_N: Ints,
    decided_N: Ints,
    scores_NA: Floats,
    identities_N: npt.NDArray[np.object_],
) -> ColumnMetrics:
    known_N = truth_N > 0
    if not known_N.all():
        truth_N, decided_N = truth_N[known_N], decided_N[known_N]
        scores_NA, identities_N = scores_NA[known_N], identities_N[known_N]
    if not len(truth_N):
        return ColumnMetrics(name, None, None, None, None, None, 0, 0, None, None, None)
    values = range(1, NUM_VALUES[name] + 1)
    counts = [int((truth_N == value).sum()) for value in values]
    occurring = [value for value, count in zip(values, counts, strict=True) if count]
    several = len(occurring) > 1
    recalls = [float((decided_N[truth_N == value] == value).mean()) for value in occurring]
    judged = [2] if len(values) == 2 else list(values)
    f1s = [_f1(truth_N == value, decided_N == value) for value in judged]
    start = LABEL_OF[f"{name}-1"] - 1
    precisions = [
        average_precision(truth_N == value, scores_NA[:, start + value - 1]) for value in judged
    ]
    majority_N = np.full(len(truth_N), 1 + int(np.argmax(counts)))
    shares = [counts[value - 1] / len(truth_N) for value in judged if counts[value - 1]]
    rarest = min(occurring, key=lambda value: counts[value - 1])
    people = identities_N[truth_N == rarest]
    return ColumnMetrics(
        name=name,
        accuracy=float((truth_N == decided_N).mean()),
        balanced_accuracy=float(np.mean(recalls)) if several else None,
        f1=mean_of_known(f1s),
        average_precision=mean_of_known(precisions),
        majority_accuracy=max(counts) / len(truth_N),
        num_identities=len(set(people.tolist())),
        num_images=len(truth_N),
        majority_balanced_accuracy=1 / len(occurring) if several else None,
        majority_f1=mean_of_known([_f1(truth_N == value, majority_N == value) for value in judged]),
        chance_average_precision=mean_of_known(shares),
    )


def _f1(truth_N: npt.NDArray[np.bool_], decided_N: npt.NDArray[np.bool_]) -> float | None:
    if not truth_N.any():
        return None
    hits = int((truth_N & decided_N).sum())
    return 2 * hits / (int(truth_N.sum()) + int(decided_N.sum()))


def _mean(values: Sequence[float | None]) -> float:
    found = mean_of_known(values)
    assert found is not None  # something is known of somebody
    return found


def mean_of_known(values: Sequence[float | None]) -> float | None:
    """The mean of what is not None; None where nothing is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
