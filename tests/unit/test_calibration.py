"""The distance limit of `auto`: against brute force over every pair, and another library."""

# Q queries, G gallery images, S strangers, D embedding numbers

import math
from dataclasses import dataclass, replace
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_curve, roc_curve

from metrics import calibration
from metrics.calibration import (
    BEST_F1,
    CROSSING,
    MIN_PEOPLE,
    Pairs,
    Point,
    TooFewPeople,
    calibrate,
    choose,
    rate_name,
)
from metrics.reid import single_query_mask
from search.distance import exact_l2

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Row:
    """An image: a place on a line (eighths are exact and tie often), who, which camera, content."""

    place: float
    pid: int
    camid: int
    content: int


images = st.builds(
    Row,
    st.integers(0, 8).map(lambda n: n / 8),
    st.integers(-2, 3),
    st.integers(-1, 2),
    st.integers(0, 20),
)
queries = st.builds(
    Row,
    st.integers(0, 8).map(lambda n: n / 8),
    st.integers(1, 3),
    st.integers(-1, 2),
    st.integers(0, 20),
)


def pairs_of(asked: list[Row], gallery: list[Row]) -> Pairs:
    def columns(rows: list[Row]) -> tuple[npt.NDArray[np.float32], Ints, Ints, Ints]:
        places = np.array([[row.place] for row in rows], np.float32)
        facts = np.array([[row.pid, row.camid, row.content] for row in rows], np.int64)
        return places, facts[:, 0], facts[:, 1], facts[:, 2]

    q_places, q_pids, q_camids, q_contents = columns(asked)
    g_places, g_pids, g_camids, g_contents = columns(gallery)
    return Pairs(q_places, q_pids, q_camids, g_places, g_pids, g_camids, q_contents, g_contents)


def brute(asked: list[Row], gallery: list[Row]) -> tuple[list[float], list[float]]:
    """(distances of pairs of one person, of strangers) that the protocol keeps."""
    same: list[float] = []
    strangers: list[float] = []
    for query in asked:
        for image in gallery:
            one = query.pid == image.pid
            camera = query.camid == image.camid and query.camid != -1
            if image.pid == -1 or image.content == query.content or (one and camera):
                continue
            (same if one else strangers).append(abs(query.place - image.place))
    return same, strangers


def counted(limit: float, same: list[float], strangers: list[float]) -> Point | None:
    """What `distance <= limit` gives, None where it finds nobody."""
    true, false = (sum(d <= limit for d in distances) for distances in (same, strangers))
    if not true:
        return None
    precision, recall = true / (true + false), true / len(same)
    f1 = 2 * precision * recall / (precision + recall)
    return Point(limit, precision, recall, f1, false / len(strangers))


def errors(point: Point) -> float:
    return 1 - point.recall + point.false_positive_rate


@settings(deadline=None, max_examples=300)
@given(
    asked=st.lists(queries, min_size=1, max_size=6),
    gallery=st.lists(images, min_size=1, max_size=20),
    rate=st.sampled_from([0.05, 0.1, 0.25, 0.5, 0.9]),
)
def test_every_limit_is_what_it_says(asked: list[Row], gallery: list[Row], rate: float) -> None:
    same, strangers = brute(asked, gallery)
    assume(same and strangers)
    with patch.object(calibration, "MIN_PEOPLE", 1):
        curve, people = calibration.count_pairs(pairs_of(asked, gallery), [rate])
    assert people == len({q.pid for q in asked if brute([q], gallery)[0]}), (
        "people without a pair do not count"
    )
    best, crossing, at_rate = curve.best_f1(), curve.crossing(), curve.at_rate(rate)
    for found in (best, crossing, at_rate):
        if found is not None:
            truth = counted(found.max_distance, same, strangers)
            assert truth is not None
            assert vars(found) == pytest.approx(vars(truth))
    every = [counted(limit, same, strangers) for limit in {*same, *strangers}]
    points = [point for point in every if point]
    assert best.f1 == pytest.approx(max(point.f1 for point in points))
    assert errors(crossing) == pytest.approx(min(errors(point) for point in points))
    # the largest limit: the next pair of strangers would be too many
    allowed = math.floor(rate * len(strangers) + 1e-9)
    within = [limit for limit in {*same, *strangers} if _rate(limit, strangers) <= rate + 1e-9]
    if at_rate is None:
        assert not allowed or not any(d <= max(within, default=-1) for d in same)
    else:
        assert at_rate.false_positive_rate <= rate + 1e-9
        assert at_rate.max_distance >= max(within)
        assert _rate(at_rate.max_distance + 1e-6, strangers) > rate + 1e-9


