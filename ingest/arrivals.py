"""What has changed in a folder since it was last looked at, and which of it is ready to be read.

The folder is scanned again and again. Notifications of the system would save the scans, but they
are lost where a queue runs over, do not exist on network drives, where cameras write, and are
another interface on each system; a scan costs little beside a batch of inference.
"""

from dataclasses import dataclass, field

from images.listing import FoundFile, Key, Listing
from ingest.register import is_below

_Facts = tuple[int | None, int]


@dataclass(frozen=True)
class Changes:
    """`ready` are new or changed files that have stood still; `moving` may still be written to."""

    ready: list[FoundFile] = field(default_factory=list)
    moving: set[Key] = field(default_factory=set)
    gone: set[Key] = field(default_factory=set)


class Arrivals:
    """Compares each look at a folder with the one before.

    A file is ready when two looks agree on its size and time; at the first look, when it has not
    been changed for `still_s` seconds. Each version of a file is ready once, so that one that
    fails is not tried for ever.
    """

    def __init__(self, still_s: float) -> None:
        self._still_ns = int(still_s * 1e9)
        self._before: dict[Key, _Facts] | None = None
        self._ready: dict[Key, _Facts] = {}

    def look(self, listing: Listing, now_ns: int) -> Changes:
        """What is to be done about what is there now; `now_ns` is the clock of the files."""
        changes, before = Changes(), self._before
        now = {file.key: (file.size_bytes, file.mtime_ns) for file in listing.files}
        for file in listing.files:
            facts = now[file.key]
            if self._ready.get(file.key) == facts:
                continue
            old = self._still_ns < now_ns - file.mtime_ns
            if old if before is None else before.get(file.key) == facts:
                changes.ready.append(file)
                self._ready[file.key] = facts
            else:
                changes.moving.add(file.key)
        for key in (before or {}).keys() - now.keys():
            if is_below(key[0], listing.refused):
                now[key] = (before or {})[key]  # out of sight, and perhaps still there
            else:
                changes.gone.add(key)
                self._ready.pop(key, None)
        self._before = now
        return changes
