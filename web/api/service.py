"""`/api/v1/health` and `/api/v1/metrics`: for machines that look after this one."""

from fastapi import APIRouter, Request, Response

from db.connect import DatabaseUnreachable
from errors import ReidError
from gallery.status import counts
from web.api.openapi import problems
from web.api.responses import Health
from web.details import V1
from web.state import Here

router = APIRouter(prefix=V1, tags=["service"])

TEXT = "text/plain; version=1.0.0; charset=utf-8"


@router.get("/health", response_model=Health, responses=problems())
async def health(request: Request, here: Here) -> object:
    """Whether the database can be used. Open to all; where it is and who uses it is told to those
    only who may know."""
    try:
        return {"status": "ok", "schema": await here.vitals.schema()}
    except ReidError:
        if here.access.who(request) is not None:
            raise
    raise DatabaseUnreachable("the database cannot be used; `reid doctor` says why")


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {
            "description": "Prometheus' text format.",
            "content": {"text/plain": {"schema": {"type": "string"}}},
        },
        **problems(501),
    },
)
def metrics(here: Here) -> Response:
    """Images by state from the manifest; requests and their times by route."""
    return Response(here.meter.text(counts(here.engine)), media_type=TEXT)
