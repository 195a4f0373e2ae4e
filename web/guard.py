"""What every request passes: host name, origin, access, role, rate, size; and the headers of every
answer.

Against forged forms there is no token in the pages. Every browser of the last years sends `Origin`
with a form that is posted, and neither a page nor its scripts can change it; a session's cookie is
`SameSite=Strict` besides, so that another site's form would come without it. A token in each form
would be a third lock on the same door, and one more thing for each form to forget.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from fastapi import Request, Response
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from db.audit import acting_as
from web.addresses import below, path_of
from web.details import is_api, refusal
from web.rate_limit import address_of
from web.render import relative, render
from web.roles import needed
from web.sessions import Who, bearer
from web.state import State
from web.uploads import MAX_BYTES, UploadTooLarge

BODY_BYTES = MAX_BYTES + 256 * 2**10  # the file and the fields beside it
DRAINED_BYTES, DRAINED_SECONDS = 8 * MAX_BYTES, 30

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # not no-referrer: with it, browsers send `Origin: null` with our own forms
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Guard:
    """The outermost layer."""

    app: ASGIApp
    state: State

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        answered = 500  # where nothing was answered, it is a fault of ours

        def note(status: int) -> None:
            nonlocal answered
            answered = status

        self.state.front.arrive(scope)
        request = Request(scope, receive)
        guarded = _with_headers(send, request, note)
        try:
            with below(self.state.front.prefix):
                await self._pass(request, scope, receive, guarded)
        finally:
            self.state.meter.observe(scope, answered, time.perf_counter() - started)

    async def _pass(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        who = self.state.access.who(request)
        refused = self.refusal(request, who)
        if refused is not None:
            await refused(scope, receive, send)
        elif _declared(request) > BODY_BYTES:
            await _drain(receive, _declared(request))
            said = refusal(request, str(UploadTooLarge()), 413, UploadTooLarge)
            await said(scope, receive, send)
        else:
            with acting_as(None if who is None else who.label):
                await self.app(scope, _limited(receive), send)

    def refusal(self, request: Request, who: Who | None) -> Response | None:
        """What keeps a request out, None for one that may go on."""
        strange = self.state.front.refusal(request)
        if strange is not None:
            status, said = strange
            return refusal(request, said, status)
        if holds_nul(request):
            return refusal(request, "the address holds a character that no name has: %00", 400)
        return self._too_often(request, who) or self._without_right(request, who)

    def _too_often(self, request: Request, who: Who | None) -> Response | None:
        """After too many wrong tokens an address is locked out, even with a valid one: else
        guessing would go on. A session that is open stays open."""
        address, rates = address_of(request), self.state.rates
        if bearer(request) is not None or path_of(request.scope) == "/login":
            if who is None and bearer(request) is not None:
                rates.failures.wait(address)
            if seconds := rates.locked(address):
                return _wait(request, seconds, "too many wrong tokens came from this address")
        key = address if who is None or who.key == "open" else who.key
        seconds = rates.wait(key, path_of(request.scope))
        return _wait(request, seconds, "too many requests") if seconds else None

    def _without_right(self, request: Request, who: Who | None) -> Response | None:
        role = needed(request.method, path_of(request.scope))
        if role is None or (who is not None and who.role >= role):
            return None
        if who is not None:
            said = f"this needs the role {role.word}; your token's role is {who.role.word}"
            return refusal(request, said, 403)
        challenge = {"WWW-Authenticate": "Bearer"}
        if is_api(request):
            said = "send the token, as `Authorization: Bearer TOKEN`"
            return refusal(request, said, 401, headers=challenge)
        wanted = relative(request) if request.method == "GET" else request.url.path
        response = render(request, "login.html", 401, next=wanted, alert=None)
        response.headers.update(challenge)
        return response


def _wait(request: Request, seconds: int, why: str) -> Response:
    said = f"{why}; try again in {seconds} s"
    return refusal(request, said, 429, headers={"Retry-After": str(seconds)})


def _declared(request: Request) -> int:
    length = request.headers.get("content-length", "0")
    return int(length) if length.isdecimal() else 0


def _limited(receive: Receive) -> Receive:
    """The body as it comes, up to what is taken, whatever length was declared."""
    size = 0

    async def counting() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > BODY_BYTES:
            raise UploadTooLarge
        return message

    return counting


async def _drain(receive: Receive, declared: int) -> None:
    """Reads and drops a body, within reason: a browser shows no answer before all is sent."""
    if declared > DRAINED_BYTES:
        return
    try:
        async with asyncio.timeout(DRAINED_SECONDS):
            while (await receive()).get("more_body"):
                pass
    except TimeoutError:
        return


def _without_name(location: str, request: Request) -> str:
    """An address of ours without scheme and name: the browser may know the page by others."""
    scheme, _, rest = location.partition("://")
    name, slash, path = rest.partition("/")
    ours = scheme in ("http", "https") and name == request.headers.get("host")
    return slash + path if ours and slash else location


def holds_nul(request: Request) -> bool:
    """Whether an address holds the one character that the database cannot keep."""
    return "\0" in request.scope["path"] or b"%00" in request.scope["query_string"]


def _with_headers(send: Send, request: Request, note: Callable[[int], None]) -> Send:
    is_static = path_of(request.scope).startswith("/static/")

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            note(message["status"])
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            if is_static:
                headers["Cache-Control"] = "no-cache"  # kept, but asked about
            if "location" in headers:
                headers["Location"] = _without_name(headers["location"], request)
        await send(message)

    return sending
