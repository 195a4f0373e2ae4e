"""`/models`: which models there are, and what each says of itself."""

from fastapi import APIRouter, Request, Response

from actions.model_card import card
from actions.models import chosen
from actions.status import calibrated_on, list_models
from db.attributes import COLUMNS, NUM_VALUES
from web.limits import limits_chart
from web.render import render
from web.state import Here

router = APIRouter()


@router.get("/models")
def models(request: Request, here: Here) -> Response:
    chosen(here.engine, None)  # the shipped one is registered where none is
    return render(request, "models.html", models=list_models(here.engine))


@router.get("/models/{name:path}")
def one_model(request: Request, here: Here, name: str) -> Response:
    found = card(here.engine, name)
    return render(
        request,
        "model.html",
        name=name,
        card=found,
        calibrated_on=calibrated_on(found.model),
        chart=limits_chart(found.points, found.model.max_distance),
        columns=[column for column in COLUMNS if NUM_VALUES[column] == 2],
    )
