"""`/login`: the token for a session; `/logout` ends it."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from web.addresses import to
from web.rate_limit import address_of
from web.render import render
from web.sessions import COOKIE, SESSION_SECONDS
from web.state import Here
from web.tokens import Token

router = APIRouter()

WHY_WRONG = "That is not the token."
WHY_USED = "This link has signed somebody in already, or is of a page that was stopped."
WHY_TYPED = "A token is not taken from an address, where the browser would keep it: type it here."


@router.get("/login")
def login(request: Request, here: Here) -> Response:
    """The form. The link that `reid serve --token` prints fills it with a code from the address's
    fragment, which browsers send to nobody; it is sent by hand, so that no other site signs
    anybody in."""
    if here.access.is_open:
        return RedirectResponse(to("/"), 303)
    if "token" in request.query_params:
        # away from this address, which the browser would remember
        return RedirectResponse(to("/login?typed=yes"), 303)
    return _form(request, to("/"), WHY_TYPED if "typed" in request.query_params else None)


@router.post("/login")
async def sign_in(request: Request, here: Here) -> Response:
    async with request.form(max_files=0, max_fields=4) as form:
        given, code = str(form.get("token", "")), str(form.get("code", ""))
        wanted = _within(str(form.get("next", "")))
    token = here.access.redeem(code) if code else here.access.token_of(given.strip())
    if token is None:
        here.rates.failures.wait(address_of(request))
        return _form(request, wanted, WHY_USED if code else WHY_WRONG, 401)
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


def _form(request: Request, wanted: str, alert: str | None, status: int = 200) -> Response:
    return render(request, "login.html", status, next=wanted, alert=alert)


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
