"""A contact sheet: one row a person, one column a camera, so that eyes can judge the drawings."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from drawn.camera import CAMERAS, CROP_SIZE
from drawn.person import Person
from drawn.shot import shoot

PAPER, INK, FAINT = (250, 249, 246), (38, 40, 44), (112, 114, 118)


def contact_sheet(
    people: Sequence[Person],
    *,
    camids: Sequence[int] = tuple(CAMERAS),
    shot: int = 0,
    seed: int = 7,
    scale: int = 2,
    captions: bool = True,
) -> Image.Image:
    """RGB picture of `people` as each of the cameras saw them at its `shot`-th shot.

    Crops are `scale` times 64 x 128, a gap between them; a caption says what the columns say.
    """
    width, height = CROP_SIZE[0] * scale, CROP_SIZE[1] * scale
    gap, margin = 3 * scale, (170 * scale if captions else 0)
    size = (
        gap + margin + len(camids) * (width + gap),
        gap + len(people) * (height + gap),
    )
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    for row, person in enumerate(people):
        top = gap + row * (height + gap)
        for column, camid in enumerate(camids):
            crop = shoot(person, CAMERAS[camid], shot, seed)
            place = (gap + column * (width + gap), top)
            sheet.paste(crop.resize((width, height), Image.Resampling.LANCZOS), place)
        if captions:
            left = gap + len(camids) * (width + gap) + 4 * scale
            _write(draw, (left, top + 4 * scale), person, scale)
    return sheet


def _write(draw: ImageDraw.ImageDraw, place: tuple[int, int], person: Person, scale: int) -> None:
    left, top = place
    draw.text(place, f"{person.pid:04}", FAINT, ImageFont.load_default(9 * scale))
    font = ImageFont.load_default(11 * scale)
    for number, line in enumerate(caption(person)):
        draw.text((left, top + (15 + 15 * number) * scale), line, INK, font)


def caption(person: Person) -> list[str]:
    """Short lines that say what a person's columns say: age and gender, hair, clothes, things."""
    age = ("young", "teenager", "adult", "old")[person.values["age"] - 1]
    upper = next((c[2:] for c in person.values if c.startswith("up") and _worn(person, c)), "")
    lower = next((c[4:] for c in person.values if c.startswith("down") and _worn(person, c)), "")
    lower_type = "pants" if person.has("clothes") else "dress"
    things = [name for name in ("hat", "backpack", "bag", "handbag") if person.has(name)]
    return [
        f"{age} {'female' if person.has('gender') else 'male'}",
        f"{'long' if person.has('hair') else 'short'} hair",
        f"upper {upper or 'unknown'}, {'short' if person.has('up') else 'long'} sleeve",
        f"{lower_type} {lower or 'unknown'}, {'short' if person.has('down') else 'long'}",
        ", ".join(things),
    ]


def _worn(person: Person, column: str) -> bool:
    """Whether `column` is a colour and the person's."""
    return column not in ("up", "down") and person.has(column)
