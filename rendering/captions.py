"""The words of a picture, written once for the sheet and for the page.

What stands under a match and what is said of an answer; `frames.py` says what the frames mean.
"""

from dataclasses import dataclass

from rendering.frames import Frame, frame_of
from rendering.pictures import Picture
from search.answer import Answer, Match
from vocabulary import FIELD_BY_NAME, FIELDS


@dataclass(frozen=True)
class Line:
    """A short text; a strong one is bold."""

    text: str
    strong: bool = False


UNDER_A_MATCH = "under a match: rank, distance, camera"

BRIEF = ("gender", "upper_color", "lower_color")

PHRASES = {
    "hair": "{} hair",
    "sleeve": "{} sleeve",
    "lower_length": "{} lower",
    "upper_color": "upper {}",
    "lower_color": "lower {}",
}


@dataclass(frozen=True)
class Attribute:
    """A field with its value; `deciding` where the filter used it."""

    name: str
    value: str
    deciding: bool

    @property
    def phrase(self) -> str:
        """Say an attribute as shortly as possible: "female", "upper red", "long hair", "no hat"."""
        if "yes" in FIELD_BY_NAME[self.name].values:
            return {"yes": self.name, "no": f"no {self.name}"}.get(self.value, self.value)
        return PHRASES.get(self.name, "{}").format(self.value)


@dataclass(frozen=True)
class Caption:
    """What stands under a match. A distance or a camera that is not known is an empty text."""

    rank: str
    distance: str
    camera: str
    frame: Frame
    attributes: tuple[Line, ...]

    @property
    def spoken(self) -> str:
        """The whole caption in words, for those who do not see it."""
        parts = (
            f"rank {self.rank}",
            self.frame.words,
            self.distance and f"distance {self.distance}",
            self.camera and f"camera {self.camera}",
            *(line.text for line in self.attributes),
        )
        return ", ".join(part for part in parts if part)


def caption(picture: Picture, match: Match) -> Caption:
    """The filter's own fields first, then gender and colours until there are three."""
    attributes = ordered_attributes(picture, match)
    decided = [one for one in attributes if one.deciding]
    brief = [one for one in attributes if not one.deciding and one.name in BRIEF]
    shown = decided + brief[: max(0, len(BRIEF) - len(decided))]
    return Caption(
        rank=str(match.rank),
        distance="" if match.distance is None else f"{match.distance:.3f}",
        camera=camera(match.camid),
        frame=frame_of(picture.answer, match),
        attributes=tuple(Line(one.phrase, one.deciding) for one in shown),
    )


def ordered_attributes(picture: Picture, match: Match) -> list[Attribute]:
    """Every attribute that the match has, those that the filter used first."""
    names = dict.fromkeys((*picture.deciding, *(field.name for field in FIELDS)))
    return [
        Attribute(name, match.attributes[name], name in picture.deciding)
        for name in names
        if name in match.attributes
    ]


def camera(camid: int | None) -> str:
    """`"c3"`, or an empty text where it is unknown."""
    return "" if camid is None else f"c{camid}"


def facts(answer: Answer) -> tuple[Line, ...]:
    """How the answer came about: model, limit, filter, complete or why not, candidates."""
    limit = answer.max_distance
    reason = f": {readable(answer.incomplete_reason)}" if answer.incomplete_reason else ""
    order = (Line("re-ranked: not in the order of the distances"),) if answer.rerank else ()
    return (
        *order,
        Line(f"model {readable(answer.model)}"),
        Line("no distance limit" if limit is None else f"max distance {limit:g}"),
        Line(f"filter: {readable(answer.filter)}" if answer.filter else "no filter"),
        Line("complete") if answer.complete else Line(f"not complete{reason}", strong=True),
        Line(counted(answer.candidates, "candidate")),
    )


def no_match(answer: Answer) -> str:
    """What an answer without a match says, true to the limits it had."""
    if answer.max_distance is not None:
        return "no match within the limit"
    return "no match passes the filter" if answer.filter else "no match"


def counted(count: int, noun: str, plural: str = "") -> str:
    """`"1 match"`, `"19,679 candidates"`."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def readable(text: str) -> str:
    """The text with what cannot be printed escaped: controls, text-direction overrides, and the
    surrogates of a name that is no UTF-8."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode()
        for char in text
    )
