"""`/`: what is stored, which models there are, what failed and why."""

from fastapi import APIRouter, Request, Response

from actions.status import counts, failures, list_collections, list_models
from web.render import render
from web.state import Here

router = APIRouter()

FAILURES_SHOWN = 20


@router.get("/")
def overview(request: Request, here: Here) -> Response:
    failed = failures(here.engine)
    return render(
        request,
        "overview.html",
        collections=list_collections(here.engine),
        models=list_models(here.engine),
        counts=counts(here.engine),
        failures=failed[:FAILURES_SHOWN],
        num_failures=len(failed),
    )
