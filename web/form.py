"""The search form: what a person asked, as it was typed, and as an address that holds all of it."""

from dataclasses import dataclass, replace
from typing import Any, Self
from urllib.parse import urlencode

from starlette.datastructures import FormData, QueryParams

from actions.search import Asked
from errors import UsageError
from search.question import BadQuestion
from web.facets import ticked_in, with_ticks
from web.paging import page_number

MAX_TEXT = 10_000
MAX_LIMIT = 10**9


class BadForm(UsageError):
    """A field of the form cannot be read."""


@dataclass(frozen=True)
class Form:
    """Texts as they were typed. `upload` is the key of an uploaded image that is kept."""

    collections: tuple[str, ...] = ()
    image_id: str = ""
    upload: str = ""
    where: str = ""
    max_distance: str = ""
    limit: str = ""
    not_same_camera: bool = False
    no_duplicates: bool = False
    purpose: str = ""
    page: int = 1
    ticked: tuple[str, ...] = ()
    ticked_before: tuple[str, ...] = ()

    @classmethod
    def read(cls, sent: QueryParams | FormData) -> Self:
        """From an address or a form; files are not looked at. Raises BadForm."""

        def one(name: str) -> str:
            return _text(name, sent.get(name)).strip()

        def several(name: str) -> tuple[str, ...]:
            return tuple(_text(name, value) for value in sent.getlist(name))

        return cls(
            collections=several("collection"),
            image_id=one("image_id"),
            upload=one("upload"),
            where=one("where"),
            max_distance=one("max_distance"),
            limit=one("limit"),
            not_same_camera=bool(one("not_same_camera")),
            no_duplicates=bool(one("no_duplicates")),
            purpose=one("purpose"),
            page=page_number(one("page")),
            ticked=several("is"),
            ticked_before=several("was"),
        )

    @property
    def asks(self) -> bool:
        """Whether there is anything to look for."""
        return bool(self.image_id or self.upload or self.where)

    def address(self, **changes: Any) -> str:
        """Where this question, or one that differs from it in `changes`, is answered."""
        return f"/search?{urlencode(replace(self, **changes)._fields())}"

    def _fields(self) -> list[tuple[str, str]]:
        fields = [("collection", name) for name in self.collections]
        fields += [
            (name, value)
            for name in ("image_id", "upload", "where", "max_distance", "limit", "purpose")
            if (value := getattr(self, name))
        ]
        fields += [
            (name, "yes") for name in ("not_same_camera", "no_duplicates") if getattr(self, name)
        ]
        return fields + ([("page", str(self.page))] if self.page > 1 else [])

    def merged(self) -> Self:
        """With the boxes that were ticked or cleared written into the filter. Raises BadFilter."""
        where = with_ticks(self.where, self.ticked_before, self.ticked)
        ticked = tuple(sorted(ticked_in(where)))
        return replace(self, where=where, ticked=ticked, ticked_before=ticked)

    def find(self, image_id: int) -> str:
        """Where a gallery image is searched for with these limits. The filter does not go along:
        it is about the person that was looked for, and an attribute may be wrong in one image."""
        changes: dict[str, Any] = {"image_id": str(image_id), "upload": "", "where": "", "page": 1}
        return self.address(**changes, no_duplicates=True) + "#results"

    def asked(self) -> Asked:
        """Raises BadForm, BadQuestion."""
        if not self.collections:
            raise BadForm("choose at least one collection to search in")
        return Asked(
            collections=self.collections,
            where=self.where or None,
            max_distance=self.max_distance or None,
            limit=_limit(self.limit),
            not_same_camera=self.not_same_camera,
            no_duplicates=self.no_duplicates,
        )

    def wanted_image(self) -> int | None:
        """The stored image that is searched for. Raises BadForm."""
        if not self.image_id:
            return None
        if not (self.image_id.isascii() and self.image_id.isdecimal() and len(self.image_id) < 20):
            raise BadForm(f"{self.image_id!r} is no image number; expected one like 1234")
        return int(self.image_id)


def _text(name: str, value: object) -> str:
    text = value if isinstance(value, str) else ""
    if len(text) > MAX_TEXT:
        raise BadForm(f"{name} has {len(text):,} characters; at most {MAX_TEXT:,} are read")
    if "\0" in text:
        raise BadForm(f"{name} holds a character that cannot be stored")
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
