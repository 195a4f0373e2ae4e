"""`/search/export` and `/search/upload`: what is taken along, and what was brought."""

from fastapi import APIRouter, HTTPException, Request, Response

from images.decode import decode
from rendering.downloads import KINDS, take
from web.pages.search_answer import answer
from web.pages.search_form import Form
from web.state import Here

router = APIRouter()


@router.get("/search/export")
def export(request: Request, here: Here) -> Response:
    """The answer as a file: `as` is csv, png or html."""
    kind = request.query_params.get("as", "")
    if kind not in KINDS:
        raise HTTPException(404)
    form = Form.read(request.query_params).merged()
    picture = here.answers.get(request.query_params.get("answer", "")) or answer(here, form)
    media_type, content = take(here.engine, picture, kind, form.purpose or None)
    headers = {"Content-Disposition": f'attachment; filename="matches.{kind}"'}
    return Response(content, media_type=media_type, headers=headers)


@router.get("/search/upload/{key}")
def upload(key: str, here: Here) -> Response:
    """A small picture of an uploaded image. Raises UploadGone."""
    thumbnail = decode(here.uploads.get(key).data, any_shape=True).thumbnail
    return Response(thumbnail, media_type="image/jpeg")
