"""`/api/v1/query-sets` and `/api/v1/runs`: stored queries, their runs and exports."""

from dataclasses import asdict
from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import APIRouter, Depends, Query, Request, Response

from query_sets import sets
from query_sets.queries import add_sent
from query_sets.queries import run as run_set
from query_sets.run_matches import matches_of
from query_sets.verdicts import count_verdicts
from search.query_images import named_contents
from web.api import cursor as _cursor
from web.api.body import Sent, sent
from web.api.cursor import DEFAULT_ITEMS, MAX_ITEMS
from web.api.openapi import problems, with_images
from web.api.requests import (
    DEFAULT_QUALITY,
    Id,
    Name,
    Quality,
    QuerySetBody,
    RunBody,
)
from web.api.responses import Added, QuerySet, QuerySets, RunMatchPage, RunSummary
from web.api.search import as_list
from web.details import V1
from web.state import Here

router = APIRouter(prefix=V1, tags=["stored queries"])


@router.get("/query-sets", response_model=QuerySets, responses=problems())
def query_sets(here: Here) -> object:
    """Every query set, by name."""
    return {"items": sets.list_sets(here.engine)}


@router.post(
    "/query-sets",
    status_code=201,
    response_model=Added,
    responses=problems(404, 408, 409, 413, 415),
    openapi_extra=with_images(QuerySetBody),
)
def add(here: Here, response: Response, body: Annotated[Sent, Depends(sent)]) -> object:
    """Add images as queries to a set, which is made where there is none.

    Send JSON with `image_ids`, or a form with the same fields and images as `image`.
    """
    asked = body.as_a(QuerySetBody)
    added = add_sent(
        here.engine,
        asked.name,
        asked.request(),
        named_contents(body.files),
        asked.image_ids,
        load=here.networks,
        device=here.device,
    )
    response.headers["Location"] = f"{V1}/query-sets/{quote(asked.name, safe='')}"
    said = {"queries": added.queries, "known": added.known, "failed": as_list(added.failed)}
    return {"name": asked.name, **said}


@router.get(
    "/query-sets/{name:path}/export",
    response_class=Response,
    responses={
        200: {
            "description": "The file.",
            "content": {
                kind: {"schema": {"type": "string"}} for kind in ("text/plain", "text/csv")
            },
        },
        **problems(404, 409),
    },
)
def export(
    here: Here,
    name: Name,
    format: Annotated[Literal["reid_test", "csv"], Query(description="Which file.")] = "reid_test",
    min_quality: Annotated[Quality, Query()] = DEFAULT_QUALITY,
) -> Response:
    """The newest run of a set as `reid_test.txt`, or all its matches as CSV."""
    if format == "csv":
        text, file, kind = sets.export_matches(here.engine, name, None).text, "csv", "text/csv"
    else:
        text = sets.export_reid_test(here.engine, name, None, min_quality).text
        file, kind = "txt", "text/plain"
    stem = "matches" if format == "csv" else format
    headers = {"Content-Disposition": f'attachment; filename="{stem}.{file}"'}
    return Response(text, media_type=kind, headers=headers)


@router.post(
    "/query-sets/{name:path}/runs",
    status_code=201,
    response_model=RunSummary,
    responses=problems(404, 409),
)
def run(here: Here, response: Response, name: Name, body: RunBody) -> object:
    """Answer every query of a set and keep the run."""
    summary = run_set(here.engine, name, body.model, body.purpose)
    response.headers["Location"] = f"{V1}/runs/{summary.id}/matches"
    return asdict(summary)


@router.get("/query-sets/{name:path}", response_model=QuerySet, responses=problems(404))
def query_set(here: Here, name: Name) -> object:
    """What a set asks, its runs, and how many verdicts stand on its matches."""
    shown = sets.show_set(here.engine, name)
    return {**shown, "verdicts": count_verdicts(here.engine, name)}


@router.delete("/query-sets/{name:path}", status_code=204, responses=problems(404))
def remove(here: Here, name: Name) -> None:
    """Remove a set with its queries, runs and verdicts."""
    sets.remove_query_set(here.engine, name)


@router.get("/runs/{run_id}/matches", response_model=RunMatchPage, responses=problems(404))
def matches(
    request: Request,
    response: Response,
    here: Here,
    run_id: Id,
    limit: Annotated[int, Query(ge=1, le=MAX_ITEMS)] = DEFAULT_ITEMS,
    cursor: Annotated[str | None, Query(description="From `next` of the piece before.")] = None,
) -> object:
    """The matches of a run, query by query in the order of their adding, best first."""
    query, rank = _cursor.read(cursor, 2)
    found = matches_of(here.engine, run_id, after=(query, rank), limit=limit + 1)
    more = len(found) > limit
    last = (found[limit - 1].query_id, found[limit - 1].stored_rank) if more else ()
    return {
        "items": [asdict(item) for item in found[:limit]],
        "next": _cursor.next_address(request, response, last) if more else None,
    }