def _rate(limit: float, strangers: list[float]) -> float:
    return sum(distance <= limit for distance in strangers) / len(strangers)


def rows(rng: np.random.Generator, pids: Ints, dim: int = 8) -> npt.NDArray[np.float32]:
    """Embeddings of length 1 that stand near their person's."""
    centres = np.random.default_rng(1).normal(size=(100, dim))
    found = centres[pids] + rng.normal(size=(len(pids), dim)) * 0.5
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    return np.asarray(found / lengths, np.float32)


def many(rng: np.random.Generator) -> Pairs:
    """40 people, two queries each, and 2,000 gallery images of 60 people."""
    q_pids, g_pids = np.repeat(np.arange(1, 41), 2), rng.integers(1, 60, 2_000)
    return Pairs(
        rows(rng, q_pids), q_pids, np.tile([1, 2], 40),
        rows(rng, g_pids), g_pids, rng.integers(1, 4, 2_000),
    )  # fmt: skip


def test_the_curves_of_another_library_on_the_distances_of_a_search() -> None:
    """The figures hold for `exact_l2 <= max_distance`, which decides in every search."""
    pairs = many(np.random.default_rng(2))
    found = choose(pairs)
    truth, distances = [], []
    for query_D, pid, camid in zip(pairs.queries_QD, pairs.q_pids, pairs.q_camids, strict=True):
        same = pairs.g_pids == pid
        keep = ~(same & (pairs.g_camids == camid))
        truth.append(same[keep])
        distances.append(exact_l2(query_D, pairs.gallery_GD)[keep])
    same_N, distances_N = np.concatenate(truth), np.concatenate(distances)
    for point in found.points.values():
        assert point is not None
        within = distances_N <= point.max_distance
        true = int((within & same_N).sum())
        assert point.precision == pytest.approx(true / within.sum(), abs=1e-12)
        assert point.recall == pytest.approx(true / same_N.sum(), abs=1e-12)
        false = int((within & ~same_N).sum())
        assert point.false_positive_rate == pytest.approx(false / (~same_N).sum(), abs=1e-12)
    precision, recall, _ = precision_recall_curve(same_N, -distances_N)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    assert found.f1 == pytest.approx(f1.max(), abs=1e-12)
    false_rates, true_rates, _ = roc_curve(same_N, -distances_N, drop_intermediate=False)
    for rate in calibration.RATES:
        point = found.points[rate_name(rate)]
        assert point is not None
        assert point.recall == pytest.approx(true_rates[false_rates <= rate].max(), abs=1e-12)
    crossing = found.points[CROSSING]
    assert crossing is not None
    assert errors(crossing) == pytest.approx((1 - true_rates + false_rates).min(), abs=1e-12)


def test_the_closest_strangers_are_kept_block_by_block() -> None:
    numbers = np.random.default_rng(3).normal(size=5_000)
    lowest = calibration._Lowest(40)
    for part in np.split(numbers, 100):
        lowest.add(part)
    assert lowest.ascending().tolist() == np.sort(numbers)[:40].tolist()


def test_a_rate_can_be_asked_for() -> None:
    pairs = many(np.random.default_rng(4))
    best, strict = choose(pairs), choose(pairs, 2e-3)
    assert (best.chosen_by, strict.chosen_by) == (BEST_F1, "FPR 2e-3")
    assert list(strict.points) == [
        BEST_F1,
        "FPR 1e-4",
        "FPR 1e-3",
        "FPR 2e-3",
        "FPR 1e-2",
        CROSSING,
    ]
    assert 1e-3 < strict.false_positive_rate <= 2e-3
    assert best.f1 > strict.f1 or best.max_distance == strict.max_distance
    assert best.points[BEST_F1] == strict.points[BEST_F1]


