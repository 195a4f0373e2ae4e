"""What the search page's templates are given."""

from dataclasses import dataclass, replace
from typing import Any

from errors import UsageError
from gallery.models import calibrated
from gallery.status import list_collections
from gallery.thumbnails import some_images
from query_sets.review import verdicts_on
from rendering.pictures import Picture
from search.answer import Match
from web.addresses import to
from web.pages.paging import Paging, pages_of
from web.pages.search_answer import Narrowing
from web.pages.search_form import Form, stored_numbers
from web.state import State

MATCHES_A_PAGE = 120
SOME = 27  # images to begin with


@dataclass(frozen=True)
class QueryImage:
    """One of the images of the person: where its picture is, what it is called, and where the
    person is searched for without it."""

    source: str
    name: str
    without: str


def images_of(form: Form) -> list[QueryImage]:
    stored = [
        QueryImage(to(f"/image/{number}"), f"image {number}", form.without_image(number))
        for number in stored_numbers(form)
    ]
    sent = [
        QueryImage(to(f"/search/upload/{key}"), "uploaded image", form.without_upload(key))
        for key in form.uploads
    ]
    return [*stored, *sent]


@dataclass(frozen=True)
class AnswerPage:
    """A page of an answer. `more` is where the following one comes from as a part of this one, None
    at the end; `verdicts` are those on the matches, by image id."""

    picture: Picture
    matches: tuple[Match, ...]
    paging: Paging
    more: str | None
    key: str
    verdicts: dict[int, str]


def page_of(here: State, form: Form, picture: Picture, key: str = "") -> AnswerPage:
    """The form's page of an answer; the whole of it is kept where that is not all."""
    total = len(picture.answer.matches)
    paging = pages_of(total, MATCHES_A_PAGE, form.page, form.address(page=1) + "&")
    matches = picture.answer.matches[paging.first - 1 : paging.last] if paging.first else ()
    key = key or here.answers.keep(picture)
    following = form.address("/search/more", page=form.page + 1)
    return AnswerPage(
        picture=picture,
        matches=matches,
        paging=paging,
        more=f"{following}&answer={key}" if paging.next else None,
        key=key,
        verdicts=_verdicts(here, form, [match.image_id for match in matches]),
    )


def _verdicts(here: State, form: Form, ids: list[int]) -> dict[int, str]:
    """Read the verdicts; none where the stored query that the form speaks of was removed."""
    if not (form.set and form.query):
        return {}
    try:
        return verdicts_on(here.engine, form.set, form.query, ids)
    except UsageError:
        return {}


def values(
    here: State, form: Form, narrowed: Narrowing, picture: Picture | None, error: str | None
) -> dict[str, Any]:
    """Collect the values of `search.html`, and of the parts of it that change."""
    collections = list_collections(here.engine)
    if not form.collections and not form.asks and not error:
        form = replace(form, collections=tuple(row["name"] for row in collections))
    nobody = picture is None and not error
    return {
        "form": form,
        "error": error,
        "some": some_images(here.engine, form.collections, SOME) if nobody else [],
        "shown": None if picture is None else page_of(here, form, picture),
        "images": images_of(form),
        "collections": collections,
        "narrowed": narrowed,
        "auto_distance": calibrated(here.engine),
        "cause": "",
    }
