"""`POST /api/v1/search`: one question, now."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from images.decode import UnreadableImage
from query_sets.batch_request import search_batch as run_batch
from search.answering import Answers
from search.answering import search as run
from search.documents import document
from search.query_images import named_contents
from web.api import tables
from web.api.body import Sent, sent
from web.api.openapi import problems, with_images
from web.api.requests import BatchBody, SearchBody
from web.api.responses import SearchResult
from web.details import V1
from web.state import Here

_BINARY = {"schema": {"type": "string", "contentMediaType": "application/octet-stream"}}
TABLES: dict[str, Any] = {
    "description": "The answers.",
    "content": {tables.ARROW: _BINARY, tables.PARQUET: _BINARY},
}
router = APIRouter(prefix=V1, tags=["search"])


@router.post(
    "/search",
    response_model=SearchResult,
    responses={200: TABLES, **problems(404, 408, 413, 415, 501)},
    openapi_extra=with_images(SearchBody),
)
def search(request: Request, here: Here, body: Annotated[Sent, Depends(sent)]) -> object:
    """Find the person of each image again, or everyone who passes the filter.

    Send JSON with `image_ids`, or a form with the same fields and images as `image`. The answer is
    the document that `reid search --format json` prints. Images that cannot be used stand in
    `failed`; where none can, the answer is a problem.
    """
    asked = body.as_a(SearchBody).request(tuple(named_contents(body.files)))
    asked.check()
    found = run(here.engine, asked, device=here.device, load=here.networks)
    if asked.has_image and not found.answers:
        raise UnreadableImage(in_words(found.failed))
    return answered(request, found)


@router.post(
    "/search/batch",
    response_model=SearchResult,
    responses={200: TABLES, **problems(404, 408, 413, 501)},
)
def search_batch(request: Request, here: Here, body: BatchBody) -> object:
    """Answer many queries with one question at once: up to 1,000 stored images and embeddings.

    The answers are those of one search each, in the order of `image_ids`, then of `embeddings`.
    Images that the model has not embedded stand in `failed`. Ask for Arrow or Parquet by `Accept`
    to have every match as a row of one table.
    """
    return answered(request, run_batch(here.engine, body.batch()))


def answered(request: Request, found: Answers) -> object:
    """As JSON, or as the table that is asked for."""
    kind = tables.wanted(request)
    return document(found) if kind == tables.JSON else tables.as_table(found, kind)


def in_words(failed: dict[str, str]) -> str:
    """`who.jpg: an empty file`, of several each."""
    return "; ".join(f"{name}: {reason}" for name, reason in failed.items())


def as_list(failed: dict[str, str]) -> list[dict[str, Any]]:
    return [{"name": name, "reason": reason} for name, reason in failed.items()]
