"""`/image/ID`: a stored thumbnail, by its id and never by a path."""

from fastapi import APIRouter, HTTPException, Response

from gallery.thumbnails import thumbnail
from web.state import Here

router = APIRouter()


@router.get("/image/{image_id:int}")
def image(image_id: int, here: Here) -> Response:
    jpeg = thumbnail(here.engine, image_id)
    if jpeg is None:
        raise HTTPException(404, "no picture of that number")
    return Response(jpeg, media_type="image/jpeg")
