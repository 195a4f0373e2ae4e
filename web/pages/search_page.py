"""`/search`: the question, and who was found.

The form is posted, for it may carry files; the answer is the address that holds the whole question,
so that it can be kept, shared and gone back to.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse

from errors import UsageError
from images.decode import UnreadableImage
from rendering.pictures import Picture
from search.request import NothingAsked
from web.pages import downloads, live
from web.pages.search_answer import SentForm, answer, narrowing, posted, with_files
from web.pages.search_form import Form
from web.pages.search_view import values
from web.render import render
from web.state import Here, State

router = APIRouter()
router.include_router(live.router)
router.include_router(downloads.router)


@router.post("/search")
def ask(request: Request, here: Here, sent: Annotated[SentForm, Depends(posted)]) -> Response:
    """Checks what only a form can hold, then sends on to the answer."""
    form = Form()
    try:
        form = Form.read(sent.fields)
        form = with_files(here, form, sent)
        form = form.merged()
        if not form.asks:
            raise NothingAsked
        form.check()
    except (UsageError, UnreadableImage) as error:
        return _page(request, here, form, str(error), 400)
    return RedirectResponse(form.address() + "#results", 303)


@router.get("/search")
def search(request: Request, here: Here) -> Response:
    form = Form()
    try:
        form = Form.read(request.query_params)
        form = form.merged()
        if not form.asks:
            return _page(request, here, form)
        picture = answer(here, form)
    except UsageError as error:
        return _page(request, here, form, str(error), error.http_status)
    return _page(request, here, form, picture=picture)


def _page(
    request: Request,
    here: State,
    form: Form,
    error: str | None = None,
    status: int = 200,
    *,
    picture: Picture | None = None,
) -> Response:
    # the numbers beside the boxes are fetched by the page: the answer need not wait for them
    narrowed = narrowing(here, form, count=False)
    shown = values(here, form, narrowed, picture, error)
    return render(request, "search.html", status, **shown)
