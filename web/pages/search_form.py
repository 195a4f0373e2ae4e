"""The search form: what a person asked, as it was typed, and as an address that holds all of it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self
from urllib.parse import urlencode

from starlette.datastructures import FormData, QueryParams

from errors import UsageError
from search.query_images import Source
from search.question import BadQuestion
from search.request import SearchRequest
from web.addresses import to
from web.pages.facet_boxes import ticked_in, with_ticks
from web.pages.paging import page_number

MAX_TEXT = 10_000
MAX_LIMIT = 10**9
MAX_IMAGES = 12  # of one person

TEXTS = ("image_id", "where", "max_distance", "limit", "purpose", "set", "query")
FLAGS = ("not_same_camera", "no_duplicates", "rerank", "nearest")


class BadForm(UsageError):
    """A field of the form cannot be read."""


@dataclass(frozen=True)
class Form:
    """Texts as they were typed. `uploads` are the keys of uploaded images that are kept; together
    with the numbers in `image_id` they are one person. `set` and `query` name the stored query that
    the question was kept as. What was `_before` is what the controls showed: where a control has
    not moved, the text beside it counts."""

    collections: tuple[str, ...] = ()
    image_id: str = ""
    uploads: tuple[str, ...] = ()
    where: str = ""
    max_distance: str = ""
    limit: str = ""
    not_same_camera: bool = False
    no_duplicates: bool = False
    rerank: bool = False
    nearest: bool = False
    purpose: str = ""
    set: str = ""
    query: str = ""
    page: int = 1
    ticked: tuple[str, ...] = ()
    ticked_before: tuple[str, ...] = ()
    slider: str = ""
    slider_before: str = ""

    @classmethod
    def read(cls, sent: QueryParams | FormData) -> Self:
        """Read an address or a form; files are not looked at. Raises BadForm."""

        def one(name: str) -> str:
            return _text(name, sent.get(name)).strip()

        def several(name: str) -> tuple[str, ...]:
            return tuple(_text(name, value) for value in sent.getlist(name))

        values: dict[str, Any] = {name: one(name) for name in TEXTS}
        values |= {name: bool(one(name)) for name in FLAGS}
        values["image_id"] = ", ".join(filter(None, (v.strip() for v in several("image_id"))))
        return cls(
            **values,
            collections=several("collection"),
            uploads=tuple(dict.fromkeys(filter(None, several("upload")))),
            page=page_number(one("page")),
            ticked=several("is"),
            ticked_before=several("was"),
            slider=one("within"),
            slider_before=one("within_was"),
        )

    @property
    def asks(self) -> bool:
        """Whether there is anything to look for."""
        return bool(self.image_id or self.uploads or self.where)

    @property
    def of_somebody(self) -> bool:
        """Whether an image of the person is given."""
        return bool(self.image_id or self.uploads)

    def address(self, path: str = "/search", **changes: Any) -> str:
        """Return the address of this question, or of one that differs from it in `changes`."""
        return f"{to(path)}?{urlencode(replace(self, **changes)._fields())}"

    def _fields(self) -> list[tuple[str, str]]:
        fields = [("collection", name) for name in self.collections]
        fields += [("upload", key) for key in self.uploads]
        fields += [(name, value) for name in TEXTS if (value := getattr(self, name))]
        fields += [(name, "yes") for name in FLAGS if getattr(self, name)]
        return fields + ([("page", str(self.page))] if self.page > 1 else [])

    def merged(self) -> Self:
        """Write the boxes that were ticked or cleared into the filter, and the slider into
        the distance where it was moved. Raises BadFilter."""
        where = with_ticks(self.where, self.ticked_before, self.ticked)
        ticked = tuple(sorted(ticked_in(where)))
        moved = self.slider != self.slider_before
        return replace(
            self,
            where=where,
            ticked=ticked,
            ticked_before=ticked,
            max_distance=self.slider if moved else self.max_distance,
            slider_before=self.slider,
        )

    def find(self, image_id: int) -> str:
        """Return the address of a search for a gallery image with these limits, without the filter:
        it is about the person that was looked for, and an attribute may be wrong in one image."""
        return (
            self.address(
                image_id=str(image_id),
                uploads=(),
                where="",
                page=1,
                no_duplicates=True,
                nearest=False,
                set="",
                query="",
            )
            + "#results"
        )

    def with_image(self, image_id: int) -> str:
        """Return the address of a search by one more image of this person."""
        numbers = ", ".join(filter(None, (self.image_id, str(image_id))))
        return self._of_others(image_id=numbers)

    def without_image(self, image_id: int) -> str:
        """Return the address of this search without that stored image."""
        numbers = ", ".join(str(other) for other in self.image_ids() if other != image_id)
        return self._of_others(image_id=numbers)

    def without_upload(self, key: str) -> str:
        """Return the address of this search without that uploaded image."""
        return self._of_others(uploads=tuple(other for other in self.uploads if other != key))

    def _of_others(self, **changes: Any) -> str:
        """The same question by other images: it is not the one that was kept."""
        form = replace(self, **changes, set="", query="", page=1)
        if not form.of_somebody:
            form = replace(form, max_distance="", rerank=False)
        if len(form.uploads) + len(form.image_ids()) < 2:
            form = replace(form, nearest=False)
        return form.address()

    def request(self, files: tuple[tuple[str, Source], ...]) -> SearchRequest:
        """The request that the form asks, `files` being its uploads. Raises BadForm."""
        image_ids = self.image_ids()
        if not self.collections:
            raise BadForm("choose at least one collection to search in")
        return SearchRequest(
            collections=self.collections,
            where=self.where or None,
            max_distance=self.max_distance or None,
            limit=_limit(self.limit),
            not_same_camera=self.not_same_camera,
            no_duplicates=self.no_duplicates,
            rerank=self.rerank,
            nearest=self.nearest,
            same_person=len(files) + len(image_ids) > 1,
            purpose=self.purpose or None,
            files=files,
            image_ids=image_ids,
        )

    def image_ids(self) -> tuple[int, ...]:
        """The stored images that are searched for, each once. Raises BadForm."""
        numbers = tuple(dict.fromkeys(filter(None, re.split(r"[,\s]+", self.image_id))))
        if len(numbers) + len(self.uploads) > MAX_IMAGES:
            raise BadForm(f"at most {MAX_IMAGES} images of one person are taken")
        return tuple(_image_number(number) for number in numbers)

    def check(self) -> None:
        """Raises BadForm, BadQuestion, NothingAsked."""
        self.request(tuple((key, b"") for key in self.uploads)).check()


def _image_number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise BadForm(f"{text!r} is no image number; expected one like 1234")
    return int(text)


def stored_numbers(form: Form) -> Sequence[int]:
    """The images that are searched for by number; none where they cannot be read."""
    try:
        return form.image_ids()
    except BadForm:
        return ()


def check_storable(name: str, value: object) -> None:
    """Raises BadForm for the one character that the database cannot keep."""
    if isinstance(value, str) and "\0" in name + value:
        raise BadForm(f"{name.replace(chr(0), '')} holds a character that cannot be stored")


def _text(name: str, value: object) -> str:
    text = value if isinstance(value, str) else ""
    if len(text) > MAX_TEXT:
        raise BadForm(f"{name} has {len(text):,} characters; at most {MAX_TEXT:,} are read")
    check_storable(name, text)
    return text.replace("\r\n", "\n")


def _limit(given: str) -> int | None:
    if not given:
        return None
    try:
        limit = int(given)
    except ValueError:
        raise BadForm(f"the limit is {given!r}; expected a whole number") from None
    if limit > MAX_LIMIT:
        raise BadQuestion(f"--limit is {given}; expected at most {MAX_LIMIT:,}")
    return limit
