"""`/search`: the question, and who was found.

The form is posted, for it may carry a file; the answer is the address that holds the whole
question, so that it can be kept, shared and gone back to.
"""

import asyncio
from dataclasses import dataclass, replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse
from starlette.datastructures import FormData, UploadFile

from actions.page import Upload, pictures
from actions.page import search as run
from actions.search import NothingAsked
from actions.status import list_collections, list_models
from errors import UsageError
from images.decode import UnreadableImage, decode
from web.facets import facets
from web.form import BadForm, Form
from web.paging import pages_of
from web.problems import status_of
from web.render import render
from web.state import Here, State
from web.uploads import file_name

router = APIRouter()

MATCHES_A_PAGE = 120
UPLOAD_SECONDS = 60


@dataclass(frozen=True)
class Posted:
    """A form that was sent, and the file in it, if one was chosen."""

    fields: FormData
    file: Upload | None


async def posted(request: Request) -> Posted:
    """Raises BadForm for an upload that takes too long."""
    try:
        async with (
            asyncio.timeout(UPLOAD_SECONDS),
            request.form(max_files=1, max_fields=300) as fields,
        ):
            sent = fields.get("image")
            data = await sent.read() if isinstance(sent, UploadFile) else b""
            chosen = isinstance(sent, UploadFile) and (data or sent.filename)
            name = file_name(sent.filename if isinstance(sent, UploadFile) else None)
            return Posted(fields, Upload(name, data) if chosen else None)
    except TimeoutError:
        raise BadForm(f"the upload took longer than {UPLOAD_SECONDS} s") from None


@router.post("/search")
def ask(request: Request, here: Here, sent: Annotated[Posted, Depends(posted)]) -> Response:
    """Checks what only a form can hold, then sends on to the answer."""
    form = Form()
    try:
        form = Form.read(sent.fields)
        form = _with_query(here, form, sent.file)
        form = form.merged()
        if not form.asks:
            raise NothingAsked
        form.asked()
    except (UsageError, UnreadableImage) as error:
        return _page(request, here, form, str(error), 400)
    return RedirectResponse(form.address() + "#results", 303)


def _with_query(here: State, form: Form, file: Upload | None) -> Form:
    """A file that was chosen wins over a number that was typed, and that over an earlier file."""
    if file is not None:
        try:
            decode(file.data, any_shape=True)
        except UnreadableImage as error:
            raise UnreadableImage(f"{file.name}: {error}") from None
        return replace(form, image_id="", upload=here.uploads.keep(file), page=1)
    return replace(form, upload="" if form.image_id else form.upload, page=1)


@router.get("/search")
def search(request: Request, here: Here) -> Response:
    form = Form()
    try:
        form = Form.read(request.query_params)
        form = form.merged()
        if not form.asks:
            return _page(request, here, form)
        query = form.wanted_image()
        found = run(
            here.engine,
            form.asked(),
            here.uploads.get(form.upload) if query is None and form.upload else query,
            load=here.networks,
            device=here.device,
            purpose=form.purpose or None,
        )
    except UsageError as error:
        return _page(request, here, form, str(error), status_of(error))
    for name, reason in found.failed.items():
        return _page(request, here, form, f"{name}: {reason}", 400)
    return _page(request, here, form, picture=pictures(found)[0])


def _page(
    request: Request,
    here: State,
    form: Form,
    error: str | None = None,
    status: int = 200,
    *,
    picture: Any = None,
) -> Response:
    collections = list_collections(here.engine)
    if not form.collections and not form.asks and not error:
        form = replace(form, collections=tuple(row["name"] for row in collections))
    models = [model for model in list_models(here.engine) if model["active"]]
    total = len(picture.answer.matches) if picture else 0
    return render(
        request,
        "search.html",
        status,
        form=form,
        error=error,
        picture=picture,
        collections=collections,
        facets=facets(form.ticked),
        auto_distance=models[0]["max_distance"] if models else None,
        paging=pages_of(total, MATCHES_A_PAGE, form.page, form.address(page=1) + "&"),
    )
