"""A collection's images as they are looked through: by their ids, a piece at a time."""

from dataclasses import dataclass
from urllib.parse import urlencode

from gallery.stored_images import StoredImage
from rendering.captions import BRIEF, Attribute
from search.browse import images_of
from vocabulary import QUALITY_LIMIT
from web.addresses import to
from web.pages.facet_boxes import ticked_in
from web.pages.search_form import Form
from web.render import in_path
from web.state import State

IMAGES_AT_ONCE = 60
MAX_ID = 2**63 - 1


@dataclass(frozen=True)
class GalleryShot:
    """An image with the attributes that stand under it: those that the filter asks for in bold."""

    image: StoredImage
    attributes: tuple[Attribute, ...]

    @property
    def is_junk(self) -> bool:
        """Part of a person, or nobody, by the model's own judgement."""
        return self.image.quality is not None and self.image.quality < QUALITY_LIMIT

    @property
    def brief(self) -> tuple[Attribute, ...]:
        decided = [one for one in self.attributes if one.deciding]
        others = [one for one in self.attributes if one.name in BRIEF and not one.deciding]
        return (*decided, *others[: max(0, len(BRIEF) - len(decided))])


@dataclass(frozen=True)
class Piece:
    """Some images; `more` is the address of those that follow, None at the end."""

    shots: tuple[GalleryShot, ...]
    more: str | None


def piece(here: State, name: str, form: Form, after: int) -> Piece:
    """Raises UnknownCollection, BadFilter."""
    where = form.where or None
    found = images_of(
        here.engine, name, where=where, model=None, after=after, limit=IMAGES_AT_ONCE + 1
    )
    shown = found[:IMAGES_AT_ONCE]
    asked = {box.partition(":")[0] for box in ticked_in(form.where)}
    more = len(found) > len(shown)
    return Piece(
        tuple(_shot(image, asked) for image in shown),
        address(name, form.where, shown[-1].id) if more else None,
    )


def address(name: str, where: str = "", after: int = 0) -> str:
    """Return the address where these images of a collection are shown."""
    fields = {"where": where, "after": str(after) if after else ""}
    asked = urlencode({key: value for key, value in fields.items() if value})
    return to(f"/collections/{in_path(name)}") + (f"?{asked}" if asked else "")


def after_of(given: str | None) -> int:
    """The id that a piece starts after; what is no number is the beginning, and after a number
    larger than any id nothing comes."""
    if not (given and given.isascii() and given.isdecimal()):
        return 0
    # Python reads no number of thousands of digits
    return min(int(given), MAX_ID) if len(given) < 20 else MAX_ID


def _shot(image: StoredImage, asked: set[str]) -> GalleryShot:
    said = image.attributes or {}
    ordered = sorted(said, key=lambda name: name not in asked)
    return GalleryShot(image, tuple(Attribute(name, said[name], name in asked) for name in ordered))
