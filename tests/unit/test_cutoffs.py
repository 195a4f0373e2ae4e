"""Cut-offs for rare values: chosen on some people, judged on others."""

# N images, C=27 columns, A=56 scores

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics.cutoffs import MIN_RARE, TWO_VALUED, ColumnCutoff, _best_cutoff, _folds, choose_cutoffs
from vocabulary import COLUMNS, LABEL_OF, NUM_VALUES, UPPER_COLUMNS, column_values, decide

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
PEOPLE, IMAGES = 100, 4


class People:
    """People with four images each; everybody has value 1 of every column, and is scored so."""

    def __init__(self, people: int = PEOPLE) -> None:
        self.rng = np.random.default_rng(5)
        self.people_N = np.repeat(np.arange(people), IMAGES).astype(object)
        self.truth_NC = np.ones((len(self.people_N), len(COLUMNS)), np.int64)
        self.scores_NA = np.zeros((len(self.people_N), len(LABEL_OF)), np.float32)
        for column in COLUMNS:
            self.score(column, np.full(len(self.people_N), 0.02))

    def score(self, column: str, yes_N: npt.ArrayLike) -> None:
        """Scores of value 2; those of value 1 are what is missing to one."""
        start = LABEL_OF[f"{column}-1"] - 1
        self.scores_NA[:, start : start + NUM_VALUES[column]] = 0
        self.scores_NA[:, start + 1] = yes_N
        self.scores_NA[:, start] = 1 - np.asarray(yes_N)

    def rare(self, column: str, first: int, last: int, mean: float, others: float) -> None:
        """Persons from `first` to before `last` have value 2, with scores around `mean`."""
        has = (self.people_N >= first) & (self.people_N < last)
        self.truth_NC[has, COLUMNS.index(column)] = 2
        noise = self.rng.normal(size=len(has)) * 0.05
        self.score(column, np.clip(np.where(has, mean, others) + noise, 0, 1))

    def chosen(self) -> dict[str, ColumnCutoff]:
        found = choose_cutoffs(self.truth_NC, self.scores_NA, self.people_N)
        assert tuple(column.name for column in found) == TWO_VALUED
        return {column.name: column for column in found}


def test_a_rare_value_with_low_scores_gets_a_cutoff() -> None:
    people = People()
    people.rare("hat", 0, MIN_RARE, mean=0.4, others=0.15)
    found = people.chosen()["hat"]
    assert found.cutoff == pytest.approx(0.28, abs=0.06)
    assert (found.num_identities, found.reason) == (MIN_RARE, "")
    assert found.balanced_accuracy_without is not None
    assert found.balanced_accuracy is not None
    assert found.balanced_accuracy_without < 0.6
    assert found.balanced_accuracy > 0.95
    assert found.accuracy is not None
    assert found.accuracy_without is not None
    assert found.accuracy > found.accuracy_without


def test_a_common_value_may_be_the_second_one() -> None:
    people = People()
    people.rare("clothes", 12, PEOPLE, mean=0.9, others=0.65)
    found = people.chosen()["clothes"]
    assert found.num_identities == 12
    assert found.cutoff == pytest.approx(0.78, abs=0.06)


def test_too_few_people_with_a_value() -> None:
    people = People()
    people.rare("hat", 0, MIN_RARE - 1, mean=0.4, others=0.15)
    found = people.chosen()
    assert found["hat"].cutoff is None
    assert found["hat"].reason == "9 people have the rarer value, 10 are needed"
    assert found["bag"].reason == "0 people have the rarer value, 10 are needed"
    assert (found["bag"].balanced_accuracy, found["bag"].accuracy) == (None, 1.0)


def test_scores_that_know_people_but_not_the_value_get_none() -> None:
    """Each person has a score of its own: cut-offs fit those that they are chosen on, only."""
    people = People(40)
    people.rare("bag", 0, 20, mean=0, others=0)
    people.score("bag", np.repeat(np.random.default_rng(6).permutation(40) / 40, IMAGES))
    index = LABEL_OF["bag-2"] - 1
    own = _best_cutoff(people.scores_NA[:, index], people.truth_NC[:, COLUMNS.index("bag")] == 2)
    assert own is not None, "on the same people there is always one"
    found = people.chosen()["bag"]
    assert (found.cutoff, found.reason) == (None, "no better with a cut-off")
    assert found.balanced_accuracy == found.balanced_accuracy_without


def test_of_the_colours_one_is_decided() -> None:
    """The figures are those of the decision, in which at most one colour of a group is 2."""
    people = People()
    people.rare("upred", 0, 20, mean=0.4, others=0.1)
    people.rare("upblue", 20, 40, mean=0.4, others=0.1)
    found = people.chosen()
    cutoffs = {name: c.cutoff for name, c in found.items() if c.cutoff is not None}
    assert set(cutoffs) == {"upred", "upblue"}
    for scores in people.scores_NA.tolist():
        values = column_values(decide(scores, cutoffs))
        assert sum(values[column] == 2 for column in UPPER_COLUMNS) <= 1
    for column in ("upred", "upblue"):
        balanced = found[column].balanced_accuracy
        assert balanced is not None
        assert balanced > 0.9


def test_a_cutoff_that_costs_more_than_it_brings_is_not_kept() -> None:
    """Common scores that hardly differ: more hits for many more false alarms."""
    people = People()
    people.rare("handbag", 0, 12, mean=0.3, others=0.28)
    found = people.chosen()["handbag"]
    assert found.cutoff is None
    assert found.accuracy == found.accuracy_without == 1 - 12 / PEOPLE


@given(
    st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=30),
)
def test_no_cutoff_has_a_higher_sum(rows: list[tuple[int, bool]]) -> None:
    scores = np.array([score / 8 for score, _ in rows])
    positive = np.array([value for _, value in rows])

    def both(cutoff: float) -> float:
        right = (scores >= cutoff) == positive
        return float(right.mean() + (right[positive].mean() + right[~positive].mean()) / 2)

    found = _best_cutoff(scores, positive)
    if positive.all() or not positive.any() or len(set(scores.tolist())) == 1:
        assert found is None
    else:
        assert found is not None
        assert 0 < found < 1
        limits = np.unique(scores)[1:]
        assert both(found) == pytest.approx(max(both(limit) for limit in limits))


def test_all_images_of_a_person_lie_in_one_fold() -> None:
    people_N = np.array([7, "a.jpg", 3, 7, 3, "a.jpg", *range(100, 194)], object)
    folds = _folds(people_N)
    assert [folds[0], folds[1], folds[2]] == [folds[3], folds[5], folds[4]]
    assert set(folds.tolist()) == {0, 1, 2, 3, 4}
    assert np.bincount(folds).max() <= 23
    order = np.random.default_rng(0).permutation(len(people_N))
    assert _folds(people_N[order]).tolist() == folds[order].tolist()


def test_no_image_at_all() -> None:
    empty = np.zeros((0, 27), np.int64)
    with pytest.raises(ValueError, match=r"^expected at least one image$"):
        choose_cutoffs(empty, np.zeros((0, 56), np.float32), np.array([], object))
