"""Who may see the page: with a token, those who send it or have signed in with it."""

import time
from dataclasses import dataclass, field
from secrets import compare_digest, token_urlsafe
from threading import Lock

from starlette.requests import Request

COOKIE = "reid_session"
SESSION_SECONDS = 12 * 3600
MAX_SESSIONS = 1_000


@dataclass
class Access:
    """The token and the sessions opened with it, which end with this process. None: open to all,
    for a page that only this machine reaches."""

    token: str | None
    _sessions: dict[str, float] = field(default_factory=dict)  # id -> end, oldest first
    _lock: Lock = field(default_factory=Lock)

    def is_token(self, given: str) -> bool:
        """Compared in constant time."""
        return self.token is not None and compare_digest(given.encode(), self.token.encode())

    def admits(self, request: Request) -> bool:
        """Whether a request may go on."""
        if self.token is None or self.is_signed_in(request):
            return True
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and self.is_token(given.strip())

    def is_signed_in(self, request: Request) -> bool:
        end = self._sessions.get(request.cookies.get(COOKIE, ""))
        return end is not None and time.monotonic() < end

    def sign_in(self) -> str:
        """A new session's id, for the cookie."""
        session = token_urlsafe(32)
        now = time.monotonic()
        with self._lock:
            alive = {known: end for known, end in self._sessions.items() if now < end}
            alive[session] = now + SESSION_SECONDS
            self._sessions = dict(list(alive.items())[-MAX_SESSIONS:])
        return session

    def sign_out(self, request: Request) -> None:
        with self._lock:
            self._sessions.pop(request.cookies.get(COOKIE, ""), None)
