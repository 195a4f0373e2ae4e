"""Who may see the page, and do what: with tokens, those who send one or have signed in with it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from secrets import compare_digest, token_hex, token_urlsafe
from threading import Lock

from starlette.requests import Request

from db.audit import actor
from web.tokens import Role, Token

COOKIE = "reid_session"
SESSION_SECONDS = 12 * 3600
MAX_SESSIONS = 1_000


@dataclass(frozen=True)
class Who:
    """An authenticated caller. `label` is what the audit log calls them; `key` tells their requests
    from others' and is no secret."""

    label: str
    role: Role
    key: str


@dataclass
class Access:
    """The tokens, and the sessions opened with them, which end with this process. Without any
    token open to all, for a page that only this machine reaches."""

    tokens: Sequence[Token]
    _sessions: dict[str, tuple[float, Who]] = field(default_factory=dict)  # id -> end; oldest first
    _codes: dict[str, Token] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    @property
    def is_open(self) -> bool:
        return not self.tokens

    def token_of(self, given: str) -> Token | None:
        """Compared with every token, in constant time."""
        found = [t for t in self.tokens if compare_digest(given.encode(), t.secret.encode())]
        return found[0] if found else None

    def new_code(self, token: Token) -> str:
        """A code that signs in once with a token, for a link: what a browser keeps of the link
        opens nothing any more."""
        code = token_urlsafe(32)
        with self._lock:
            self._codes[code] = token
        return code

    def redeem(self, given: str) -> Token | None:
        """The token of a code, which is used up by it."""
        with self._lock:
            found = [c for c in self._codes if compare_digest(given.encode(), c.encode())]
            return self._codes.pop(found[0]) if found else None

    def who(self, request: Request) -> Who | None:
        """Return the authenticated caller of a request; None where there is none."""
        if self.is_open:
            return Who(actor(), Role.ADMIN, "open")
        signed_in = self._session(request)
        if signed_in is not None:
            return signed_in
        given = bearer(request)
        token = None if given is None else self.token_of(given)
        return None if token is None else Who(token.label, token.role, f"token {token.label}")

    def is_signed_in(self, request: Request) -> bool:
        return self._session(request) is not None

    def _session(self, request: Request) -> Who | None:
        found = (self._sessions.get(value, (0.0, None)) for value in _cookies(request))
        return next((who for end, who in found if time.monotonic() < end), None)

    def sign_in(self, token: Token) -> str:
        """A new session's id, for the cookie. Who shares a token is told apart by the session."""
        session, short = token_urlsafe(32), token_hex(3)
        label = token.label if token.name else f"{token.label}:{short}"
        now = time.monotonic()
        with self._lock:
            alive = {known: kept for known, kept in self._sessions.items() if now < kept[0]}
            alive[session] = now + SESSION_SECONDS, Who(label, token.role, f"session {short}")
            self._sessions = dict(list(alive.items())[-MAX_SESSIONS:])
        return session

    def sign_out(self, request: Request) -> None:
        with self._lock:
            for value in _cookies(request):
                self._sessions.pop(value, None)


def _cookies(request: Request) -> list[str]:
    """Every cookie of our name: another page below the same host name may have set one too."""
    sent = ";".join(request.headers.getlist("cookie")).split(";")
    named = (one.strip().partition("=") for one in sent)
    return [value for name, _, value in named if name == COOKIE]


def bearer(request: Request) -> str | None:
    """The token that a program sends; None where it sends none."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    return given.strip() if scheme.lower() == "bearer" else None
