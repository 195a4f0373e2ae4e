"""`/api/v1/images`: one image in, one image out."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from errors import UsageError
from gallery import stored_images
from gallery.stored_images import UnknownImage
from gallery.thumbnails import thumbnail as thumbnail_of
from ingest.uploads import ingest_image
from web.api.body import Sent, sent_form
from web.api.openapi import body as described
from web.api.openapi import problems
from web.api.requests import Id, ImageBody
from web.api.responses import Image
from web.details import V1
from web.state import Here

router = APIRouter(prefix=f"{V1}/images", tags=["images"])


class OneImageExpected(UsageError):
    """A request that takes one image has none, or several."""


@router.post(
    "",
    status_code=201,
    response_model=Image,
    responses={
        200: {"model": Image, "description": "The image was stored already."},
        **problems(404, 408, 409, 413, 415, 507),
    },
    openapi_extra=described(json=None, form=ImageBody, most=1),
)
def ingest(here: Here, response: Response, body: Annotated[Sent, Depends(sent_form)]) -> object:
    """Take one image, the form's `image`, into a collection.

    It is kept on the server's disk and stored as a file of a folder is: the same content under the
    same name is one image, content that was erased is refused, and so is what is no person crop.
    """
    asked = body.as_a(ImageBody)
    if len(body.files) != 1:
        raise OneImageExpected(f"expected one file as `image`, got {len(body.files)}")
    taken = ingest_image(
        here.engine,
        body.files[0],
        asked.collection,
        identities=asked.identities,
        allow_any_shape=asked.allow_any_shape,
        load=here.networks,
        device=here.device,
    )
    response.status_code = 201 if taken.is_new else 200
    response.headers["Location"] = f"{V1}/images/{taken.image.id}"
    return asdict(taken.image)


@router.get("/{image_id}", response_model=Image, responses=problems(404))
def image(here: Here, image_id: Id) -> object:
    """A stored image, with what the active model says of it."""
    return asdict(stored_images.image(here.engine, image_id))


@router.get(
    "/{image_id}/thumbnail",
    response_class=Response,
    responses={
        200: {"description": "A small JPEG.", "content": {"image/jpeg": {}}},
        **problems(404),
    },
)
def thumbnail(here: Here, image_id: Id) -> Response:
    """An image's small JPEG, at most 96x192 pixels."""
    jpeg = thumbnail_of(here.engine, image_id)
    if jpeg is None:
        raise UnknownImage(f"no image {image_id}; it may have been removed")
    return Response(jpeg, media_type="image/jpeg")
