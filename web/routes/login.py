"""`/login`: the token for a session; `/logout` ends it."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from actions.tokens import Token
from web.access import COOKIE, SESSION_SECONDS
from web.addresses import to
from web.rates import address_of
from web.render import render
from web.state import Here

router = APIRouter()


@router.get("/login")
def login(request: Request, here: Here) -> Response:
    """Opened with `?token=`, as `reid serve --token` prints it, this signs in at once."""
    given = request.query_params.get("token")
    if here.access.is_open:
        return RedirectResponse(to("/"), 303)
    if given is None:
        return render(request, "login.html", next=to("/"), wrong=False)
    token = here.access.token_of(given)
    if token is None:
        return _wrong(request, here, to("/"))
    # not a redirect: after a link in another site, a strict cookie would not go with that
    return _with_session(request, here, token, render(request, "signed_in.html"))


@router.post("/login")
async def sign_in(request: Request, here: Here) -> Response:
    async with request.form(max_files=0, max_fields=4) as form:
        given, wanted = str(form.get("token", "")), _within(str(form.get("next", "")))
    token = here.access.token_of(given.strip())
    if token is None:
        return _wrong(request, here, wanted)
    return _with_session(request, here, token, RedirectResponse(wanted, 303))


@router.post("/logout")
def sign_out(request: Request, here: Here) -> Response:
    here.access.sign_out(request)
    response = RedirectResponse(to("/login"), 303)
    response.delete_cookie(COOKIE, to("/"), httponly=True, samesite="strict")
    return response


def _within(address: str) -> str:
    """The address where it is one of this page, else the first page: no way to another site."""
    plain = address.isprintable() and "\\" not in address
    own = address.startswith(to("/")) and not address.startswith("//")
    return address if plain and own else to("/")


def _wrong(request: Request, here: Here, wanted: str) -> Response:
    here.rates.failures.wait(address_of(request))
    return render(request, "login.html", 401, next=wanted, wrong=True)


def _with_session(request: Request, here: Here, token: Token, response: Response) -> Response:
    response.set_cookie(
        COOKIE,
        here.access.sign_in(token),
        max_age=SESSION_SECONDS,
        path=to("/"),
        httponly=True,
        samesite="strict",
        secure=_over_https(request),
    )
    return response


def _over_https(request: Request) -> bool:
    """Whether the browser speaks HTTPS, to us or to a proxy before us. Who forges these headers
    only keeps the cookie from being sent back."""
    headers = request.headers
    origin, proxy = headers.get("origin", ""), headers.get("x-forwarded-proto", "")
    return "https" in (request.url.scheme, origin.partition(":")[0], proxy)
