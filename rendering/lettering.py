"""Text in pixels, with the one font that Pillow brings: nothing depends on the fonts of a machine.

That font has ASCII and little more. An accent is dropped, another script becomes question marks;
the page shows such names as they are.
"""

import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cache

from PIL import ImageDraw, ImageFont

from rendering.captions import Line

SIZE = 13
LEADING = 18
BOLD = 0.45  # the font has no bold: an outline of this many pixels stands for it
BETWEEN = Line("·")

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

PLAIN = str.maketrans({"–": "-", "—": "-", "−": "-", "≤": "<=", "≥": ">=", "×": "x", "ß": "ss"})


@cache
def font() -> Font:
    """The built-in font at the one size that is used."""
    return ImageFont.load_default(size=SIZE)


@cache
def _has_glyph(char: str) -> bool:
    drawn, missing = (font().getmask(one) for one in (char, "\uffff"))
    return drawn.size != missing.size or bytes(drawn) != bytes(missing)


def drawable(text: str) -> str:
    """The text in the letters that the font has."""
    letters = unicodedata.normalize("NFKD", text.translate(PLAIN))
    return "".join(
        char if _has_glyph(char) else "?" for char in letters if not unicodedata.combining(char)
    )


def measure(text: str, *, strong: bool = False) -> float:
    """Width in pixels of a drawable text."""
    return font().getlength(text) + (2 * BOLD if strong else 0)


def shorten(text: str, width: float, *, strong: bool = False) -> str:
    """The text where it fits, else its beginning and its end around an ellipsis."""
    text = drawable(text)
    if measure(text, strong=strong) <= width:
        return text

    def cut(kept: int) -> str:
        return f"{text[: kept - kept // 2]}…{text[len(text) - kept // 2 :]}"

    fitting = bisect_right(
        range(len(text)), width, key=lambda kept: measure(cut(kept), strong=strong)
    )
    return cut(max(0, fitting - 1))


def write(
    draw: ImageDraw.ImageDraw, at: tuple[float, float], line: Line, color: str, anchor: str = "la"
) -> None:
    """Draw a line that is known to fit, already in drawable letters."""
    outline = BOLD if line.strong else 0
    draw.text(at, line.text, fill=color, font=font(), anchor=anchor, stroke_width=outline)


def _words(lines: Sequence[Line], width: int) -> Iterator[Line]:
    for number, line in enumerate(lines):
        if number:
            yield BETWEEN
        for word in line.text.split():
            yield Line(shorten(word, width, strong=line.strong), line.strong)


def flow(lines: Sequence[Line], width: int) -> list[list[Line]]:
    """The words of the lines, a dot between two lines, in rows of at most `width` pixels."""
    rows: list[list[Line]] = []
    used = 0.0
    for word in _words(lines, width):
        length = measure(f"{word.text} ", strong=word.strong)
        if not rows or used + length > width:
            rows.append([])
            used = 0.0
        rows[-1].append(word)
        used += length
    return rows


def write_flow(
    draw: ImageDraw.ImageDraw,
    at: tuple[int, int],
    rows: list[list[Line]],
    color: str,
    strong_color: str,
) -> None:
    """Draw what `flow` arranged."""
    left, top = at
    for number, row in enumerate(rows):
        x = float(left)
        for word in row:
            at_word = (x, top + number * LEADING)
            write(draw, at_word, word, strong_color if word.strong else color)
            x += measure(f"{word.text} ", strong=word.strong)
