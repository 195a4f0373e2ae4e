"""`POST /api/v1/search`: one question, now."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from images.decode import UnreadableImage
from search.answering import search as run
from search.documents import document
from search.query_images import named_contents
from web.api.body import Sent, sent
from web.api.openapi import problems, with_images
from web.api.requests import SearchBody
from web.api.responses import SearchResult
from web.details import V1
from web.state import Here

router = APIRouter(prefix=V1, tags=["search"])


@router.post(
    "/search",
    response_model=SearchResult,
    response_description="The answers.",
    responses=problems(404, 408, 413, 415),
    openapi_extra=with_images(SearchBody),
)
def search(here: Here, body: Annotated[Sent, Depends(sent)]) -> object:
    """Find the person of each image again, or everyone who passes the filter.

    Send JSON with `image_ids`, or a form with the same fields and images as `image`. The answer is
    the document that `reid search --format json` prints. Images that cannot be used stand in
    `failed`; where none can, the answer is a problem.
    """
    asked = body.as_a(SearchBody)
    request = asked.request(tuple(named_contents(body.files)))
    request.check()
    found = run(here.engine, request, device=here.device, load=here.networks)
    if request.has_image and not found.answers:
        raise UnreadableImage(in_words(found.failed))
    return document(found)


def in_words(failed: dict[str, str]) -> str:
    """`who.jpg: an empty file`, of several each."""
    return "; ".join(f"{name}: {reason}" for name, reason in failed.items())


def as_list(failed: dict[str, str]) -> list[dict[str, Any]]:
    return [{"name": name, "reason": reason} for name, reason in failed.items()]
