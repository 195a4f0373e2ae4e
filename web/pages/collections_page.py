"""`/collections`: what each one holds, its images, how far its files are, and what failed."""

from dataclasses import replace

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from gallery.holdings import all_held, failures_of, held, states_of
from gallery.status import retry_failed
from search.filters.errors import BadFilter
from web.pages.gallery import Piece, address, after_of, piece
from web.pages.search_answer import narrowing
from web.pages.search_form import Form
from web.render import is_part, render
from web.state import Here, State

router = APIRouter()

FAILURES_SHOWN = 100


@router.get("/collections")
def collections(request: Request, here: Here) -> Response:
    return render(request, "collections.html", held=all_held(here.engine))


@router.post("/collections/{name:path}/retry")
def retry(here: Here, name: str) -> Response:
    """Makes what failed pending again, as `reid retry` does."""
    retry_failed(here.engine, None, name)
    return RedirectResponse(address(name) + "#state", 303)


@router.get("/collections/{name:path}")
def one_collection(request: Request, here: Here, name: str) -> Response:
    """The page, or the part that its script asks for: `part` is `state` or `images`."""
    wanted = request.query_params.get("part", "") if is_part(request) else ""
    if wanted == "state":
        states = states_of(here.engine, name)
        return render(request, "state.html", name=name, states=states, waited=True)
    form = replace(Form.read(request.query_params), collections=(name,))
    after = after_of(request.query_params.get("after"))
    wrong = False
    try:
        form = form.merged()
        shown = piece(here, name, form, after)
    except BadFilter:
        shown, wrong = Piece((), None), True
    if wanted == "images":
        return render(request, "shots.html", name=name, form=form, piece=shown)
    return _page(request, here, name, form, shown, after=after, wrong=wrong)


def _page(
    request: Request, here: State, name: str, form: Form, shown: Piece, *, after: int, wrong: bool
) -> Response:
    # the numbers beside the boxes are fetched by the page: the images need not wait for them
    narrowed = narrowing(here, form, count=False)
    found = held(here.engine, name)
    response = render(
        request,
        "collection.html",
        400 if wrong and not is_part(request) else 200,
        name=name,
        held=found,
        states=found.states,
        waited=False,
        failures=failures_of(here.engine, name, FAILURES_SHOWN) if found.states.failed else [],
        form=form,
        narrowed=narrowed,
        cause="",
        piece=shown,
        after=after,
    )
    if is_part(request):
        response.headers["HX-Push-Url"] = address(name, form.where)
    return response
