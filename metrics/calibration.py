"""Which distance limit? What any limit gives, and the best one, on people never trained on.

A pair is of one person or of strangers: a query and a gallery image that the protocol keeps
(`metrics.reid`), or what a reviewer has judged. A limit says "the same" to every pair within it.
Squared distances are rounded to `_STEP`, and a limit lies half a step from the pair beside it:
whatever the last bits of a distance are, the limit takes in exactly the pairs that its figures
count.
"""

# Q queries, G gallery images, S strangers, P pairs of one person, N pairs of strangers,
# K lowest of them, D=512 embedding numbers

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property

import numpy as np
import numpy.typing as npt

from errors import ReidError
from metrics.distances import DECIMALS, FloatRows, squared_rows
from metrics.nearby import CANDIDATES, rerank_nearby
from metrics.reid import Threshold, protocol_masks

MIN_PEOPLE = 20  # below it, the limit would follow a handful of people
RATES = (1e-4, 1e-3, 1e-2)  # false-positive rates that are always reported
BEST_F1, CROSSING = "best F1", "densities cross"
_STEP = 10.0**-DECIMALS
_BEYOND = 4.0  # the square of what is farther than every re-ranked distance

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.integer]
# (a person, squared distances to the same person, to strangers), rounded to DECIMALS; gone through
# twice, so no iterator
PairRows = Iterable[tuple[int, Floats, Floats]]


class TooFewPeople(ReidError):
    """There are too few identities, or too few pairs of them, to choose a limit on."""

    http_status = 422


@dataclass(frozen=True)
class Point:
    """What one limit gives. `recall` is the true-positive rate."""

    max_distance: float
    precision: float
    recall: float
    f1: float
    false_positive_rate: float


@dataclass(frozen=True)
class Calibration(Threshold):
    """A chosen limit, how it was chosen, and other limits beside it by name.

    A point is None where there are too few pairs of strangers to speak of its rate, or where no
    pair of one person lies within it.
    """

    f1: float
    false_positive_rate: float
    chosen_by: str
    num_identities: int
    points: Mapping[str, Point | None]


def rate_name(rate: float) -> str:
    """`FPR 1e-4`: the name of the point at a false-positive rate."""
    digits, _, exponent = f"{rate:e}".partition("e")
    return f"FPR {float(digits):g}e{int(exponent)}"


@dataclass(frozen=True)
class Pairs:
    """Queries and their gallery; iterated, the pairs of each query, as often as one likes.

    A content is a number that byte-identical images share; without contents nothing is a copy.
    """

    queries_QD: FloatRows
    q_pids: Ints
    q_camids: Ints
    gallery_GD: FloatRows
    g_pids: Ints
    g_camids: Ints
    q_contents: Ints | None = None
    g_contents: Ints | None = None

    def squares(self) -> Iterator[Floats]:
        """The squared distances (G,) of each query."""
        yield from squared_rows(self.queries_QD, self.gallery_GD)

    def __iter__(self) -> Iterator[tuple[int, Floats, Floats]]:
        """(pid, squared distances to the same person, to strangers) of each query."""
        for row, squares_G in enumerate(self.squares()):
            pid = int(self.q_pids[row])
            copies_G = None
            if self.q_contents is not None and self.g_contents is not None:
                copies_G = self.g_contents == self.q_contents[row]
            camid = int(self.q_camids[row])
            same_G, dropped_G = protocol_masks(pid, camid, self.g_pids, self.g_camids, copies_G)
            yield pid, squares_G[same_G & ~dropped_G], squares_G[~same_G & ~dropped_G]


@dataclass(frozen=True)
class RerankedPairs(Pairs):
    """The same pairs by the re-ranked distance, each query alone among its closest images as in a
    search with a limit; who is not among these is farther than every limit."""

    @cached_property
    def _nearby(self) -> list[tuple[Ints, Floats]]:
        """(rows of the closest images, their squared new distances) of each query."""
        found: list[tuple[Ints, Floats]] = []
        rows = squared_rows(self.queries_QD, self.gallery_GD)
        for query_D, squares_G in zip(self.queries_QD, rows, strict=True):
            closest_C = np.sort(np.argsort(squares_G, kind="stable")[:CANDIDATES])
            new_C = rerank_nearby(query_D, self.gallery_GD[closest_C])
            found.append((closest_C, (new_C**2).round(DECIMALS)))
        return found

    def squares(self) -> Iterator[Floats]:
        for closest_C, squares_C in self._nearby:
            squares_G = np.full(len(self.gallery_GD), _BEYOND)
            squares_G[closest_C] = squares_C
            yield squares_G


