"""Each camera's own mean: formulas, their inverse, and when means are made anew."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics.centring import ANY, WEIGHT, Means, Sums, due

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


def images(number: int, cameras: int, seed: int = 0) -> tuple[Floats, Ints]:
    """Embeddings of length 1 with a cast a camera; camera -1 is an unknown one."""
    rng = np.random.default_rng(seed)
    camids_N = rng.integers(-1, cameras, number)
    casts = rng.normal(size=(cameras + 1, 16)) * 2
    rows_ND = rng.normal(size=(number, 16)) + casts[camids_N]
    rows_ND /= np.linalg.norm(rows_ND, axis=1, keepdims=True)
    return rows_ND.astype(np.float32), camids_N


def means_of(rows_ND: Floats, camids_N: Ints) -> Means:
    sums = Sums()
    for start in range(0, len(rows_ND), 7):
        sums.add(rows_ND[start : start + 7], camids_N[start : start + 7])
    return sums.means()


def test_means_are_those_of_the_formulas() -> None:
    rows_ND, camids_N = images(300, 3)
    means = means_of(rows_ND, camids_N)
    whole = rows_ND.astype(np.float64).sum(axis=0) / (300 + WEIGHT)
    assert means.of(None) == pytest.approx(whole, abs=1e-7)
    assert means.of(77) == pytest.approx(whole, abs=1e-7)
    for camera in range(3):
        own_ND = rows_ND[camids_N == camera].astype(np.float64)
        mean = (own_ND.sum(axis=0) + WEIGHT * whole) / (len(own_ND) + WEIGHT)
        assert means.of(camera) == pytest.approx(mean, abs=1e-7)
        wanted_ND = own_ND - mean
        wanted_ND /= np.linalg.norm(wanted_ND, axis=1, keepdims=True)
        found_ND = means.centred(rows_ND[camids_N == camera], camids_N[camids_N == camera])
        assert found_ND == pytest.approx(wanted_ND, abs=1e-6)


@settings(deadline=None)
@given(number=st.integers(1, 400), cameras=st.integers(1, 5), seed=st.integers(0, 99))
def test_the_networks_embedding_comes_back(number: int, cameras: int, seed: int) -> None:
    rows_ND, camids_N = images(number, cameras, seed)
    means = means_of(rows_ND, camids_N)
    stored_ND = rows_ND
    for _ in range(20):  # made anew again and again it does not wander off
        stored_ND = means.centred(means.raw(stored_ND, camids_N), camids_N)
        stored_ND = means.centred(rows_ND, camids_N) if _ == 0 else stored_ND
    assert np.linalg.norm(stored_ND, axis=1) == pytest.approx(1, abs=1e-6)
    assert means.raw(stored_ND, camids_N) == pytest.approx(rows_ND, abs=3e-6)


def test_one_image_stays_as_it_is_and_no_means_change_nothing() -> None:
    rows_ND, camids_N = images(1, 1)
    assert means_of(rows_ND, camids_N).centred(rows_ND, camids_N) == pytest.approx(
        rows_ND, abs=1e-6
    )
    assert Means().centred(rows_ND, camids_N) is rows_ND
    assert Means().raw(rows_ND, camids_N) is rows_ND
    assert Means().of(3) is None
    assert Sums().means() == Means()


def test_a_cast_is_left_out_and_the_person_stays() -> None:
    """The nearest image of another camera is the same person's, where it was a stranger's."""
    rng = np.random.default_rng(4)
    people_PD = rng.normal(size=(60, 64))
    casts_CD = rng.normal(size=(2, 64)) * 3
    pids_N, camids_N = np.repeat(np.arange(60), 10), np.tile(np.repeat([1, 2], 5), 60)
    rows_ND = people_PD[pids_N] + casts_CD[camids_N - 1] + 0.5 * rng.normal(size=(600, 64))
    rows_ND /= np.linalg.norm(rows_ND, axis=1, keepdims=True)
    raw_ND = rows_ND.astype(np.float32)

    def right(rows_ND: Floats) -> float:
        """The share of images whose nearest but for their own person before their camera is their
        person."""
        likeness_NN = rows_ND @ rows_ND.T
        own = (pids_N[:, None] == pids_N) & (camids_N[:, None] == camids_N)
        likeness_NN[own] = -9
        return float((pids_N[likeness_NN.argmax(axis=1)] == pids_N).mean())

    centred_ND = means_of(raw_ND, camids_N).centred(raw_ND, camids_N)
    assert right(raw_ND) < 0.4
    assert right(centred_ND) > 0.8


@pytest.mark.parametrize(("known", "now", "expected"), [
    ({}, {1: 2}, False), ({}, {1: 6}, True), ({1: 6}, {1: 8}, False), ({1: 6}, {1: 13}, True),
    ({1: 900}, {1: 1700}, False), ({1: 900}, {1: 1800}, True), ({1: 900}, {1: 450}, True),
    ({1: 900}, {1: 900, 2: 5}, False), ({1: 900}, {1: 900, ANY: 9}, True), ({1: 9}, {}, True),
])  # fmt: skip
def test_when_means_are_made_anew(
    known: dict[int, int], now: dict[int, int], expected: bool
) -> None:
    assert due(known, now) is expected
