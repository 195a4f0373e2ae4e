"""Ranked matches as one picture: a row a query, made to be looked at, sent and printed."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageDraw

from files import write_whole
from rendering.captions import (
    UNDER_A_MATCH,
    Line,
    camera,
    caption,
    counted,
    facts,
    no_match,
    readable,
)
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
from rendering.lettering import LEADING, flow, write, write_flow
from rendering.pictures import Picture

MARGIN, GAP = 20, 12
QUERY_WIDTH = 176
BAND, RULE = "#f6f8fa", "#d1d9e0"
WARN = "#953800"  # something is left out: an answer that is not complete, a list that is cut
FEWEST_CELLS = 6  # a sheet is never narrower: the header needs the room


def contact_sheet(
    pictures: Sequence[Picture], *, max_matches: int = 10, max_queries: int = 40
) -> Image.Image:
    """A row for each query with its first matches; what is cut is counted in the sheet.

    Equal input gives equal pixels. ValueError where a maximum is below 1.
    """
    if max_matches < 1 or max_queries < 1:
        raise ValueError("expected max_matches and max_queries from 1")
    shown = pictures[:max_queries]
    cells = max([FEWEST_CELLS, *(min(max_matches, len(p.answer.matches)) for p in shown)])
    width = 2 * MARGIN + QUERY_WIDTH + GAP + cells * (CELL_WIDTH + GAP)
    common = [fact for fact in _facts(shown[:1]) if all(fact in _facts([p]) for p in shown)]
    parts = [_header(pictures, len(shown), common, width)]
    parts += [_row(picture, max_matches, common, width) for picture in shown]
    return _stack(parts, width)


def write_sheet(
    path: str | Path, pictures: Sequence[Picture], *, max_matches: int = 10, max_queries: int = 40
) -> None:
    """The contact sheet as a PNG file. CannotWrite where that is not possible."""
    sheet = contact_sheet(pictures, max_matches=max_matches, max_queries=max_queries)
    content = BytesIO()
    sheet.save(content, format="PNG")
    write_whole(path, content.getvalue())


def _facts(pictures: Sequence[Picture]) -> list[Line]:
    return [fact for picture in pictures for fact in facts(picture.answer)]


def _stack(parts: Sequence[Image.Image], width: int) -> Image.Image:
    sheet = Image.new("RGB", (width, sum(part.height for part in parts)), PAPER)
    top = 0
    for part in parts:
        sheet.paste(part, (0, top))
        top += part.height
    return sheet


def _header(
    pictures: Sequence[Picture], num_shown: int, common: Sequence[Line], width: int
) -> Image.Image:
    """What all answers have in common, how many queries there are, what the frames mean."""
    queries = counted(len(pictures), "query", "queries")
    cut = num_shown < len(pictures)
    first = Line(f"{num_shown:,} of {queries} shown", strong=True) if cut else Line(queries)
    rows = flow([first, *common], width - 2 * MARGIN)
    top = 16 + len(rows) * LEADING + 8
    header = Image.new("RGB", (width, top + MARK + 14), BAND)
    draw = ImageDraw.Draw(header)
    write_flow(draw, (MARGIN, 16), rows, INK, WARN)
    end = write_legend(header, MARGIN, top)
    write(draw, (end, top + MARK / 2), Line(UNDER_A_MATCH), MUTED, "lm")
    return header


def _row(picture: Picture, max_matches: int, common: Sequence[Line], width: int) -> Image.Image:
    """The query on the left, its matches from the first, and what is only this answer's."""
    answer = picture.answer
    own = [fact for fact in facts(answer) if fact not in common]
    said = flow([_count(picture, max_matches), *own], width - 2 * MARGIN)
    name, where = readable(answer.query), camera(answer.query_camid)
    query = query_cell(picture.query_thumbnail, name, where, QUERY_WIDTH - GAP)
    matches = [
        match_cell(picture.thumbnails.get(match.image_id), caption(picture, match))
        for match in answer.matches[:max_matches]
    ]
    top = 14 + len(said) * LEADING + 6
    foot = top + max(cell.height for cell in (query, *matches))
    row = Image.new("RGB", (width, foot + 10), PAPER)
    draw = ImageDraw.Draw(row)
    draw.line((0, 0, width, 0), RULE)
    write_flow(draw, (MARGIN, 14), said, INK, WARN)
    row.paste(query, (MARGIN, top))
    left = MARGIN + QUERY_WIDTH
    draw.line((left - GAP // 2, top, left - GAP // 2, foot - 2), RULE, 2)
    for number, cell in enumerate(matches):
        row.paste(cell, (left + GAP + number * (CELL_WIDTH + GAP), top))
    if not matches:
        middle = top + FRAMED_HEIGHT / 2
        write(draw, (left + GAP, middle), Line(no_match(answer), strong=True), INK, "lm")
    return row


def _count(picture: Picture, max_matches: int) -> Line:
    """`"12 of 87 matches shown"` where some are cut, else how many there are."""
    total = len(picture.answer.matches)
    matches = counted(total, "match", "matches")
    if total > max_matches:
        return Line(f"{max_matches:,} of {matches} shown", strong=True)
    return Line(matches)
