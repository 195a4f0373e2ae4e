"""Two runs of one query set compared: what came, what went, what moved, and why they may differ."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, text

from errors import UsageError
from gallery.collections import all_collections
from query_sets.read_run import UnknownRun
from query_sets.verdict_rows import SAID

_ROUNDING = 1e-9  # what another order of summing may do to a distance


class DifferentSets(UsageError):
    """The runs answer different questions, so that their difference means nothing."""


@dataclass(frozen=True)
class RunFacts:
    """A run as it was stored: `matches` counts all that it found, also what is removed since."""

    run: int
    model: str
    actor: str
    finished_at: datetime
    queries: int
    matches: int
    removed: int


@dataclass(frozen=True)
class Change:
    """An image in one query's two lists. A rank or distance is None where it is not in that list.

    `moved` says that its place among the images of both lists, or its distance, is another one: an
    image that only makes room for one that came has not moved.
    """

    change: str  # came, went or moved
    image_id: int
    collection: str
    path: str
    rank_before: int | None
    rank_after: int | None
    distance_before: float | None
    distance_after: float | None
    distance_change: float | None  # None across models: their distances have no common scale
    verdict: str | None


@dataclass(frozen=True)
class QueryDiff:
    """One query: lengths of its lists when they were stored, None where the run did not ask it.

    Images that were removed since are counted, and cannot be compared.
    """

    query: str
    before: int | None
    after: int | None
    removed_before: int
    removed_after: int
    changes: tuple[Change, ...]

    def count(self, change: str) -> int:
        return sum(item.change == change for item in self.changes)

    @property
    def differs(self) -> bool:
        return bool(self.changes) or self.removed_before != self.removed_after


@dataclass(frozen=True)
class RunDiff:
    """`queries` holds those whose lists differ, by name; `compared` counts all."""

    set_name: str
    before: RunFacts
    after: RunFacts
    same_model: bool
    reasons: tuple[str, ...]
    compared: int
    queries: tuple[QueryDiff, ...]

    def totals(self) -> dict[str, int]:
        """Counts over all queries; `kept` are the matches that both runs have."""
        counts = {name: sum(q.count(name) for q in self.queries) for name in _CHANGES}
        kept = self.before.matches - self.before.removed - counts["went"]
        return {"queries": self.compared, "changed": len(self.queries), "kept": kept, **counts}


_CHANGES = ("came", "went", "moved")


def compare_runs(connection: Connection, before: int, after: int) -> RunDiff:
    """What the run `after` says otherwise than the run `before`, in a few statements of any size.

    Raises UnknownRun, DifferentSets.
    """
    runs = _runs(connection, before, after)
    first, second = runs[before], runs[after]
    same_model = first.model_id == second.model_id
    lists = _lists(connection, before, after)
    changes = _changes(connection, before, after, same_model)
    queries = [
        QueryDiff(
            row.name, row.before, row.after, row.removed_before or 0, row.removed_after or 0,
            tuple(changes.get(row.query_id, ())),
        )
        for row in lists
    ]  # fmt: skip
    return RunDiff(
        set_name=first.set_name,
        before=_facts(first, [(row.before, row.removed_before) for row in lists]),
        after=_facts(second, [(row.after, row.removed_after) for row in lists]),
        same_model=same_model,
        reasons=tuple(_reasons(connection, first, second, lists)),
        compared=len(queries),
        queries=tuple(query for query in queries if query.differs),
    )


def _runs(connection: Connection, before: int, after: int) -> dict[int, Row[Any]]:
    rows = connection.execute(
        text(
            "SELECT r.id, s.name AS set_name, r.model_id, m.name AS model, r.actor, r.finished_at,"
            " r.gallery_revisions FROM run r JOIN model m ON m.id = r.model_id"
            " JOIN query_set s ON s.id = r.query_set_id WHERE r.id = ANY(:runs)"
        ),
        {"runs": [before, after]},
    )
    runs: dict[int, Row[Any]] = {row.id: row for row in rows}
    for run_id in (before, after):
        if run_id not in runs:
            raise UnknownRun(f"no run {run_id}; `reid query show SET` names the runs of a set")
    names = [runs[run_id].set_name for run_id in (before, after)]
    if names[0] != names[1]:
        raise DifferentSets(
            f"run {before} is of query set {names[0]!r}, run {after} of {names[1]!r}; "
            "only runs of one set can be compared"
        )
    return runs


_LIST = (
    "(SELECT r.query_id, r.found, r.complete, r.max_distance, r.found - (SELECT count(*) FROM match"
    " m WHERE m.run_id = r.run_id AND m.query_id = r.query_id) AS removed"
    " FROM run_query r WHERE r.run_id = :{run}) AS {run}"
)


def _lists(connection: Connection, before: int, after: int) -> Sequence[Row[Any]]:
    """A row for each query that one of the runs has asked, in the order of names."""
    return connection.execute(
        text(
            "SELECT query_id, q.name, before.found AS before, after.found AS after,"
            " before.removed AS removed_before, after.removed AS removed_after,"
            " before.complete AS complete_before, after.complete AS complete_after,"
            " before.max_distance AS limit_before, after.max_distance AS limit_after"
            f" FROM {_LIST.format(run='before')} FULL JOIN {_LIST.format(run='after')}"
            ' USING (query_id) JOIN query q ON q.id = query_id ORDER BY q.name COLLATE "C"'
        ),
        {"before": before, "after": after},
    ).all()


# ranks count what is left: an image that was removed since leaves no gap, as in every other answer
_LEFT = (
    "(SELECT query_id, image_id, distance, row_number() OVER (PARTITION BY query_id ORDER BY rank)"
    " AS rank FROM match WHERE run_id = :{run}) AS {run}"
)
_PLACE = "row_number() OVER (PARTITION BY query_id, came, went ORDER BY {rank})"


def _changes(
    connection: Connection, before: int, after: int, same_model: bool
) -> dict[int, list[Change]]:
    """The changes of each query by its id, in the order of the later list."""
    rows = connection.execute(
        text(
            "WITH paired AS (SELECT query_id, image_id, before.rank AS rank_before,"
            " after.rank AS rank_after, before.distance AS distance_before,"
            " after.distance AS distance_after, before.rank IS NULL AS came,"
            f" after.rank IS NULL AS went FROM {_LEFT.format(run='before')}"
            f" FULL JOIN {_LEFT.format(run='after')} USING (query_id, image_id)), placed AS"
            f" (SELECT *, {_PLACE.format(rank='rank_before')} AS place_before,"
            f" {_PLACE.format(rank='rank_after')} AS place_after FROM paired)"
            " SELECT p.*, i.path, c.name AS collection, v.verdict"
            " FROM placed p JOIN image i ON i.id = p.image_id"
            " JOIN collection c ON c.id = i.collection_id"
            " LEFT JOIN verdict v ON v.query_id = p.query_id AND v.image_id = p.image_id"
            " WHERE came OR went OR place_before <> place_after"
            " OR (:same_model AND abs(distance_after - distance_before) > :rounding)"
            " ORDER BY p.query_id, coalesce(rank_after, rank_before), rank_after, p.image_id"
        ),
        {"before": before, "after": after, "same_model": same_model, "rounding": _ROUNDING},
    )
    changes: dict[int, list[Change]] = {}
    for row in rows:
        changes.setdefault(row.query_id, []).append(_change(row, same_model))
    return changes


def _change(row: Row[Any], same_model: bool) -> Change:
    moved_by = None
    if same_model and None not in (row.distance_before, row.distance_after):
        moved_by = row.distance_after - row.distance_before
    return Change(
        change="came" if row.came else "went" if row.went else "moved",
        image_id=row.image_id,
        collection=row.collection,
        path=row.path,
        rank_before=row.rank_before,
        rank_after=row.rank_after,
        distance_before=row.distance_before,
        distance_after=row.distance_after,
        distance_change=moved_by,
        verdict=SAID.get(row.verdict),
    )


def _facts(run: Row[Any], found: Sequence[tuple[int | None, int | None]]) -> RunFacts:
    asked = [(count, removed or 0) for count, removed in found if count is not None]
    return RunFacts(
        run=run.id,
        model=run.model,
        actor=run.actor,
        finished_at=run.finished_at,
        queries=len(asked),
        matches=sum(count for count, _ in asked),
        removed=sum(removed for _, removed in asked),
    )


def _reasons(
    connection: Connection, before: Row[Any], after: Row[Any], lists: Sequence[Row[Any]]
) -> list[str]:
    """Why the runs may differ, a clause each. A query's filter cannot change: it is no reason."""
    reasons = []
    if before.model_id != after.model_id:
        reasons.append(
            f"another model: {before.model}, then {after.model}; their distances are not compared"
        )
    reasons += _limit_reasons(lists)
    names = {row.id: row.name for row in all_collections(connection)}
    reasons += _gallery_reasons(names, before.gallery_revisions, after.gallery_revisions)
    for run, asked, cut in (
        (before, [row.before for row in lists], [row.complete_before for row in lists]),
        (after, [row.after for row in lists], [row.complete_after for row in lists]),
    ):
        if missing := asked.count(None):
            reasons.append(f"{missing} queries were not in the set when run {run.id} was made")
        if incomplete := cut.count(False):
            reasons.append(
                f"{incomplete} lists of run {run.id} are not complete: cut off at the limit, "
                "or images were not embedded yet"
            )
    return reasons


def _limit_reasons(lists: Sequence[Row[Any]]) -> list[str]:
    limits = Counter(
        (row.limit_before, row.limit_after)
        for row in lists
        if None not in (row.before, row.after) and row.limit_before != row.limit_after
    )
    return [
        f"another max_distance for {count} queries: {_limit(first)}, then {_limit(second)}"
        for (first, second), count in limits.most_common()
    ]


def _limit(distance: float | None) -> str:
    return "none" if distance is None else f"{distance:.4f}"


def _gallery_reasons(
    names: Mapping[int, str], before: Mapping[str, int], after: Mapping[str, int]
) -> list[str]:
    reasons = []
    for key in sorted(before.keys() | after.keys(), key=int):
        name = names.get(int(key))
        if name is None:
            reasons.append(f"collection number {key} was removed since")
        elif key not in before or key not in after:
            reasons.append(f"collection {name} was searched by one of the runs only")
        elif before[key] != after[key]:
            reasons.append(
                f"collection {name} has changed (revision {before[key]}, then {after[key]})"
            )
    return reasons
