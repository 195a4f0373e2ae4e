"""Attribute metrics against scikit-learn, and beside what always answering the majority gives."""

# N images, C=27 columns, A=56 scores

import warnings
from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
)

from metrics.attributes import (
    AttributeMetrics,
    ColumnMetrics,
    average_precision,
    evaluate_attributes,
)
from vocabulary import (
    COLUMNS,
    FIELDS,
    LABEL_OF,
    NAMES,
    NUM_VALUES,
    Field,
    column_values,
    decide,
    describe,
)

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Case:
    """Truth, decisions and scores; the people are numbered in pairs of images."""

    truth_NC: Ints
    decided_NC: Ints
    scores_NA: npt.NDArray[np.float64]

    @property
    def identities_N(self) -> npt.NDArray[np.object_]:
        return (np.arange(len(self.truth_NC)) // 2).astype(object)

    def evaluate(self) -> AttributeMetrics:
        return evaluate_attributes(
            self.truth_NC, self.decided_NC, self.scores_NA, self.identities_N
        )


def drawn_case(number: int, seed: int) -> Case:
    """Random values, some columns rare or constant; scores of few values, so that many tie."""
    rng = np.random.default_rng(seed)

    def values(skew: float) -> Ints:
        return np.stack(
            [
                np.where(rng.random(number) < rng.random() ** skew, 1,
                         rng.integers(1, NUM_VALUES[column] + 1, number))
                for column in COLUMNS
            ],
            axis=1,
        )  # fmt: skip

    return Case(values(0.2), values(1), rng.integers(0, 6, (number, 56)) / 5)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    return drawn_case(draw(st.integers(1, 20)), draw(st.integers(0, 10**6)))


def onehot(values_NC: Ints) -> npt.NDArray[np.bool_]:
    """The 56 bits that the values set, (N, 56)."""
    bits_NA = np.zeros((len(values_NC), len(NAMES)), bool)
    for row, values in enumerate(values_NC.tolist()):
        for column, value in zip(COLUMNS, values, strict=True):
            bits_NA[row, LABEL_OF[f"{column}-{value}"] - 1] = True
    return bits_NA


def check(
    found: ColumnMetrics, truth: Ints, decided: Ints, scores_NA: npt.NDArray[np.float64]
) -> None:
    occurring = sorted(set(truth.tolist()))
    judged = [v for v in occurring if v == 2 or NUM_VALUES[found.name] > 2]
    assert found.accuracy == pytest.approx(accuracy_score(truth, decided))
    if len(occurring) < 2:
        assert found.balanced_accuracy is None
    else:
        with warnings.catch_warnings():  # of decided values that never occur
            warnings.simplefilter("ignore")
            wanted = balanced_accuracy_score(truth, decided)
        assert found.balanced_accuracy == pytest.approx(wanted)
    if not judged:
        assert (found.f1, found.average_precision) == (None, None)
        return
    assert found.f1 == pytest.approx(
        f1_score(truth, decided, labels=judged, average="macro", zero_division=0)
    )
    precisions = [
        average_precision_score(truth == v, scores_NA[:, LABEL_OF[f"{found.name}-{v}"] - 1])
        for v in judged
    ]
    assert found.average_precision == pytest.approx(np.mean(precisions))
    equal = np.zeros(len(truth))
    assert found.chance_average_precision == pytest.approx(
        np.mean([average_precision_score(truth == v, equal) for v in judged])
    )
    majority = np.full(len(truth), min(occurring, key=lambda v: (-(truth == v).sum(), v)))
    assert found.majority_f1 == pytest.approx(
        f1_score(truth, majority, labels=judged, average="macro", zero_division=0)
    )


@settings(deadline=None, max_examples=12)
@given(case=cases())
def test_every_column_equals_scikit_learns(case: Case) -> None:
    found = case.evaluate()
    assert tuple(column.name for column in found.columns) == COLUMNS
    for c, column in enumerate(found.columns):
        truth = case.truth_NC[:, c]
        check(column, truth, case.decided_NC[:, c], case.scores_NA)
        counts = Counter(truth.tolist())
        assert column.majority_accuracy == pytest.approx(max(counts.values()) / len(truth))
        rarest = min(sorted(counts), key=lambda value: counts[value])
        assert column.num_identities == len(set(case.identities_N[truth == rarest].tolist()))


@settings(deadline=None)
@given(case=cases())
def test_means_and_bits_equal_a_loop(case: Case) -> None:
    found = case.evaluate()
    assert found.bits_accuracy == pytest.approx(
        float((onehot(case.truth_NC) == onehot(case.decided_NC)).mean())
    )
    assert found.mean_accuracy == pytest.approx(
        float((case.truth_NC == case.decided_NC).mean(axis=0).mean())
    )
    known = [c.balanced_accuracy for c in found.columns if c.balanced_accuracy is not None]
    if known:
        assert found.mean_balanced_accuracy == pytest.approx(sum(known) / len(known))
    else:
        assert found.mean_balanced_accuracy is None
    assert found.num_images == len(case.truth_NC)
    assert found.num_identities == (len(case.truth_NC) + 1) // 2


def test_always_answering_the_majority() -> None:
    case = drawn_case(300, seed=1)
    majority = [Counter(column.tolist()).most_common(1)[0][0] for column in case.truth_NC.T]
    decided_NC = np.tile(np.array(majority), (300, 1))
    found = Case(case.truth_NC, decided_NC, case.scores_NA).evaluate()
    assert found.mean_accuracy == pytest.approx(found.majority_accuracy)
    for c, column in enumerate(found.columns):
        assert column.accuracy == column.majority_accuracy
        occurring = len(set(case.truth_NC[:, c].tolist()))
        wanted = None if occurring == 1 else pytest.approx(1 / occurring)
        assert column.balanced_accuracy == column.majority_balanced_accuracy == wanted
        assert column.f1 == column.majority_f1
    bits = float((onehot(case.truth_NC) == onehot(decided_NC)).mean())
    assert found.bits_accuracy == pytest.approx(bits)
    for group in found.groups:
        if not group.name.endswith("color"):
            assert group.accuracy == group.majority_accuracy
    # a wrong value costs two of the 56 bits, so the bits look better than the 27 columns
    assert found.bits_accuracy == pytest.approx(1 - (1 - found.mean_accuracy) * 2 * 27 / 56)


def test_always_right() -> None:
    case = drawn_case(40, seed=2)
    found = Case(case.truth_NC, case.truth_NC, onehot(case.truth_NC).astype(float)).evaluate()
    assert (found.mean_accuracy, found.bits_accuracy, found.mean_balanced_accuracy) == (1, 1, 1)
    for column in found.columns:
        assert {column.f1, column.average_precision} <= {1.0, None}


@pytest.mark.parametrize("value", [1, 2])
def test_an_attribute_that_never_or_always_occurs(value: int) -> None:
    case = drawn_case(10, seed=3)
    truth_NC = case.truth_NC.copy()
    truth_NC[:, COLUMNS.index("hat")] = value
    found = Case(truth_NC, case.decided_NC, case.scores_NA).evaluate()
    hat = found.columns[COLUMNS.index("hat")]
    assert hat.balanced_accuracy is None
    assert hat.majority_accuracy == 1
    assert (hat.f1 is None, hat.average_precision is None) == (value == 1, value == 1)
    assert hat.num_identities == 5
    known = [c.balanced_accuracy for c in found.columns if c.balanced_accuracy is not None]
    assert len(known) < 27
    assert found.mean_balanced_accuracy == pytest.approx(float(np.mean(known)))


def test_where_every_attribute_is_constant_there_is_no_balanced_accuracy() -> None:
    ones_NC = np.ones((4, 27), np.int64)
    found = Case(ones_NC, ones_NC, np.zeros((4, 56))).evaluate()
    assert found.mean_balanced_accuracy is None
    assert (found.mean_accuracy, found.majority_accuracy) == (1, 1)


def word_of(field: Field, values: list[int]) -> str:
    """The word that the values of one image mean, by the names alone."""
    named = {f"{column}-{value}" for column, value in zip(COLUMNS, values, strict=True)}
    words = [word for word, name in field.values.items() if name in named]
    return words[0] if len(words) == 1 else "several" if words else "unknown"


@settings(deadline=None, max_examples=20)
@given(case=cases())
def test_groups_and_confusions_equal_a_loop(case: Case) -> None:
    scores_NA = case.scores_NA.tolist()
    decided = [column_values(decide(scores)) for scores in scores_NA]
    decided_NC = np.array([[values[column] for column in COLUMNS] for values in decided])
    found = Case(case.truth_NC, decided_NC, case.scores_NA).evaluate()
    assert [group.name for group in found.groups] == [field.name for field in FIELDS]
    for field, group in zip(FIELDS, found.groups, strict=True):
        pairs = [
            (word_of(field, truth), describe(decide(scores))[field.name])
            for truth, scores in zip(case.truth_NC.tolist(), scores_NA, strict=True)
        ]
        counts = Counter(pairs)
        truths = Counter(truth for truth, _ in pairs if truth != "several")
        assert group.accuracy == pytest.approx(np.mean([truth == word for truth, word in pairs]))
        for truth, row in group.confusion.items():
            assert row == {word: counts[truth, word] for word in field.words}
        assert sum(sum(row.values()) for row in group.confusion.values()) == len(pairs)
        assert ("several" in group.confusion) == (len(pairs) > truths.total())
        if truths:
            assert group.majority_accuracy == pytest.approx(max(truths.values()) / len(pairs))
            assert group.majority is not None
            assert truths[group.majority] == max(truths.values())
        recalls = [counts[word, word] / count for word, count in truths.items()]
        if len(truths) > 1:
            assert group.balanced_accuracy == pytest.approx(np.mean(recalls))
            assert group.majority_balanced_accuracy == pytest.approx(1 / len(truths))
        else:
            assert (group.balanced_accuracy, group.majority_balanced_accuracy) == (None, None)
    assert found.groups_accuracy == pytest.approx(np.mean([g.accuracy for g in found.groups]))


def test_bits_stand_beside_the_more_frequent_answer_of_each() -> None:
    case = drawn_case(50, seed=5)
    found = case.evaluate()
    frequent = [max(Counter(bits.tolist()).values()) / 50 for bits in onehot(case.truth_NC).T]
    assert found.bits_majority_accuracy == pytest.approx(np.mean(frequent))


def test_a_colour_group_counts_the_decided_colour_once() -> None:
    ones = dict.fromkeys(COLUMNS, 1)
    truth = [{**ones, "upred": 2}, {**ones, "upred": 2}, ones, {**ones, "upred": 2, "upblue": 2}]
    said = [{**ones, "upred": 2}, {**ones, "upgray": 2}, ones, {**ones, "upblue": 2}]
    truth_NC, decided_NC = (
        np.array([[row[column] for column in COLUMNS] for row in rows]) for rows in (truth, said)
    )
    group = Case(truth_NC, decided_NC, np.zeros((4, 56))).evaluate().group("upper_color")
    assert group.confusion["red"]["red"] == group.confusion["red"]["gray"] == 1
    assert group.confusion["unknown"]["unknown"] == group.confusion["several"]["blue"] == 1
    assert group.accuracy == 0.5
    assert (group.majority, group.majority_accuracy) == ("red", 0.5)
    assert group.balanced_accuracy == pytest.approx((0.5 + 1) / 2)
    # column by column the same answers look better
    assert np.mean(truth_NC == decided_NC) > 0.95


def test_average_precision_counts_equal_scores_as_one_step() -> None:
    relevant_N = np.array([True, False, True, False])
    scores_N = np.array([0.5, 0.5, 0.5, 0.1])
    for order in ([0, 1, 2, 3], [1, 0, 2, 3], [3, 2, 1, 0]):
        assert average_precision(relevant_N[order], scores_N[order]) == pytest.approx(2 / 3)
    assert average_precision(np.zeros(4, bool), scores_N) is None


def test_no_image_at_all() -> None:
    with pytest.raises(ValueError, match=r"^expected at least one image with a known value$"):
        drawn_case(0, seed=4).evaluate()


@settings(deadline=None)
@given(case=cases(), seed=st.integers(0, 1000))
def test_what_is_unknown_is_left_out_column_by_column(case: Case, seed: int) -> None:
    """A column's figures are those of its known images alone, whatever else is unknown."""
    rng = np.random.default_rng(seed)
    known_NC = rng.random(case.truth_NC.shape) < 0.7
    if not known_NC.any():
        return
    found = Case(np.where(known_NC, case.truth_NC, 0), case.decided_NC, case.scores_NA).evaluate()
    assert found.num_unknown == int((~known_NC).sum())
    for c, column in enumerate(found.columns):
        keep = known_NC[:, c]
        assert column.num_images == keep.sum()
        if not keep.any():
            assert (column.accuracy, column.majority_accuracy) == (None, None)
            continue
        alone = evaluate_attributes(
            case.truth_NC[keep], case.decided_NC[keep], case.scores_NA[keep],
            case.identities_N[keep],
        )  # fmt: skip
        assert column == alone.columns[c]
    bits_NA = np.repeat(known_NC, [NUM_VALUES[name] for name in COLUMNS], axis=1)
    right_NA = onehot(case.truth_NC) == onehot(case.decided_NC)
    shares = [right_NA[bits_NA[:, a], a].mean() for a in range(56) if bits_NA[:, a].any()]
    assert found.bits_accuracy == pytest.approx(np.mean(shares))


def test_a_group_needs_all_of_its_columns() -> None:
    case = drawn_case(6, 3)
    truth_NC = case.truth_NC.copy()
    truth_NC[:, COLUMNS.index("upred")] = 0
    found = Case(truth_NC, case.decided_NC, case.scores_NA).evaluate()
    assert found.group("upper_color").accuracy is None
    assert found.group("upper_color").majority is None
    assert found.group("lower_color") == case.evaluate().group("lower_color")
