"""Calibration from what reviewers have confirmed and rejected, where nobody's name is known.

Only what somebody has looked at is judged: recall is of the confirmed matches, the false-positive
rate of the rejected ones, and of a limit beyond the farthest judged pair nothing is known.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row, text

from evaluation.calibrate_people import CannotCalibrate
from gallery.model_rows import ModelRow
from metrics.calibration import MIN_PEOPLE, Calibration, Floats, PairRows, Point, choose
from metrics.distances import DECIMALS
from query_sets.judged import judged_pairs
from query_sets.set_rows import query_set_id

# As many rejected matches as people with a confirmed one: with 20 of each, the share of either
# kind within a limit is known to about 0.1 (its standard error), and drawn from two normal
# distributions that overlap as matches do, the limit loses 0.02 of the best F1, and 0.05 in one
# case of ten. With 10 of each it is 0.03 and 0.08.
MIN_REJECTED = MIN_PEOPLE

# why a verdict does not count: of several reasons the first
LEFT_OUT = {
    "not_embedded": "have no embedding by this model on both sides",
    "of_training": "show people of the model's training",
    "copies": "compare an image with its copy",
    "contradicting": "contradict each other: the same images, confirmed and rejected",
    "repeated": "say the same of the same images again",
}


@dataclass(frozen=True)
class VerdictReport:
    """A calibration, and what it was made on; its people are told apart by what was confirmed.

    Each of `num_verdicts` is a pair of the calibration or is counted in `left_out`, by `LEFT_OUT`.
    `largest_judged` is the distance of the farthest pair. `num_one_camera` pairs were confirmed on
    the query's own camera.
    """

    calibration: Calibration
    num_queries: int
    num_verdicts: int
    left_out: Mapping[str, int]
    num_one_camera: int
    largest_judged: float

    @property
    def at_the_edge(self) -> bool:
        """Whether no judged pair lies beyond the limit, so that a larger one may be better."""
        return self.calibration.max_distance >= self.largest_judged


@dataclass(frozen=True)
class _Verdict:
    """A standing verdict. `distance` is None where a side has no embedding by the model."""

    query_id: int
    query: tuple[bytes, ...]  # its images' contents, in order of the hash
    image: bytes
    distance: float | None
    same_person: bool
    one_camera: bool
    trained: bool

    @property
    def contents(self) -> tuple[tuple[bytes, ...], ...]:
        """What was compared, whichever side was the query: the distance is the same."""
        return tuple(sorted([self.query, (self.image,)]))


def calibrate_verdicts(
    connection: Connection,
    model: ModelRow,
    sets: Sequence[str],
    false_positive_rate: float | None = None,
) -> VerdictReport:
    """The limit for `auto` from the verdicts of query sets, by what is stored of a model now.

    It is at most the distance of the farthest judged pair. Raises UnknownQuerySet, CannotCalibrate,
    TooFewPeople where a limit with that rate finds nobody.
    """
    verdicts = [v for name in sets for v in _verdicts(connection, model, name)]
    embedded, not_embedded = _split(verdicts, lambda v: v.distance is not None)
    others, trained = _split(embedded, lambda v: not v.trained)
    compared, copies = _split(others, lambda v: v.image not in v.query)
    kept, repeated, contradicting = _once(compared)
    counts = (len(not_embedded), len(trained), len(copies), contradicting, repeated)
    left_out = dict(zip(LEFT_OUT, counts, strict=True))
    confirmed, rejected = _split(kept, lambda v: v.same_person)
    people = _people(confirmed)
    _check(sets, len(people), len(rejected), left_out)
    _check_rate(false_positive_rate, len(rejected))
    largest = max(v.distance for v in kept if v.distance is not None)
    return VerdictReport(
        calibration=_within(largest, choose(_pairs(people, rejected), false_positive_rate)),
        num_queries=len({v.query_id for v in kept}),
        num_verdicts=len(verdicts),
        left_out=left_out,
        num_one_camera=sum(v.one_camera for v in confirmed),
        largest_judged=largest,
    )


def _verdicts(connection: Connection, model: ModelRow, set_name: str) -> list[_Verdict]:
    """The verdicts of a set, by query and image. Raises UnknownQuerySet."""
    pairs = judged_pairs(connection, set_name, model.id)
    distances = {(pair.query_id, pair.image_id): pair.distance for pair in pairs}
    people = [(space, pid) for space, pids in model.trained_people.items() for pid in sorted(pids)]
    rows = connection.execute(
        text(
            "SELECT v.query_id, v.image_id, v.verdict, i.content_hash AS image,"
            " ARRAY(SELECT x.content_hash FROM query_image x WHERE x.query_id = q.id ORDER BY 1)"
            " AS query, coalesce(q.camid = i.camid, false) AS one_camera,"
            " EXISTS (SELECT FROM unnest(CAST(:spaces AS text[]), CAST(:pids AS bigint[]))"
            " AS trained(space, pid) WHERE trained.space = c.identities"
            " AND trained.pid IN (i.pid, q.pid)) AS trained"
            " FROM verdict v JOIN query q ON q.id = v.query_id JOIN image i ON i.id = v.image_id"
            " JOIN collection c ON c.id = i.collection_id"
            " WHERE q.query_set_id = :set ORDER BY v.query_id, v.image_id"
        ),
        {
            "set": query_set_id(connection, set_name),
            "spaces": [space for space, _ in people],
            "pids": [pid for _, pid in people],
        },
    )
    return [_verdict(row, distances.get((row.query_id, row.image_id))) for row in rows]


def _verdict(row: Row[Any], distance: float | None) -> _Verdict:
    return _Verdict(
        query_id=row.query_id,
        query=tuple(row.query),
        image=row.image,
        distance=distance,
        same_person=row.verdict == "confirm",
        one_camera=row.one_camera,
        trained=row.trained,
    )


def _split(
    verdicts: Iterable[_Verdict], keep: Callable[[_Verdict], bool]
) -> tuple[list[_Verdict], list[_Verdict]]:
    """(those to keep, the others)."""
    kept: list[_Verdict] = []
    others: list[_Verdict] = []
    for verdict in verdicts:
        (kept if keep(verdict) else others).append(verdict)
    return kept, others


def _once(verdicts: Iterable[_Verdict]) -> tuple[list[_Verdict], int, int]:
    """(one verdict for each two contents, how many say the same again, how many contradict)."""
    by_contents: dict[tuple[tuple[bytes, ...], ...], list[_Verdict]] = {}
    for verdict in verdicts:
        by_contents.setdefault(verdict.contents, []).append(verdict)
    kept, repeated, contradicting = [], 0, 0
    for equal in by_contents.values():
        if len({verdict.same_person for verdict in equal}) > 1:
            contradicting += len(equal)
            continue
        kept.append(equal[0])
        repeated += len(equal) - 1
    return kept, repeated, contradicting


def _people(confirmed: Iterable[_Verdict]) -> list[list[_Verdict]]:
    """Confirmed pairs by person: those that share an image, or are linked by others, show one."""
    leaders: dict[bytes, bytes] = {}

    def leader(content: bytes) -> bytes:
        while (above := leaders.setdefault(content, content)) != content:
            leaders[content] = leaders[above]
            content = above
        return content

    pairs = list(confirmed)
    for verdict in pairs:
        for content in verdict.query:
            leaders[leader(content)] = leader(verdict.image)
    people: dict[bytes, list[_Verdict]] = {}
    for verdict in pairs:
        people.setdefault(leader(verdict.image), []).append(verdict)
    return list(people.values())


def _check(sets: Sequence[str], people: int, rejected: int, left_out: Mapping[str, int]) -> None:
    if people >= MIN_PEOPLE and rejected >= MIN_REJECTED:
        return
    named = " and ".join(repr(name) for name in sets)
    why = ", ".join(f"{count} {LEFT_OUT[key]}" for key, count in left_out.items() if count)
    raise CannotCalibrate(
        f"a limit needs confirmed matches of {MIN_PEOPLE} people and {MIN_REJECTED} rejected "
        f"matches, {named} has those of {people} people and {rejected} rejected"
        f"{f' (left out: {why})' if why else ''}; give more with `reid match confirm` and "
        "`reid match reject`"
    )


def _check_rate(rate: float | None, rejected: int) -> None:
    if rate is not None and rate * rejected < 1:
        raise CannotCalibrate(
            f"a false-positive rate of {rate:g} is one in {ceil(1 / rate):,} rejected matches, and "
            f"there are {rejected:,}; reject more, or ask for a higher rate"
        )


def _pairs(people: Sequence[Sequence[_Verdict]], rejected: Sequence[_Verdict]) -> PairRows:
    none = np.zeros(0)
    same = [(number, _squares(pairs), none) for number, pairs in enumerate(people)]
    return [*same, (-1, none, _squares(rejected))]


def _squares(verdicts: Iterable[_Verdict]) -> Floats:
    """Squared distances, rounded as those that a matrix product gives."""
    distances = np.array([verdict.distance for verdict in verdicts], np.float64)
    return np.round(distances**2, DECIMALS)


def _within(largest: float, calibration: Calibration) -> Calibration:
    """No limit lies beyond the farthest judged pair, not by half a rounding step either; limits
    that the pairs say nothing about are left out."""

    def cut(point: Point) -> Point:
        return replace(point, max_distance=min(point.max_distance, largest))

    points = {name: cut(point) for name, point in calibration.points.items() if point}
    return replace(calibration, points=points, max_distance=min(calibration.max_distance, largest))
