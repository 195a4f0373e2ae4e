"""What an ingest tells a person beside its counts, on stderr."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from commands.output import note

if TYPE_CHECKING:
    from commands.output import Row
    from ingest.run import Summary

_SHOWN = 10  # failures; the others are in the database


def explain(summary: "Summary", source: str) -> None:
    """Failures with their reasons, what was passed over, what is gone."""
    for path, reason in summary.failures[:_SHOWN]:
        note(f"failed: {_printable(path)}: {_printable(reason)}")
    if len(summary.failures) > _SHOWN:
        note(f"... and {len(summary.failures) - _SHOWN} more: reid status --failed")
    for sentence in summary.notes:
        note(_printable(sentence))
    if summary.missing:
        note(
            f"{summary.missing} files are gone from {source}; they stay searchable until "
            "`reid collection prune`"
        )
    if summary.corrected:
        note(f"{summary.corrected} stored images have another person, camera or time now")
    if summary.unlisted:
        note(f"passed over, not being named in the manifest: {summary.unlisted} files")
    if summary.ignored:
        note(f"passed over, being no images: {_listed(summary.ignored)}")


def in_words(row: "Row") -> "Row":
    """A row of counts for a table: what was passed over in one cell."""
    return {**row, "passed_over": _listed(row["passed_over"])}


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {_printable(kind)}" for kind, count in sorted(counts.items()))


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
