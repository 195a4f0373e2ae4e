"""`/`: what is stored, what it looks like, and what was asked last."""

from fastapi import APIRouter, Request, Response

from gallery.holdings import all_held
from gallery.status import list_models
from query_sets.sets import list_sets
from search.facets import counts
from web.pages.bars import distributions
from web.render import is_part, render
from web.state import Here

router = APIRouter()

SETS_SHOWN = 5


@router.get("/")
def overview(request: Request, here: Here) -> Response:
    held = all_held(here.engine)
    known = {row.holding.collection for row in held}
    chosen = [name for name in request.query_params.getlist("collection") if name in known]
    run = [row for row in list_sets(here.engine) if row["last_run"] is not None]
    return render(
        request,
        "overview.html",
        held=held,
        models=list_models(here.engine),
        chosen=chosen or [row.holding.collection for row in held],
        newest=sorted(run, key=lambda row: row["last_run"], reverse=True)[:SETS_SHOWN],
    )


@router.get("/attributes")
def attributes(request: Request, here: Here) -> Response:
    """How the attributes of some collections spread: a part of the overview, or a page of its own.

    Apart from the rest, for it reads every row.
    """
    chosen = request.query_params.getlist("collection")
    counted = counts(here.engine, chosen, None) if chosen else None
    return render(
        request,
        "attributes.html",
        chosen=chosen,
        total=sum(counted["gender"].values()) if counted else 0,
        distributions=distributions(counted, chosen) if counted else [],
        part=is_part(request),
    )
