"""One cell of a sheet: a crop in its frame, and the words under it."""

from collections.abc import Sequence
from io import BytesIO

from PIL import Image, ImageDraw

from rendering.captions import Caption, Line
from rendering.frames import FRAMES, OTHER, SAME, Frame
from rendering.lettering import LEADING, measure, shorten, write

CROP_WIDTH, CROP_HEIGHT = 96, 192  # 64 x 128, scaled by 1.5
BORDER = 4
CELL_WIDTH, FRAMED_HEIGHT = CROP_WIDTH + 2 * BORDER, CROP_HEIGHT + 2 * BORDER
MARK = 22

PAPER, INK, MUTED, EMPTY = "#ffffff", "#1f2328", "#59636e", "#eaeef2"


def match_cell(jpeg: bytes | None, words: Caption) -> Image.Image:
    """A match: its crop in a frame with a mark, rank, distance, camera, attributes."""
    cell = Image.new("RGB", (CELL_WIDTH, cell_height(len(words.attributes) + 1)), PAPER)
    cell.paste(framed(jpeg, words.frame.color), (0, 0))
    mark = mark_of(words.frame)
    if mark is not None:
        cell.paste(mark, (CELL_WIDTH - MARK, 0))
    draw, top = ImageDraw.Draw(cell), FRAMED_HEIGHT + 4
    write(draw, (1, top), Line(words.rank, strong=True), INK)
    write(draw, (CELL_WIDTH / 2, top), Line(words.distance), INK, "ma")
    write(draw, (CELL_WIDTH - 1, top), Line(words.camera), MUTED, "ra")
    write_lines(draw, top + LEADING, words.attributes, CELL_WIDTH)
    return cell


def query_cell(jpeg: bytes | None, name: str, camera: str, width: int) -> Image.Image:
    """A query: its crop in a plain frame, the word "query", name and camera."""
    lines = [Line("query", strong=True), Line(name), Line(camera)]
    cell = Image.new("RGB", (width, cell_height(len(lines))), PAPER)
    cell.paste(framed(jpeg, INK), (0, 0))
    write_lines(ImageDraw.Draw(cell), FRAMED_HEIGHT + 4, lines, width)
    return cell


def cell_height(num_lines: int) -> int:
    """Pixels from the top of the frame to the foot of the last line."""
    return FRAMED_HEIGHT + 4 + num_lines * LEADING


def write_lines(draw: ImageDraw.ImageDraw, top: int, lines: Sequence[Line], width: int) -> None:
    """Lines below each other, each shortened to the cell."""
    for number, line in enumerate(lines):
        text = shorten(line.text, width - 2, strong=line.strong)
        color = INK if line.strong else MUTED
        write(draw, (1, top + number * LEADING), Line(text, line.strong), color)


def framed(jpeg: bytes | None, color: str) -> Image.Image:
    """The crop, centred in its frame, with its own proportions."""
    canvas = Image.new("RGB", (CELL_WIDTH, FRAMED_HEIGHT), color)
    inside = (BORDER, BORDER, BORDER + CROP_WIDTH, BORDER + CROP_HEIGHT)
    canvas.paste(EMPTY, inside)
    crop = None if jpeg is None else _decode(jpeg)
    if crop is None:
        middle = (CELL_WIDTH / 2, FRAMED_HEIGHT / 2)
        write(ImageDraw.Draw(canvas), middle, Line("no picture"), MUTED, "mm")
        return canvas
    scale = min(CROP_WIDTH / crop.width, CROP_HEIGHT / crop.height)
    size = (max(1, round(crop.width * scale)), max(1, round(crop.height * scale)))
    left = BORDER + (CROP_WIDTH - size[0]) // 2
    top = BORDER + (CROP_HEIGHT - size[1]) // 2
    canvas.paste(crop.resize(size, Image.Resampling.LANCZOS), (left, top))
    return canvas


def _decode(jpeg: bytes) -> Image.Image | None:
    """The pixels; None where the bytes are no whole JPEG, so that one bad row spoils no sheet."""
    try:
        return Image.open(BytesIO(jpeg), formats=["JPEG"]).convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


def mark_of(frame: Frame) -> Image.Image | None:
    """A white tick or cross on the frame's colour; None where nothing is known."""
    strokes = {
        SAME: [[(5, 12), (9, 16), (17, 6)]],
        OTHER: [[(6, 6), (16, 16)], [(16, 6), (6, 16)]],
    }.get(frame)
    if strokes is None:
        return None
    fine = 4  # drawn large, then scaled down: Pillow's lines have steps
    mark = Image.new("RGB", (MARK * fine, MARK * fine), frame.color)
    draw = ImageDraw.Draw(mark)
    for stroke in strokes:
        points = [(x * fine, y * fine) for x, y in stroke]
        draw.line(points, fill=PAPER, width=3 * fine, joint="curve")
    return mark.resize((MARK, MARK), Image.Resampling.LANCZOS)


def write_legend(canvas: Image.Image, left: int, top: int) -> int:
    """What the frames mean, in one line; gives where the next words may begin."""
    draw = ImageDraw.Draw(canvas)
    for frame in FRAMES:
        draw.rectangle((left, top, left + MARK - 1, top + MARK - 1), PAPER, frame.color, BORDER)
        mark = mark_of(frame)
        if mark is not None:
            canvas.paste(mark, (left, top))
        write(draw, (left + MARK + 8, top + MARK / 2), Line(frame.words), MUTED, "lm")
        left += MARK + 8 + round(measure(frame.words)) + 24
    return left
