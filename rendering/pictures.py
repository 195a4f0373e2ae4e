"""What a sheet and a page are made of: an answer and the small JPEGs that belong to it."""

from collections.abc import Mapping
from dataclasses import dataclass

from errors import did_you_mean
from search.answer import Answer
from search.answering import Answers, deciding_fields
from vocabulary import FIELD_BY_NAME


@dataclass(frozen=True)
class Picture:
    """One query with its ranked matches.

    `query_thumbnail` is None where there is none: a search by filter alone, or an erased image.
    `thumbnails` holds JPEG bytes by image_id and may lack some. `deciding` names the attribute
    fields that the filter used, `("gender", "upper_color")`: they stand first, in bold.
    """

    answer: Answer
    query_thumbnail: bytes | None
    thumbnails: Mapping[int, bytes]
    deciding: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in self.deciding:
            if name not in FIELD_BY_NAME:
                hint = did_you_mean(name, list(FIELD_BY_NAME))
                raise ValueError(f"no attribute field {name!r}{hint}")


def pictures(found: Answers) -> list[Picture]:
    """The answers, ready for captions; the page fetches each thumbnail by its id."""
    deciding = deciding_fields(found.question)
    return [
        Picture(answer, thumbnail, {}, deciding)
        for answer, thumbnail in zip(found.answers, found.thumbnails, strict=True)
    ]
