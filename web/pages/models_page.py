"""`/models`: which models there are, and what each says of itself."""

from threading import Lock

from fastapi import APIRouter, Request, Response

from errors import UsageError
from evaluation.reports import reid_report_page
from gallery.model_card import card
from gallery.models import chosen
from gallery.status import calibrated_on, list_collections, list_models
from vocabulary import COLUMNS, NUM_VALUES
from web.pages.limits import limits_chart
from web.render import render
from web.state import Here

router = APIRouter()
_ONE_AT_A_TIME = Lock()  # each compares all queries with the whole gallery


class NothingToEvaluate(UsageError):
    """An evaluation without queries or without a gallery."""


@router.get("/models")
def models(request: Request, here: Here) -> Response:
    chosen(here.engine, None)  # the shipped one is registered where none is
    return render(request, "models.html", models=list_models(here.engine))


@router.get("/models/evaluation")
def evaluation(request: Request, here: Here) -> Response:
    """An evaluation with its plots as one file to keep: `model`, `query`, `gallery`, `purpose`."""
    fields = request.query_params
    query, galleries = fields.get("query", ""), tuple(dict.fromkeys(fields.getlist("gallery")))
    if not query or not galleries:
        raise NothingToEvaluate("choose whose images ask, and at least one gallery that answers")
    with _ONE_AT_A_TIME:
        page = reid_report_page(
            here.engine, query, galleries, fields.get("model", ""), fields.get("purpose") or None
        )
    headers = {"Content-Disposition": 'attachment; filename="evaluation.html"'}
    return Response(page, media_type="text/html", headers=headers)


@router.get("/models/{name:path}")
def one_model(request: Request, here: Here, name: str) -> Response:
    found = card(here.engine, name)
    return render(
        request,
        "model.html",
        name=name,
        card=found,
        calibrated_on=calibrated_on(found.model),
        collections=[row["name"] for row in list_collections(here.engine)],
        chart=limits_chart(found.points, found.model.max_distance),
        columns=[column for column in COLUMNS if NUM_VALUES[column] == 2],
    )
