"""Long answers, kept in memory while they are read: whoever scrolls sees one list, asked once and
audited once, however the gallery grows meanwhile."""

import time
from collections import OrderedDict
from secrets import token_urlsafe
from threading import Lock

from rendering.pictures import Picture

KEPT_SECONDS = 15 * 60
KEPT_MATCHES = 200_000  # of all answers together: some 300 MB
OWN_WEIGHT = 50  # matches that an answer itself takes as much room as: its statements, its image


class KeptAnswers:
    """The newest answers by an unguessable key; never on disk, gone with this process."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: OrderedDict[str, tuple[float, Picture]] = OrderedDict()

    def keep(self, picture: Picture) -> str:
        """Its key. The oldest ones make room, but never this one."""
        key = token_urlsafe(16)
        with self._lock:
            self._kept[key] = time.monotonic() + KEPT_SECONDS, picture
            self._forget()
        return key

    def get(self, key: str) -> Picture | None:
        """Return a kept answer, None where it is not kept any more."""
        with self._lock:
            self._forget()
            found = self._kept.get(key)
        return None if found is None else found[1]

    def _forget(self) -> None:
        now = time.monotonic()
        for key in [key for key, (end, _) in self._kept.items() if end <= now]:
            del self._kept[key]
        weight = sum(_weight(picture) for _, picture in self._kept.values())
        while len(self._kept) > 1 and weight > KEPT_MATCHES:
            weight -= _weight(self._kept.popitem(last=False)[1][1])


def _weight(picture: Picture) -> int:
    """In matches. One that found nobody has its weight too: else any number of them would stay."""
    return OWN_WEIGHT + len(picture.answer.matches)
