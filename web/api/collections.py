"""`/api/v1/collections` and `/api/v1/models`: what is stored."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from gallery.status import list_collections, list_models
from search.browse import images_of
from web.api import cursor as _cursor
from web.api.cursor import DEFAULT_ITEMS, MAX_ITEMS
from web.api.openapi import problems
from web.api.requests import Name, Text
from web.api.responses import Collections, ImagePage, Models
from web.details import V1
from web.state import Here

router = APIRouter(prefix=V1, tags=["collections"])


@router.get("/collections", response_model=Collections, responses=problems())
def collections(here: Here) -> object:
    """Every collection, by name."""
    return {"items": list_collections(here.engine)}


@router.get("/models", response_model=Models, responses=problems())
def models(here: Here) -> object:
    """Every registered model, by name."""
    return {"items": list_models(here.engine)}


@router.get("/collections/{name:path}/images", response_model=ImagePage, responses=problems(404))
def images(
    request: Request,
    response: Response,
    here: Here,
    name: Name,
    where: Annotated[Text | None, Query(description="A filter.", examples=["hat"])] = None,
    model: Annotated[Name | None, Query(description="Another model than the active one.")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_ITEMS)] = DEFAULT_ITEMS,
    cursor: Annotated[str | None, Query(description="From `next` of the piece before.")] = None,
) -> object:
    """The images of a collection that a model has embedded and that pass the filter, a piece at a
    time."""
    (after,) = _cursor.read(cursor, 1)
    found = images_of(here.engine, name, where=where, model=model, after=after, limit=limit + 1)
    more = len(found) > limit
    return {
        "items": [asdict(item) for item in found[:limit]],
        "next": _cursor.next_address(request, response, (found[limit - 1].id,)) if more else None,
    }
