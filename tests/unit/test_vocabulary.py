"""The 56 names in order, what scores decide, and how decisions are read."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vocabulary import (
    COLUMNS,
    FIELDS,
    LABEL_OF,
    LOWER_COLUMNS,
    NAMES,
    NUM_VALUES,
    UPPER_COLUMNS,
    column_values,
    decide,
    describe,
)

scores_of = st.lists(st.sampled_from([0.0, 0.2, 0.5, 0.8, 1.0]), min_size=56, max_size=56)
cutoffs_of = st.dictionaries(
    st.sampled_from([c for c in COLUMNS if c != "age"]), st.sampled_from([0.1, 0.5, 0.9])
)


def scores(**high: float) -> list[float]:
    """Every column at its first value, save for the names given (`up_red_2` has no dash)."""
    values = dict.fromkeys(NAMES, 0.0) | {f"{column}-1": 0.5 for column in COLUMNS}
    values |= {name.replace("_", "-"): score for name, score in high.items()}
    return [values[name] for name in NAMES]


def test_the_names() -> None:
    assert len(COLUMNS) == 27
    assert len(NAMES) == len(set(NAMES)) == 56
    assert NAMES[:6] == ("age-1", "age-2", "age-3", "age-4", "backpack-1", "backpack-2")
    assert (NAMES[-1], LABEL_OF["age-1"], LABEL_OF["downbrown-2"]) == ("downbrown-2", 1, 56)
    assert len(FIELDS) == 12
    assert all(name in NAMES for field in FIELDS for name in field.values.values())


@given(scores_of, cutoffs_of)
def test_one_label_a_column(values: list[float], cutoffs: dict[str, float]) -> None:
    labels = decide(values, cutoffs)
    assert labels == sorted(labels)
    assert [NAMES[label - 1].rsplit("-", 1)[0] for label in labels] == list(COLUMNS)
    read = column_values(labels)
    assert list(read) == list(COLUMNS)
    assert all(1 <= value <= NUM_VALUES[column] for column, value in read.items())
    for group in (UPPER_COLUMNS, LOWER_COLUMNS):
        assert sum(read[column] == 2 for column in group) <= 1


@given(scores_of, cutoffs_of)
def test_the_best_colour_that_passes(values: list[float], cutoffs: dict[str, float]) -> None:
    read = column_values(decide(values, cutoffs))
    score = dict(zip(NAMES, values, strict=True))
    for group in (UPPER_COLUMNS, LOWER_COLUMNS):
        passing = [c for c in group if score[f"{c}-2"] >= cutoffs.get(c, score[f"{c}-1"])]
        decided = [c for c in group if read[c] == 2]
        assert bool(passing) == bool(decided)
        for column in decided:
            assert column in passing
            assert score[f"{column}-2"] == max(score[f"{c}-2"] for c in passing)


@given(scores_of)
def test_the_description_is_that_of_the_columns(values: list[float]) -> None:
    labels = decide(values)
    read, said = column_values(labels), describe(labels)
    assert list(said) == [field.name for field in FIELDS]
    assert all(said[field.name] in field.words for field in FIELDS)
    assert said["hat"] == {1: "no", 2: "yes"}[read["hat"]]
    assert said["gender"] == {1: "male", 2: "female"}[read["gender"]]
    assert said["sleeve"] == {1: "long", 2: "short"}[read["up"]]
    assert said["lower_type"] == {1: "dress", 2: "pants"}[read["clothes"]]
    reds = [column for column in UPPER_COLUMNS if read[column] == 2]
    assert said["upper_color"] == (reds[0][2:] if reds else "unknown")


def test_ties() -> None:
    half = decide([0.5] * 56)
    read = column_values(half)
    assert read["age"] == 1
    assert read["hat"] == 2  # a tie says yes
    assert [c for c in UPPER_COLUMNS if read[c] == 2] == ["upblack"]  # the first of equals
    assert [c for c in LOWER_COLUMNS if read[c] == 2] == ["downblack"]


def test_cutoffs() -> None:
    assert describe(decide(scores(hat_2=0.4)))["hat"] == "no"
    assert describe(decide(scores(hat_2=0.4), {"hat": 0.4}))["hat"] == "yes"
    above = math.nextafter(0.4, 1)
    assert describe(decide(scores(hat_2=0.4), {"hat": above}))["hat"] == "no"


@pytest.mark.parametrize(
    ("high", "color"),
    [
        ({}, "unknown"),
        ({"upred_2": 0.4}, "unknown"),
        ({"upred_2": 0.6}, "red"),
        ({"upred_2": 0.6, "upblue_2": 0.7}, "blue"),
        ({"upgreen_2": 0.6, "upblack_2": 0.6}, "black"),
    ],
)
def test_colours(high: dict[str, float], color: str) -> None:
    assert describe(decide(scores(**high)))["upper_color"] == color


def test_age_takes_the_highest() -> None:
    assert describe(decide(scores(age_1=0.2, age_3=0.3, age_4=0.29)))["age"] == "adult"