@dataclass
class _Lowest:
    """Keeps the `count` lowest of the numbers it is given, in memory for twice as many."""

    count: int
    _kept: list[Floats] = field(default_factory=list)
    _size: int = 0
    _bound: float = np.inf

    def add(self, values: Floats) -> None:
        fits = values[values <= self._bound]
        self._kept.append(fits)
        self._size += len(fits)
        if self._size > 2 * self.count:
            lowest = np.partition(np.concatenate(self._kept), self.count - 1)[: self.count]
            self._kept, self._size, self._bound = [lowest], self.count, float(lowest.max())

    def ascending(self) -> Floats:
        return np.sort(np.concatenate(self._kept))[: self.count]


@dataclass(frozen=True)
class LimitCurve:
    """What every limit gives. Squared distances, ascending; `false_P` counts the pairs of strangers
    within each pair of one person; `lowest_K` are the closest pairs of strangers."""

    positive_P: Floats
    false_P: Ints
    lowest_K: Floats
    num_negative: int

    @cached_property
    def true_P(self) -> Ints:
        """The pairs of one person within each of them, equal ones included."""
        return np.searchsorted(self.positive_P, self.positive_P, side="right")

    def best_f1(self) -> Point:
        """The limit with the highest F1 of all limits; of equals the strictest."""
        f1_P = 2 * self.true_P / (len(self.positive_P) + self.true_P + self.false_P)
        return self._at(int(np.argmax(f1_P)))

    def crossing(self) -> Point:
        """Return where the densities of the two kinds of pairs cross, each with an area of 1.

        Taken as the limit with the least sum of the two error rates (missed pairs of one person,
        accepted pairs of strangers): there the sum stops falling and starts to rise, so the two
        densities are equal. Unlike a comparison of estimated densities it needs no bin width, and
        it is one limit even where the densities touch several times.
        """
        missed_P = 1 - self.true_P / len(self.positive_P)
        return self._at(int(np.argmin(missed_P + self.false_P / self.num_negative)))

    def at_rate(self, rate: float) -> Point | None:
        """The largest limit whose false-positive rate is at most `rate`; None where that rate is
        less than one pair, or the limit takes in no pair of one person."""
        allowed = math.floor(rate * self.num_negative + 1e-9)
        if not allowed:
            return None
        # the first pair that would be too many; what equals it is left out with it
        square = float(self.lowest_K[allowed]) - _STEP / 2
        true = int(np.searchsorted(self.positive_P, square))
        false = int(np.searchsorted(self.lowest_K, square))
        return self._point(square, true, false) if true else None

    def _at(self, row: int) -> Point:
        square = float(self.positive_P[row]) + _STEP / 2
        return self._point(square, int(self.true_P[row]), int(self.false_P[row]))

    def _point(self, square: float, true: int, false: int) -> Point:
        total = len(self.positive_P)
        return Point(
            max_distance=math.sqrt(square),
            precision=true / (true + false),
            recall=true / total,
            f1=2 * true / (total + true + false),
            false_positive_rate=false / self.num_negative,
        )


