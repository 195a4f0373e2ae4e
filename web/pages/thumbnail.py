"""`/image/ID`: a stored thumbnail, by its id and never by a path."""

import re

from fastapi import APIRouter, HTTPException, Response

from gallery.thumbnails import thumbnail
from web.state import Here

router = APIRouter()


@router.get("/image/{image_id}")
def image(image_id: str, here: Here) -> Response:
    # not the router's own numbers: it fails at one of thousands of digits
    number = int(image_id) if re.fullmatch(r"[0-9]{1,18}", image_id) else 0
    jpeg = thumbnail(here.engine, number)
    if jpeg is None:
        raise HTTPException(404, "no picture of that number")
    return Response(jpeg, media_type="image/jpeg")
