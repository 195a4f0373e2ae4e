"""Strips: a query and the head of its list, hits and misses told apart by marks and colour."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO

from PIL import Image, ImageDraw

from evaluation.ranked import HEAD
from evaluation.report.records import Strip, StripSet
from rendering.captions import UNDER_A_MATCH, Caption, Line, camera, counted, readable
from rendering.cells import (
    CELL_WIDTH,
    FRAMED_HEIGHT,
    INK,
    MARK,
    MUTED,
    PAPER,
    match_cell,
    query_cell,
    write_legend,
)
from rendering.frames import OTHER, SAME, UNKNOWN, Frame
from rendering.lettering import LEADING, drawable, write
from rendering.sheet import GAP, MARGIN, QUERY_WIDTH

_EXPLAINED = f"(counted as a miss); {UNDER_A_MATCH}"
_LEGEND_WIDTH = 820  # what the frames mean fits in
Thumbnails = Mapping[int, bytes]


@dataclass(frozen=True)
class ShownMatch:
    """A gallery image of a strip. `hit` is None where nobody knows who it shows: a miss all the
    same, but perhaps not a mistake."""

    rank: int
    distance: float
    camid: int | None
    image_id: int
    hit: bool | None

    @property
    def frame(self) -> Frame:
        return {True: SAME, False: OTHER, None: UNKNOWN}[self.hit]


@dataclass(frozen=True)
class ShownQuery:
    """A query with the head of its list, and the first hit where that comes later."""

    name: str
    camid: int | None
    image_id: int
    average_precision: float
    first_hit: int
    num_hits: int
    matches: Sequence[ShownMatch]

    @property
    def caption(self) -> str:
        to_find = counted(self.num_hits, "image")
        return (
            f"{readable(self.name)}: AP {self.average_precision:.3f}, "
            f"first hit at rank {self.first_hit:,}, {to_find} of this person to find"
        )

    @property
    def spoken(self) -> str:
        """The strip in words, for those who do not see it."""
        ranks = ", ".join(f"{match.rank:,} {match.frame.words}" for match in self.matches)
        return f"query {readable(self.name)} and its matches by rank: {ranks}"


def strip_set(
    file: str, title: str, queries: Sequence[ShownQuery], thumbnails: Thumbnails
) -> StripSet:
    """One strip a query, and all of them below each other under what the frames mean."""
    images = [_strip(query, thumbnails) for query in queries]
    strips = [
        Strip(query.caption, query.spoken, _bytes(image, "JPEG", quality=88))
        for query, image in zip(queries, images, strict=True)
    ]
    return StripSet(file, title, strips, _bytes(_sheet(title, queries, images), "PNG"))


def _strip(query: ShownQuery, thumbnails: Thumbnails) -> Image.Image:
    where = camera(query.camid)
    name = readable(query.name)
    first = query_cell(thumbnails.get(query.image_id), name, where, QUERY_WIDTH - GAP)
    cells = len(query.matches)
    width = QUERY_WIDTH + cells * (CELL_WIDTH + GAP) + GAP * (cells > HEAD)
    strip = Image.new("RGB", (width, first.height), PAPER)
    strip.paste(first, (0, 0))
    draw = ImageDraw.Draw(strip)
    for place, match in enumerate(query.matches):
        late = match.rank > place + 1  # the first hit, after a jump over the ranks between
        left = QUERY_WIDTH + place * (CELL_WIDTH + GAP) + GAP * late
        if late:
            write(draw, (left - GAP, FRAMED_HEIGHT / 2), Line("…", strong=True), MUTED, "mm")
        words = Caption(
            f"{match.rank:,}", f"{match.distance:.3f}", camera(match.camid), match.frame, ()
        )
        strip.paste(match_cell(thumbnails.get(match.image_id), words), (left, 0))
    return strip


def _sheet(title: str, queries: Sequence[ShownQuery], images: Sequence[Image.Image]) -> Image.Image:
    head, line = 2 * MARGIN + LEADING + MARK, LEADING + 6
    height = head + sum(image.height + line + GAP for image in images) + MARGIN
    width = max(_LEGEND_WIDTH, *(image.width for image in images)) + 2 * MARGIN
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    write(draw, (MARGIN, MARGIN), Line(drawable(title), strong=True), INK)
    legend = MARGIN + LEADING + 6
    end = write_legend(sheet, MARGIN, legend)
    write(draw, (end, legend + MARK / 2), Line(_EXPLAINED), MUTED, "lm")
    top = head + 6
    for query, image in zip(queries, images, strict=True):
        write(draw, (MARGIN, top), Line(drawable(query.caption)), INK)
        sheet.paste(image, (MARGIN, top + line))
        top += image.height + line + GAP
    return sheet


def _bytes(image: Image.Image, kind: str, **options: int) -> bytes:
    content = BytesIO()
    image.save(content, format=kind, **options)
    return content.getvalue()
