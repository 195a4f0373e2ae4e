"""Groups without labels: against a dense reference, in any order of the images, and at the
edges."""

# N images, D embedding numbers

import numpy as np
import pytest
from sklearn.cluster import DBSCAN

from metrics.groups import NOBODY, agreement, group, jaccard_pairs, split_agreement
from metrics.jaccard import Floats32, Floats64, Ints, encoded, mutual, neighbours


def crowd(people: int, images: int, noise: float, seed: int = 1) -> tuple[Floats32, Ints]:
    """(embeddings of length 1, whom each shows), in mixed order."""
    rng = np.random.default_rng(seed)
    pids_N = rng.permutation(np.repeat(np.arange(people), images))
    centres = rng.normal(size=(people, 64))
    rows_ND = centres[pids_N] + noise * rng.normal(size=(len(pids_N), 64))
    rows_ND /= np.linalg.norm(rows_ND, axis=1, keepdims=True)
    return rows_ND.astype(np.float32), pids_N


def dense_jaccard(rows_ND: Floats32) -> Floats64:
    """1 - sum min / sum max of V, pair by pair."""
    vectors = encoded(rows_ND, *neighbours(rows_ND, 21), 20, 6).toarray()
    least = np.array([[np.minimum(a, b).sum() for b in vectors] for a in vectors])
    most = np.array([[np.maximum(a, b).sum() for b in vectors] for a in vectors])
    found: Floats64 = 1 - least / most
    np.fill_diagonal(found, 0)
    return found


def test_people_who_lie_apart_are_groups() -> None:
    rows_ND, pids_N = crowd(12, 10, 0.3)
    groups_N = group(rows_ND)
    assert agreement(groups_N, pids_N) == 1
    assert set(groups_N.tolist()) == set(range(12))


def test_pairs_are_those_of_the_definition() -> None:
    rows_ND, _ = crowd(6, 9, 0.9)
    expected = dense_jaccard(rows_ND)
    pairs = jaccard_pairs(rows_ND, 0.6).toarray()
    nearest = mutual(neighbours(rows_ND, 21)[0]).toarray() > 0
    near = (expected < 0.6) & nearest & ~np.eye(len(rows_ND), dtype=bool)
    assert near.any()
    assert (pairs[near] > 0).all()
    np.testing.assert_allclose(pairs[near], np.maximum(expected[near], 1e-9), atol=1e-9)
    assert not pairs[(expected > 0.6 + 1e-9) | ~nearest].any()
    assert (pairs == pairs.T).all()


def test_groups_are_those_of_dbscan_on_all_distances() -> None:
    rows_ND, _ = crowd(8, 8, 0.9, seed=5)
    distances = dense_jaccard(rows_ND)
    distances[mutual(neighbours(rows_ND, 21)[0]).toarray() == 0] = 1
    expected = DBSCAN(eps=0.5, min_samples=4, metric="precomputed").fit(distances)
    assert group(rows_ND).tolist() == expected.labels_.tolist()


def test_the_same_images_give_the_same_groups() -> None:
    rows_ND, _ = crowd(8, 8, 0.9)
    assert group(rows_ND).tolist() == group(rows_ND.copy()).tolist()


def test_who_lies_by_himself_is_nobody() -> None:
    rows_ND, pids_N = crowd(5, 24, 0.2)  # more of each than k neighbours
    stranger = np.zeros((1, 64), np.float32)
    stranger[0, 0] = -1
    groups_N = group(np.concatenate([rows_ND, stranger]))
    assert groups_N[-1] == NOBODY
    assert agreement(groups_N[:-1], pids_N) == 1


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_too_few_images_are_nobody(number: int) -> None:
    rows_ND, _ = crowd(1, 3, 0.1)
    assert group(rows_ND[:number]).tolist() == [NOBODY] * number


def test_copies_are_near() -> None:
    rows_ND, _ = crowd(4, 8, 0.3)
    twice = np.concatenate([rows_ND, rows_ND])
    groups_N = group(twice)
    assert (groups_N[: len(rows_ND)] == groups_N[len(rows_ND) :]).all()
    assert (groups_N >= 0).all()


def test_the_bar_moves_and_ends() -> None:
    told: list[tuple[str, float]] = []
    group(crowd(6, 8, 0.3)[0], told=lambda phase, share: told.append((phase, share)))
    assert told[-1] == ("distances", 1.0)
    assert ("neighbours", 1.0) in told


@pytest.mark.parametrize(("density", "least"), [(0.0, 4), (1.0, 4), (0.5, 1)])
def test_numbers_that_mean_nothing(density: float, least: int) -> None:
    with pytest.raises(ValueError, match=r"^expected a density between 0 and 1"):
        group(crowd(2, 4, 0.1)[0], density, least)


def test_halves_of_true_groups_agree_and_of_random_ones_do_not() -> None:
    rows_ND, pids_N = crowd(20, 8, 0.5)
    camids_N = np.arange(len(pids_N)) % 3
    assert split_agreement(rows_ND, pids_N, camids_N) == 1
    mixed = np.random.default_rng(3).permutation(pids_N)
    random = split_agreement(rows_ND, mixed, camids_N)
    assert random is not None
    assert random < 0.3
    assert split_agreement(rows_ND, np.full(len(pids_N), NOBODY), camids_N) is None


def test_groupings_agree_by_who_is_together_not_by_number() -> None:
    assert agreement(np.array([0, 0, 1, 1]), np.array([5, 5, 2, 2])) == 1
    assert agreement(np.array([0, -1]), np.array([-1, 0])) is None
