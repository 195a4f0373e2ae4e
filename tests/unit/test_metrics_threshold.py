"""The distance limit of `auto`: the best F1 of any limit, from enough people."""

# Q queries, G gallery images, S strangers, D embedding numbers

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.calibration import MIN_PEOPLE, TooFewPeople, calibrate
from models.metrics import best_f1_threshold

Floats = npt.NDArray[np.float64]
# eighths are exact and tie often
DISTANCES = st.lists(st.integers(0, 16).map(lambda n: n / 8), min_size=1, max_size=30)


def counted(limit: float, positive: list[float], negative: list[float]) -> tuple[float, ...]:
    """F1, precision and recall of `distance <= limit`."""
    true, false = (sum(d <= limit for d in distances) for distances in (positive, negative))
    if not true:
        return 0.0, 0.0, 0.0
    precision, recall = true / (true + false), true / len(positive)
    return 2 * precision * recall / (precision + recall), precision, recall


@settings(deadline=None)
@given(positive=DISTANCES, negative=DISTANCES)
def test_no_limit_has_a_better_f1(positive: list[float], negative: list[float]) -> None:
    found = best_f1_threshold(np.array(positive), np.array(negative))
    best = max(counted(limit, positive, negative)[0] for limit in {*positive, *negative})
    f1, precision, recall = counted(found.max_distance, positive, negative)
    assert f1 == pytest.approx(best)
    assert [found.precision, found.recall] == pytest.approx([precision, recall])
    assert found.max_distance in positive
    assert (found.num_positive_pairs, found.num_pairs) == (
        len(positive),
        len(positive) + len(negative),
    )


def test_pairs_that_a_limit_separates() -> None:
    found = best_f1_threshold(np.array([0.3, 0.1, 0.2]), np.array([0.9, 0.5]))
    assert (found.max_distance, found.precision, found.recall) == (0.3, 1, 1)


def test_without_one_kind_of_pair_there_is_no_limit() -> None:
    some, none = np.array([0.5]), np.array([])
    for positive, negative in ((some, none), (none, some)):
        with pytest.raises(ValueError, match=r"^expected pairs of one person and pairs of"):
            best_f1_threshold(positive, negative)


def rows(rng: np.random.Generator, pids: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Embeddings of length 1 that stand near their person's."""
    centres = np.random.default_rng(1).normal(size=(100, 8))
    found = centres[pids] + rng.normal(size=(len(pids), 8)) * 0.8
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    return np.asarray(found / lengths, np.float32)


def test_calibration_counts_the_pairs_that_the_protocol_keeps() -> None:
    rng = np.random.default_rng(2)
    q_pids, g_pids = np.arange(1, 26), np.repeat(np.arange(1, 26), 3)
    q_camids, g_camids = np.ones(25, np.int64), np.tile([1, 2, 3], 25)
    g_pids[[4, 9]] = -1
    queries_QD, gallery_GD = rows(rng, q_pids), rows(rng, g_pids)
    strangers_SD = rows(rng, rng.integers(30, 99, 40))
    arguments = (queries_QD, q_pids, q_camids, gallery_GD, g_pids, g_camids)

    positive, negative = [], []
    for q, query_D in enumerate(queries_QD):
        for g, other_D in enumerate(gallery_GD):
            distance = float(np.linalg.norm(query_D - other_D))
            if g_pids[g] == q_pids[q] and g_camids[g] != 1:
                positive.append(distance)
            elif g_pids[g] not in (-1, q_pids[q]):
                negative.append(distance)
    alone = calibrate(*arguments)
    wanted = best_f1_threshold(np.array(positive), np.array(negative))
    assert alone.max_distance == pytest.approx(wanted.max_distance, abs=1e-6)
    assert (alone.num_pairs, alone.num_positive_pairs) == (wanted.num_pairs, len(positive))

    among = calibrate(*arguments, strangers_SD)
    assert among.num_pairs == alone.num_pairs + 25 * 40
    assert among.max_distance <= alone.max_distance, "more strangers, a stricter limit"


def test_too_few_people_to_calibrate_on() -> None:
    pids = np.array([1, 2, 2])
    embeddings = rows(np.random.default_rng(3), pids)
    with pytest.raises(TooFewPeople) as caught:
        calibrate(embeddings, pids, pids, embeddings, pids, pids)
    assert str(caught.value) == f"a limit needs {MIN_PEOPLE} people held out, got 2"
