"""`/review`: one stored query at a time, and what is said of its matches."""

from dataclasses import replace
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse

from errors import UsageError
from images.decode import UnreadableImage
from query_sets.keep import keep
from query_sets.review import review, verdicts_on
from query_sets.runs import CannotRun
from query_sets.sets import show_set
from query_sets.verdicts import count_verdicts, decide, take_back
from web.addresses import to
from web.pages.search_answer import SentForm, posted, request_of, with_files
from web.pages.search_form import BadForm, Form
from web.render import is_part, problem, render
from web.state import Here

router = APIRouter()

MATCHES_SHOWN = 240
SAID = ("confirmed", "rejected", "withdrawn")


@router.get("/review")
def reviewing(request: Request, here: Here) -> Response:
    """A set's query with its matches in the newest run. Without a query, the first that nobody has
    looked at."""
    name, query = (request.query_params.get(key, "") for key in ("set", "query"))
    shown = show_set(here.engine, name)
    try:
        found = review(here.engine, name, query or None)
        error = None
    except CannotRun as never:
        found, error = None, str(never)
    galleries = dict.fromkeys(gallery for row in shown["questions"] for gallery in row["galleries"])
    return render(
        request,
        "review.html",
        set=name,
        query=query,
        found=found,
        error=error,
        counts=count_verdicts(here.engine, name),
        question=Form(collections=tuple(galleries)),
        most=MATCHES_SHOWN,
    )


@router.post("/review")
def judge(request: Request, here: Here, sent: Annotated[SentForm, Depends(posted)]) -> Response:
    """A verdict on one image: it stands, or with `withdrawn` none does."""
    name, query, image, said = (
        str(sent.fields.get(key, "")) for key in ("set", "query", "image", "said")
    )
    if said not in SAID or not (image.isascii() and image.isdecimal() and len(image) < 19):
        raise BadForm("a verdict says confirmed, rejected or withdrawn of an image's number")
    if said == "withdrawn":
        take_back(here.engine, name, query, [f"id:{image}"])
    else:
        decide(here.engine, name, query, [f"id:{image}"], said)
    if not is_part(request):
        where = urlencode({"set": name, "query": query})
        return RedirectResponse(to(f"/review?{where}#verdict-{image}"), 303)
    stands = verdicts_on(here.engine, name, query, [int(image)]).get(int(image))
    return render(
        request,
        "verdict.html",
        set=name,
        query=query,
        image_id=int(image),
        verdict=stands,
        rank=str(sent.fields.get("rank", "")),
        counts=count_verdicts(here.engine, name),
    )


@router.post("/review/keep")
def kept(request: Request, here: Here, sent: Annotated[SentForm, Depends(posted)]) -> Response:
    """Keeps the question of the search page as a stored query, on which verdicts can stand."""
    form = Form.read(sent.fields)
    try:
        if not form.set:
            raise BadForm("name the query set that the query is kept in")
        form = replace(with_files(here, form, sent).merged(), set=form.set)
        form.check()
        name = keep(
            here.engine, form.set, request_of(here, form),
            load=here.networks, device=here.device,
        )  # fmt: skip
    except (UsageError, UnreadableImage) as error:
        return problem(request, str(error), error.http_status)
    return RedirectResponse(form.address(query=name) + "#results", 303)
