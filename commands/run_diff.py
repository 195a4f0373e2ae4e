"""How `reid query diff` shows two runs."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from commands.output import emit, note

if TYPE_CHECKING:
    from query_sets.diff import RunDiff

_COUNT_COLUMNS = (
    "query", "before", "after", "came", "went", "moved", "removed_before", "removed_after",
)  # fmt: skip
_CHANGE_COLUMNS = (
    "query", "change", "image_id", "collection", "path", "rank_before", "rank_after",
    "distance_before", "distance_after", "distance_change", "verdict",
)  # fmt: skip


def emit_diff(found: "RunDiff", format_: str) -> None:
    """Print a row a query and a last one for all queries, for programs a row a change."""
    if format_ == "table":
        emit(None, [*_count_rows(found), _last_row(found)], format_, columns=_COUNT_COLUMNS)
        _note_diff(found)
        return
    changes = [{"query": q.query, **asdict(c)} for q in found.queries for c in q.changes]
    emit(_document(found), changes, format_, columns=_CHANGE_COLUMNS)


def _document(found: "RunDiff") -> dict[str, Any]:
    return {
        "set": found.set_name,
        "before": asdict(found.before),
        "after": asdict(found.after),
        "same_model": found.same_model,
        "reasons": list(found.reasons),
        "totals": found.totals(),
        "queries": [
            {**row, "changes": [asdict(change) for change in query.changes]}
            for query, row in zip(found.queries, _count_rows(found), strict=True)
        ],
    }


def _count_rows(found: "RunDiff") -> list[dict[str, Any]]:
    return [
        {
            "query": query.query,
            "before": query.before,
            "after": query.after,
            **{name: query.count(name) for name in ("came", "went", "moved")},
            "removed_before": query.removed_before,
            "removed_after": query.removed_after,
        }
        for query in found.queries
    ]


def _last_row(found: "RunDiff") -> dict[str, Any]:
    totals = found.totals()
    return {
        "query": f"{totals['changed']} of {totals['queries']} queries differ",
        "before": found.before.matches,
        "after": found.after.matches,
        **{name: totals[name] for name in ("came", "went", "moved")},
        "removed_before": found.before.removed,
        "removed_after": found.after.removed,
    }


def _note_diff(found: "RunDiff") -> None:
    for facts in (found.before, found.after):
        note(f"run {facts.run}: {facts.matches} matches by {facts.model}, {facts.finished_at}")
    for reason in found.reasons:
        note(f"why they may differ: {reason}")
    if not found.reasons and found.queries:
        note("no known reason: the model, the limits and the galleries are the same")
    judged = [change for query in found.queries for change in query.changes if change.verdict]
    for change, verdict in (("went", "confirmed"), ("came", "rejected")):
        if count := sum(c.change == change and c.verdict == verdict for c in judged):
            note(f"{count} {verdict} matches {change}")
