"""What every request passes: host name, origin, access, size; and the headers of every answer."""

import asyncio
from dataclasses import dataclass

from fastapi import Request, Response
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from web.render import problem, relative, render
from web.state import State
from web.uploads import MAX_BYTES, UploadTooLarge

BODY_BYTES = MAX_BYTES + 256 * 2**10  # the file and the fields beside it
DRAINED_BYTES, DRAINED_SECONDS = 8 * MAX_BYTES, 30
OPEN = ("/health", "/login")  # and /static/: what is needed to sign in

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self' data:; style-src 'self'; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
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
        request = Request(scope, receive)
        guarded = _with_headers(send, request.url.path.startswith("/static/"))
        refused = self.refusal(request)
        if refused is not None:
            await refused(scope, receive, guarded)
        elif _declared(request) > BODY_BYTES:
            await _drain(receive, _declared(request))
            await problem(request, str(UploadTooLarge()), 413)(scope, receive, guarded)
        else:
            await self.app(scope, _limited(receive), guarded)

    def refusal(self, request: Request) -> Response | None:
        """What keeps a request out, None for one that may go on."""
        host = request.headers.get("host", "")
        if not self.state.hosts.allow(host):
            return problem(
                request,
                f"this page does not answer to the name {host!r}; open it as localhost, "
                "or start it with `reid serve --host NAME`",
                421,
            )
        if not _from_here(request):
            return problem(request, "a request from another web site is not taken", 403)
        path = request.url.path
        if path in OPEN or path.startswith("/static/") or self.state.access.admits(request):
            return None
        wanted = relative(request) if request.method == "GET" else path
        response = render(request, "login.html", 401, next=wanted, wrong=False)
        response.headers["WWW-Authenticate"] = "Bearer"
        return response


def _from_here(request: Request) -> bool:
    """False for what a page of another site makes a browser send: a form, a picture, a script.
    Following a link is fine. Programs that are no browsers send neither header."""
    headers = request.headers
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if request.method not in ("GET", "HEAD"):
        if origin is not None:
            # the host alone: behind a proxy the scheme is another one
            return origin.partition("://")[2] == headers.get("host")
        return site in (None, "same-origin", "none")
    follows_link = headers.get("sec-fetch-mode") == "navigate"
    return site in (None, "same-origin", "none") or follows_link


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


def _with_headers(send: Send, is_static: bool) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            if is_static:
                headers["Cache-Control"] = "no-cache"  # kept, but asked about
        await send(message)

    return sending
