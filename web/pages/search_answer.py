"""A form that was sent, turned into an answer, its counts and its distances."""

import asyncio
from dataclasses import dataclass, replace

from fastapi import Request
from starlette.datastructures import FormData, UploadFile

from errors import ReidError, UsageError
from gallery.sent_images import Upload
from images.decode import UnreadableImage
from images.untrusted import check_picture
from rendering.pictures import Picture, pictures
from search.answering import search as run
from search.facets import counts
from search.filters.errors import BadFilter
from search.query_images import Content
from search.request import SearchRequest
from web.pages.facet_boxes import Facet, by_hand, facets, filter_of
from web.pages.search_form import MAX_IMAGES, BadForm, Form, check_storable
from web.state import State
from web.uploads import MAX_SECONDS, UploadTooSlow, file_name

_MAX_FIELDS = 400


@dataclass(frozen=True)
class SentForm:
    """A form that was sent, and the files in it."""

    fields: FormData
    files: tuple[Upload, ...]


async def posted(request: Request) -> SentForm:
    """Raises UploadTooSlow, BadForm for a text that cannot be stored."""
    try:
        async with (
            asyncio.timeout(MAX_SECONDS),
            request.form(max_files=MAX_IMAGES, max_fields=_MAX_FIELDS) as fields,
        ):
            for name, value in fields.multi_items():
                check_storable(name, value)
            files = []
            for sent in fields.getlist("image"):
                if isinstance(sent, UploadFile):
                    data = await sent.read()
                    if data or sent.filename:
                        files.append(Upload(file_name(sent.filename), data))
            return SentForm(fields, tuple(files))
    except TimeoutError:
        raise UploadTooSlow from None


def with_files(here: State, form: Form, sent: SentForm) -> Form:
    """The form with its files kept: they take the place of the images that were asked for, unless
    they are to be added to them. Raises UnreadableImage, BadForm."""
    if not sent.files:
        return replace(form, page=1)
    for file in sent.files:
        try:
            check_picture(file.data, any_shape=True)
        except UnreadableImage as error:
            raise UnreadableImage(f"{file.name}: {error}") from None
    added = bool(sent.fields.get("add"))
    known = form.uploads if added else ()
    if len(known) + len(sent.files) > MAX_IMAGES:
        raise BadForm(f"at most {MAX_IMAGES} images of one person are taken")
    keys = tuple(here.uploads.keep(file) for file in sent.files)
    numbers = form.image_id if added else ""
    return replace(form, image_id=numbers, uploads=known + keys, set="", query="", page=1)


def request_of(here: State, form: Form) -> SearchRequest:
    """The form's request with its uploaded images. Raises UploadGone, BadForm."""
    files: dict[str, Content] = {}
    for key in form.uploads:
        upload = here.uploads.get(key)
        name, number = upload.name, 1
        while name in files:  # what is pasted is always called alike
            number += 1
            name = f"{upload.name} ({number})"
        files[name] = Content(upload.data, tried=True)  # when it was kept
    return form.request(tuple(files.items()))


def answer(here: State, form: Form) -> Picture:
    """The answer to a form that asks for something; it is in the audit log. Raises what
    `search.answering.search` raises, and UsageError for an image that cannot be used."""
    form.check()
    found = run(here.engine, request_of(here, form), device=here.device, load=here.networks)
    for name, reason in found.failed.items():
        raise UsageError(f"{name}: {reason}")
    return pictures(found)[0]


@dataclass(frozen=True)
class Narrowing:
    """The filter as boxes and as text. `hand` is what no box shows; `wrong` says what cannot be
    read, and then the boxes are those of before."""

    facets: list[Facet]
    hand: str = ""
    wrong: str = ""
    counted: bool = False


def narrowing(here: State, form: Form, *, count: bool) -> Narrowing:
    """Show the filter as boxes; with `count`, say what each would let through, where that is
    known."""
    try:
        filter, hand = filter_of(form.where), by_hand(form.where)
    except BadFilter as error:
        return Narrowing(facets(form.ticked_before), wrong=str(error))
    if not count or not form.collections:
        return Narrowing(facets(form.ticked), hand)
    try:
        counted = counts(here.engine, form.collections, filter)
    except ReidError:  # the answer beside it says what is wrong
        return Narrowing(facets(form.ticked), hand)
    return Narrowing(facets(form.ticked, counted), hand, counted=True)
