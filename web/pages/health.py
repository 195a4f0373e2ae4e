"""`/health`: whether the page can do its work, for machines that look after it."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from errors import ReidError
from web.state import Here

router = APIRouter()


@router.get("/health")
async def health(request: Request, here: Here) -> JSONResponse:
    """Open to all; where the database is and who uses it is told to those only who may know."""
    try:
        return JSONResponse({"status": "ok", "schema": await here.vitals.schema()})
    except ReidError as error:
        reason = str(error)
    if here.access.who(request) is None:
        reason = "the database cannot be used; `reid doctor` says why"
    return JSONResponse({"status": "down", "reason": reason}, 503)