def test_strangers_make_the_limit_stricter() -> None:
    rng = np.random.default_rng(2)
    q_pids, g_pids = np.arange(1, 26), np.repeat(np.arange(1, 26), 3)
    q_camids, g_camids = np.ones(25, np.int64), np.tile([1, 2, 3], 25)
    queries_QD, gallery_GD = rows(rng, q_pids), rows(rng, g_pids)
    strangers_SD = rows(rng, rng.integers(30, 99, 400))
    arguments = (queries_QD, q_pids, q_camids, gallery_GD, g_pids, g_camids)
    alone, among = calibrate(*arguments), calibrate(*arguments, strangers_SD)
    assert (alone.num_identities, alone.num_positive_pairs) == (25, 50)
    assert among.num_pairs == alone.num_pairs + 25 * 400
    assert among.max_distance < alone.max_distance
    assert among.precision < alone.precision + 1e-9


def apart(people: int = MIN_PEOPLE) -> Pairs:
    """People on two cameras, each in a corner of their own."""
    corners = np.eye(people, dtype=np.float32)
    pids, one = np.arange(1, people + 1), np.ones(people, np.int64)
    return Pairs(corners, pids, one, corners, pids, one + 1)


def test_people_who_are_told_apart() -> None:
    found = choose(apart())
    assert (found.precision, found.recall, found.f1, found.false_positive_rate) == (1, 1, 1, 0)
    assert 0 < found.max_distance < 1e-5
    # 380 pairs of strangers: a rate of 1e-2 is three of them, 1e-3 less than one
    assert found.num_pairs - found.num_positive_pairs == 380
    assert found.points["FPR 1e-3"] is None
    assert found.points["FPR 1e-2"] is not None


def test_a_rate_of_less_than_a_pair() -> None:
    with pytest.raises(TooFewPeople) as caught:
        choose(apart(), 1e-3)
    assert str(caught.value) == (
        "a false-positive rate of 0.001 is one in 1,000 pairs of strangers, and there are 380; "
        "add strangers, or ask for a higher rate"
    )


def test_strangers_closer_than_everybody() -> None:
    pairs = apart()
    copies = np.concatenate([pairs.gallery_GD + 0.1, pairs.queries_QD])
    pids = np.append(pairs.g_pids, np.full(MIN_PEOPLE, -2))
    near = replace(
        pairs, gallery_GD=copies, g_pids=pids, g_camids=np.append(pairs.g_camids, pairs.g_camids)
    )
    with pytest.raises(TooFewPeople) as caught:
        choose(near, 0.01)
    assert str(caught.value) == (
        "no distance with a false-positive rate of 0.01 finds anybody: strangers are closer "
        "than every pair of one person; ask for a higher rate"
    )
    assert choose(near).points["FPR 1e-2"] is None


def test_too_few_people_to_calibrate_on() -> None:
    pids = np.array([1, 2, 2])
    embeddings = rows(np.random.default_rng(3), pids)
    with pytest.raises(TooFewPeople) as caught:
        calibrate(embeddings, pids, pids, embeddings, pids, pids)
    assert str(caught.value) == (
        f"a limit needs {MIN_PEOPLE} people held out whose images can be compared, got 0"
    )
    with pytest.raises(TooFewPeople, match="got 19"):
        choose(apart(MIN_PEOPLE - 1))


def test_without_strangers_there_is_no_limit() -> None:
    with (
        patch.object(calibration, "MIN_PEOPLE", 1),
        pytest.raises(TooFewPeople, match=r"^a limit needs pairs of strangers, got none$"),
    ):
        choose(pairs_of([Row(0, 1, 1, 1)], [Row(0.5, 1, 2, 2)]))


def test_the_first_image_of_each_person_and_camera_is_a_query() -> None:
    pids, camids = np.array([2, 2, 1, 2, 2, 1]), np.array([1, 1, 1, 2, 1, -1])
    mask = single_query_mask(pids, camids)
    assert mask.tolist() == [True, False, True, True, False, True]
    assert single_query_mask(pids[:0], camids[:0]).tolist() == []


@pytest.mark.parametrize(
    ("rate", "name"), [(1e-4, "FPR 1e-4"), (0.05, "FPR 5e-2"), (2.5e-3, "FPR 2.5e-3")]
)
def test_names_of_rates(rate: float, name: str) -> None:
    assert rate_name(rate) == name