def count_pairs(pairs: PairRows, rates: Sequence[float] = RATES) -> tuple[LimitCurve, int]:
    """(what every limit gives, number of people with a pair). Rates lie between 0 and 1.

    The pairs are gone through twice, so that only those of one person and the closest of strangers,
    twice the largest rate's share, are ever kept. Raises TooFewPeople.
    """
    positive, people, num_negative = [np.zeros(0)], set(), 0
    for pid, same, strangers in pairs:
        positive.append(same)
        num_negative += len(strangers)
        people |= {pid} if len(same) else set()
    if len(people) < MIN_PEOPLE:
        raise TooFewPeople(
            f"a limit needs {MIN_PEOPLE} people held out whose images can be compared, "
            f"got {len(people)}"
        )
    if not num_negative:
        raise TooFewPeople("a limit needs pairs of strangers, got none")
    positive_P = np.sort(np.concatenate(positive))
    lowest = _Lowest(math.floor(max(rates) * num_negative + 1e-9) + 1)
    counts = np.zeros(len(positive_P) + 1, np.int64)
    for _, _, strangers in pairs:
        counts += np.bincount(np.searchsorted(positive_P, strangers), minlength=len(counts))
        lowest.add(strangers)
    false_P = counts.cumsum()[:-1]
    return LimitCurve(positive_P, false_P, lowest.ascending(), num_negative), len(people)


def choose_reranked(pairs: Pairs, false_positive_rate: float | None = None) -> Calibration | None:
    """`choose` for the re-ranked distance of the same pairs; None where no limit below 1, the
    farthest that a candidate can be, is the best."""
    reranked = RerankedPairs(**{name: getattr(pairs, name) for name in _PAIR_FIELDS})
    chosen = choose(reranked, false_positive_rate)
    return chosen if chosen.max_distance <= 1 else None


_PAIR_FIELDS = tuple(column.name for column in fields(Pairs))


def calibrate(
    queries_QD: FloatRows,
    q_pids: Ints,
    q_camids: Ints,
    gallery_GD: FloatRows,
    g_pids: Ints,
    g_camids: Ints,
    strangers_SD: FloatRows | None = None,
) -> Calibration:
    """The F1-optimal limit over all query-gallery pairs that the protocol keeps: see `pairs_among`.

    Raises TooFewPeople.
    """
    return choose(
        pairs_among(queries_QD, q_pids, q_camids, gallery_GD, g_pids, g_camids, strangers_SD)
    )


def pairs_among(
    queries_QD: FloatRows,
    q_pids: Ints,
    q_camids: Ints,
    gallery_GD: FloatRows,
    g_pids: Ints,
    g_camids: Ints,
    strangers_SD: FloatRows | None = None,
) -> Pairs:
    """The pairs of a gallery with strangers in it, who stand for its share of other people: the
    best limit moves with that."""
    if strangers_SD is not None:
        unknown = np.full(len(strangers_SD), -1)
        gallery_GD = np.concatenate([gallery_GD, strangers_SD])
        g_pids, g_camids = np.append(g_pids, unknown - 1), np.append(g_camids, unknown)
    return Pairs(queries_QD, q_pids, q_camids, gallery_GD, g_pids, g_camids)


def choose(pairs: PairRows, false_positive_rate: float | None = None) -> Calibration:
    """The F1-optimal limit, or the largest with at most that false-positive rate, above 0.

    Raises TooFewPeople where there are too few people or pairs.
    """
    wanted = () if false_positive_rate is None else (false_positive_rate,)
    curve, people = count_pairs(pairs, (*RATES, *wanted))
    points = {
        BEST_F1: curve.best_f1(),
        **{rate_name(rate): curve.at_rate(rate) for rate in sorted({*RATES, *wanted})},
        CROSSING: curve.crossing(),
    }
    chosen_by = BEST_F1 if false_positive_rate is None else rate_name(false_positive_rate)
    point = points[chosen_by]
    if point is None:
        assert false_positive_rate is not None
        raise TooFewPeople(_why_no_point(curve, false_positive_rate))
    return Calibration(
        **vars(point),
        num_pairs=len(curve.positive_P) + curve.num_negative,
        num_positive_pairs=len(curve.positive_P),
        chosen_by=chosen_by,
        num_identities=people,
        points=points,
    )


def _why_no_point(curve: LimitCurve, rate: float) -> str:
    if rate * curve.num_negative < 1:
        return (
            f"a false-positive rate of {rate:g} is one in {math.ceil(1 / rate):,} pairs of "
            f"strangers, and there are {curve.num_negative:,}; add strangers, or ask for a "
            "higher rate"
        )
    return (
        f"no distance with a false-positive rate of {rate:g} finds anybody: strangers are closer "
        "than every pair of one person; ask for a higher rate"
    )
