"""What reviewers said holds in every grouping, numbers live on, and figures of groups."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

from metrics.clusters import as_partition, quality_of, trivial
from metrics.groups import NOBODY
from people.grouping import (
    ContradictingVerdicts,
    Said,
    confidences,
    kept_apart,
    living_on,
    units_of,
)

PAIRS = st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=12)


@settings(deadline=None)
@given(
    groups=st.lists(st.integers(NOBODY, 4), min_size=20, max_size=20),
    confirmed=PAIRS, rejected=PAIRS, seed=st.integers(0, 9),
)  # fmt: skip
def test_confirmed_pairs_stay_together_and_rejected_pairs_apart(
    groups: list[int], confirmed: list[tuple[int, int]], rejected: list[tuple[int, int]], seed: int
) -> None:
    groups_N = np.array(groups, np.int64)
    rows_ND = np.random.default_rng(seed).normal(size=(20, 8)).astype(np.float32)
    said = Said(tuple(confirmed), tuple(rejected))
    units_N = units_of(20, said.confirmed)
    if any(units_N[a] == units_N[b] for a, b in rejected):
        with pytest.raises(ContradictingVerdicts):
            kept_apart(groups_N, rows_ND, said, list(range(20)))
        return
    new_N = kept_apart(groups_N, rows_ND, said, list(range(20)))
    for first, second in confirmed:
        assert new_N[first] == new_N[second] != NOBODY
    for first, second in rejected:
        assert new_N[first] != new_N[second] or new_N[first] == NOBODY
    named = {row for pair in confirmed for row in pair}
    for row in set(range(20)) - named:  # nobody becomes somebody without a word
        assert (new_N[row] == NOBODY) == (groups_N[row] == NOBODY)
    if not confirmed and not rejected:
        assert (new_N == groups_N).all()


def test_a_contradiction_names_the_pair() -> None:
    said = Said(((0, 1), (1, 2)), ((0, 2),))
    with pytest.raises(ContradictingVerdicts) as caught:
        kept_apart(np.zeros(3, np.int64), np.eye(3, dtype=np.float32), said, [10, 11, 12])
    assert str(caught.value) == (
        "images 10 and 12 were rejected as one person, but confirmed pairs between them say that "
        "they are; withdraw one of the verdicts (`reid match withdraw`)"
    )


def test_a_divided_group_takes_each_image_to_whom_it_is_near() -> None:
    rows_ND = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]], np.float32)
    new_N = kept_apart(np.zeros(4, np.int64), rows_ND, Said((), ((0, 2),)), [1, 2, 3, 4])
    assert new_N[0] == new_N[1] != new_N[2] == new_N[3]


def test_numbers_live_on_with_most_of_the_images() -> None:
    before_N = np.array([7, 7, 7, 9, 9, NOBODY])
    assert living_on(np.array([0, 0, 1, 1, 1, 2]), before_N) == {0: 7, 1: 9}
    assert living_on(np.array([0, 0, 0, 0, 0, 0]), before_N) == {0: 7}
    assert living_on(np.array([3, 3, 4, 5, 5, 5]), before_N) == {3: 7, 5: 9}
    assert living_on(np.full(6, NOBODY), before_N) == {}
    assert living_on(np.array([0, 1]), np.array([4, 4])) == {0: 4}  # of equals the first


def test_how_sure_a_membership_is() -> None:
    pairs = sparse.csr_array(
        np.array([[0, 0.2, 0.4, 0.3], [0.2, 0, 0, 0], [0.4, 0, 0, 0], [0.3, 0, 0, 0]])
    )
    groups_N = np.array([0, 0, 0, NOBODY])
    assert confidences(groups_N, pairs, ()) == pytest.approx([0.7, 0.4, 0.3, 0])
    assert confidences(groups_N, pairs, ((1, 2),)) == pytest.approx([0.7, 1, 1, 0])


@given(groups=st.lists(st.integers(NOBODY, 5), min_size=2, max_size=30), seed=st.integers(0, 99))
def test_figures_are_those_of_their_definitions(groups: list[int], seed: int) -> None:
    groups_N = np.array(groups, np.int64)
    people_N = np.random.default_rng(seed).integers(0, 4, len(groups))
    known_N = np.ones(len(groups), bool)
    found = quality_of(groups_N, people_N, known_N)
    own_N = as_partition(groups_N)
    both = list(zip(own_N, people_N, strict=True))
    precision = np.mean([(people_N[own_N == group] == who).mean() for group, who in both])
    recall = np.mean([(own_N[people_N == who] == group).mean() for group, who in both])
    assert found.precision == pytest.approx(precision)
    assert found.recall == pytest.approx(recall)
    assert found.rand == pytest.approx(adjusted_rand_score(people_N, own_N))


def test_strangers_count_against_a_group_and_are_not_judged() -> None:
    people_N, known_N = np.array([1, 1, 5, 6]), np.array([True, True, False, False])
    found = quality_of(np.zeros(4, np.int64), people_N, known_N)
    assert (found.precision, found.recall, found.people) == (0.5, 1.0, 1)
    alone = quality_of(trivial(4)["one group an image"], people_N, known_N)
    assert (alone.precision, alone.recall, alone.groups) == (1.0, 0.5, 0)
    with pytest.raises(ValueError, match="expected an image whose person is known"):
        quality_of(np.zeros(4, np.int64), people_N, np.zeros(4, bool))
