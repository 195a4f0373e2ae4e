"""`/search/...`: the parts of the search page that change while somebody looks at it.

`live` is asked by every control. The address of the whole question goes along, so that the browser
shows it; what was typed or moved by hand is never overwritten while it is being changed.
"""

from fastapi import APIRouter, Request, Response

from errors import UsageError
from rendering.pictures import Picture
from search.filters.errors import BadFilter
from search.histogram import distances
from web.pages.chart import chart, number
from web.pages.search_answer import answer, narrowing, request_of
from web.pages.search_form import Form
from web.pages.search_view import page_of, values
from web.render import is_part, render
from web.state import Here

router = APIRouter()


@router.get("/search/live")
def live(request: Request, here: Here) -> Response:
    """What a changed control changes. The search itself is repeated only where an answer is shown
    already, and not while the filter is being typed."""
    cause = request.headers.get("hx-trigger", "")
    form = Form.read(request.query_params)
    picture: Picture | None = None
    error: str | None = None
    answers = bool(request.query_params.get("asked")) and cause != "where"
    try:
        form = form.merged()
        if answers and form.asks:
            picture = answer(here, form)
    except BadFilter:
        answers = False  # it is shown at the filter; the answer before it stays
    except UsageError as wrong:
        error = str(wrong)
    narrowed = None if cause == "slider" else narrowing(here, form, count=True)
    response = render(
        request,
        "live.html",
        **{
            **values(here, form, narrowed or narrowing(here, form, count=False), picture, error),
            "cause": cause or "some control",
            "answers": answers,
        },
    )
    response.headers.update(_headers(form, cause, answers=answers, found=picture is not None))
    return response


def _headers(form: Form, cause: str, *, answers: bool, found: bool) -> dict[str, str]:
    """What the browser does beside showing the parts."""
    if not answers:
        return {"HX-Reswap": "none"}
    address = "HX-Replace-Url" if cause == "slider" else "HX-Push-Url"
    headers = {address: form.address(page=1)}
    if found and form.of_somebody and cause != "slider":
        headers["HX-Trigger-After-Settle"] = "distances"
    return headers


@router.get("/search/facets")
def facets(request: Request, here: Here) -> Response:
    """The boxes with the numbers beside them."""
    form = Form.read(request.query_params)
    return render(request, "facets.html", narrowed=narrowing(here, form, count=True))


@router.get("/search/distances")
def distance_chart(request: Request, here: Here) -> Response:
    """How far everybody is: a part of the search page, or a page of its own."""
    form = Form.read(request.query_params).merged()
    asked = request_of(here, form)
    asked.check()
    found = distances(here.engine, asked, load=here.networks, device=here.device)
    drawn = chart(
        found.histogram,
        limit=found.limit,
        shown=number(request.query_params.get("last")),
        calibrated=found.calibrated,
    )
    part = is_part(request)
    return render(request, "distances.html", form=form, found=found, chart=drawn, part=part)


@router.get("/search/more")
def more(request: Request, here: Here) -> Response:
    """The following matches of a long answer: of the kept one, else of one that is asked anew."""
    form = Form.read(request.query_params).merged()
    key = request.query_params.get("answer", "")
    picture = here.answers.get(key)
    if picture is None:
        key, picture = "", answer(here, form)
    return render(request, "more.html", form=form, shown=page_of(here, form, picture, key))
