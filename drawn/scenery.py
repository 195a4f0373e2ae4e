"""Six places as a fixed camera sees them: wide pictures, of which each shot shows a window.

A scene is `SCENE_SIZE` pixels at twice the scale of the final crops; people walk on its lower part.
"""

from collections.abc import Callable
from functools import lru_cache
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from drawn.palette import Color

SCENE_SIZE = (640, 288)
WIDTH, HEIGHT = SCENE_SIZE


def texture(image: Image.Image, rng: Random, grain: int, strength: float) -> Image.Image:
    """The image, its brightness varied by up to `strength` (0-1) in blotches of `grain` pixels."""
    noise = np.random.default_rng(rng.getrandbits(32))
    small = noise.integers(0, 256, (image.height // grain + 2, image.width // grain + 2), np.uint8)
    wide = Image.fromarray(small).resize(image.size, Image.Resampling.BICUBIC)
    factor = 1 + strength * (np.asarray(wide, dtype=np.float64) / 127.5 - 1)
    return Image.fromarray(np.clip(np.asarray(image) * factor[..., None], 0, 255).astype(np.uint8))


def ground(
    image: Image.Image, rng: Random, top: int, color: Color, joint: Color | None, tile: float = 26
) -> Image.Image:
    """Ground from row `top` down; where `joint` is a colour, with tile joints in perspective."""
    floor = Image.new("RGB", (WIDTH, HEIGHT - top), color)
    floor = texture(texture(floor, rng, 40, 0.08), rng, 3, 0.045)
    draw = ImageDraw.Draw(floor)
    if joint:
        vanish = (rng.uniform(0.2, 0.8) * WIDTH, -160)
        for x in np.arange(-WIDTH, 2 * WIDTH, tile):
            draw.line([vanish, (float(x), floor.height)], fill=joint, width=1)
        y, step = 3.0, tile * 0.3
        while y < floor.height:
            draw.line([(0, y), (WIDTH, y)], fill=joint, width=1)
            y, step = y + step, step * 1.13
    image.paste(floor, (0, top))
    return image


def greenery(image: Image.Image, rng: Random, box: tuple[int, int, int, int], color: Color) -> None:
    """Leaves: many small blots of nearby greens in the box (left, top, right, bottom)."""
    draw = ImageDraw.Draw(image)
    left, top, right, bottom = box
    draw.rectangle(box, fill=(color[0] // 2, color[1] // 2, color[2] // 2))
    for _ in range((right - left) * (bottom - top) // 22):
        x, y, size = rng.randint(left, right), rng.randint(top, bottom), rng.randint(2, 5)
        glow = rng.uniform(0.45, 1.25) * (1.15 - 0.5 * (y - top) / (bottom - top))
        r, g, b = (min(255, round(channel * glow)) for channel in color)
        draw.ellipse((x - size, y - size, x + size, y + size * 0.7), fill=(r, g, b))


def bicycle(draw: ImageDraw.ImageDraw, x: float, y: float, size: float, color: Color) -> None:
    """A parked bicycle, its wheels on row `y`, each of radius `size`."""
    rear, front = (x - 1.35 * size, y - size), (x + 1.35 * size, y - size)
    for cx, cy in (rear, front):
        draw.ellipse((cx - size, cy - size, cx + size, cy + size), outline=(28, 28, 30), width=2)
        for dx, dy in ((0.7, 0.7), (0.7, -0.7)):
            ends = [(cx - dx * size, cy - dy * size), (cx + dx * size, cy + dy * size)]
            draw.line(ends, fill=(120, 122, 124), width=1)
    pedal, saddle = (x - 0.1 * size, y - size), (x - 0.45 * size, y - 2.3 * size)
    bar = (x + 1.0 * size, y - 2.4 * size)
    for start, end in ((rear, pedal), (pedal, saddle), (rear, saddle), (saddle, bar), (pedal, bar)):
        draw.line([start, end], fill=color, width=3)
    draw.line([bar, front], fill=color, width=3)
    seat = (saddle[0] - 0.4 * size, saddle[1] - 3, saddle[0] + 0.4 * size, saddle[1])
    draw.rectangle(seat, fill=(24, 24, 26))
    draw.line(
        [(bar[0] - 0.4 * size, bar[1]), (bar[0] + 0.3 * size, bar[1])], fill=(30, 30, 30), width=3
    )


def car(draw: ImageDraw.ImageDraw, x: float, y: float, size: float, color: Color) -> None:
    """A parked car, its wheels on row `y`, `size` pixels high."""
    long = 2.9 * size
    cabin = [(x + 0.55 * size, y - 0.55 * size), (x + 0.95 * size, y - size)]
    cabin += [(x + 2.0 * size, y - size), (x + 2.45 * size, y - 0.55 * size)]
    draw.polygon(cabin, fill=(46, 54, 62))
    draw.line([*cabin], fill=color, width=4)
    draw.rounded_rectangle((x, y - 0.58 * size, x + long, y - 0.12 * size), 7, fill=color)
    for wheel in (0.6, 2.3):
        cx = x + wheel * size
        r = 0.2 * size
        draw.ellipse((cx - r, y - 2 * r, cx + r, y), fill=(20, 20, 22), outline=(150, 150, 150))


def _plaza(image: Image.Image, rng: Random) -> Image.Image:
    image.paste((104, 142, 74), (0, 0, WIDTH, 40))
    image = texture(image, rng, 5, 0.16)
    image = ground(image, rng, 36, (158, 155, 150), (138, 135, 131), 36)
    draw = ImageDraw.Draw(image)
    draw.line([(0, 38), (WIDTH, 38)], fill=(196, 194, 188), width=5)
    colors = ((40, 60, 120), (130, 32, 36), (32, 34, 36), (70, 110, 70), (170, 170, 172))
    for x in range(10, WIDTH, 44):
        place = x + rng.uniform(-12, 12), 76 + rng.uniform(-4, 6)
        bicycle(draw, *place, 15 + rng.uniform(-1, 2), rng.choice(colors))
    return image


def _garden(image: Image.Image, rng: Random) -> Image.Image:
    greenery(image, rng, (0, 0, WIDTH, 62), (74, 112, 52))
    image.paste((112, 150, 70), (0, 62, WIDTH, 118))
    image = texture(image, rng, 4, 0.1)
    draw = ImageDraw.Draw(image)
    for x in range(30, WIDTH, 120):
        trunk = x + rng.randint(-20, 20)
        draw.rectangle((trunk, 0, trunk + 13, 84), fill=(86, 68, 52))
        draw.rectangle((trunk, 0, trunk + 4, 84), fill=(112, 92, 72))
    image = ground(image, rng, 116, (190, 174, 148), (166, 150, 126), 40)
    ImageDraw.Draw(image).line([(0, 117), (WIDTH, 117)], fill=(206, 202, 192), width=6)
    return image


def _shop(image: Image.Image, rng: Random) -> Image.Image:
    image.paste((58, 54, 52), (0, 0, WIDTH, 112))
    draw = ImageDraw.Draw(image)
    for x in range(0, WIDTH, 106):
        draw.rectangle((x + 8, 14, x + 98, 102), fill=(22, 28, 34))
        for _ in range(16):
            left, top = x + rng.randint(10, 84), rng.randint(22, 84)
            warm = rng.choice(((188, 150, 92), (120, 66, 52), (70, 92, 116), (166, 160, 148)))
            draw.rectangle(
                (left, top, left + rng.randint(4, 13), top + rng.randint(6, 17)), fill=warm
            )
        draw.polygon([(x + 20, 14), (x + 44, 14), (x + 24, 102), (x + 8, 102)], fill=(48, 56, 64))
        draw.rectangle(
            (x, 0, x + 106, 13), fill=rng.choice(((120, 34, 34), (30, 66, 92), (92, 84, 50)))
        )
    image = texture(image, rng, 6, 0.1)
    return ground(image, rng, 108, (122, 120, 122), (96, 95, 98), 34)


def _crossing(image: Image.Image, rng: Random) -> Image.Image:
    image.paste((176, 178, 180), (0, 0, WIDTH, 60))
    draw = ImageDraw.Draw(image)
    for x in range(0, WIDTH, 34):
        draw.rectangle((x + 6, 0, x + 26, 26), fill=(110, 124, 138))
    image = ground(image, rng, 44, (112, 112, 114), None)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 44, WIDTH, 54), fill=(172, 170, 164))
    paints = ((210, 210, 212), (40, 42, 48), (128, 28, 32), (70, 90, 120))
    for x in range(-20, WIDTH, 152):
        car(draw, x + rng.uniform(-14, 14), 92, 46, rng.choice(paints))
    for x in range(-60, WIDTH + 60, 74):
        stripe = [(x, 150), (x + 34, 150), (x + 16, HEIGHT), (x - 34, HEIGHT)]
        draw.polygon(stripe, fill=(214, 212, 206))
    return texture(image, rng, 4, 0.06)


def _wall(image: Image.Image, rng: Random) -> Image.Image:
    image.paste((150, 88, 66), (0, 0, WIDTH, 128))
    image = texture(image, rng, 9, 0.14)
    draw = ImageDraw.Draw(image)
    for row, y in enumerate(range(0, 128, 9)):
        draw.line([(0, y), (WIDTH, y)], fill=(178, 140, 118), width=1)
        for x in range(9 * (row % 2), WIDTH, 20):
            draw.line([(x, y), (x, y + 9)], fill=(178, 140, 118), width=1)
    for x in range(60, WIDTH, 210):
        draw.rectangle((x, 6, x + 62, 70), fill=(70, 82, 92), outline=(220, 216, 206), width=4)
        draw.line([(x + 31, 6), (x + 31, 70)], fill=(220, 216, 206), width=4)
    greenery(image, rng, (0, 98, WIDTH, 134), (58, 92, 50))
    return ground(image, rng, 130, (164, 152, 140), (142, 130, 120), 52)


def _track(image: Image.Image, rng: Random) -> Image.Image:
    greenery(image, rng, (0, 0, WIDTH, 34), (70, 100, 66))
    image.paste((150, 66, 54), (0, 34, WIDTH, 84))
    draw = ImageDraw.Draw(image)
    for y in (46, 60, 76):
        draw.line([(0, y), (WIDTH, y)], fill=(226, 216, 206), width=2)
    image = texture(image, rng, 4, 0.07)
    image = ground(image, rng, 84, (138, 142, 140), (122, 126, 124), 46)
    draw = ImageDraw.Draw(image)
    for x in range(0, WIDTH, 21):
        draw.line([(x, 28), (x, 92)], fill=(96, 112, 100), width=1)
    for y in (30, 90):
        draw.line([(0, y), (WIDTH, y)], fill=(96, 112, 100), width=4)
    for x in range(20, WIDTH, 104):
        draw.rectangle((x, 20, x + 5, 96), fill=(84, 100, 90))
    return image


SCENES: dict[str, Callable[[Image.Image, Random], Image.Image]] = {
    "plaza": _plaza, "garden": _garden, "shop": _shop, "crossing": _crossing, "wall": _wall,
    "track": _track,
}  # fmt: skip


@lru_cache(maxsize=16)
def scene(name: str, seed: int) -> Image.Image:
    """The whole place, RGB; a little out of focus, as what stands behind people is."""
    sharp = SCENES[name](Image.new("RGB", SCENE_SIZE), Random(f"{seed}:scene:{name}"))
    return sharp.filter(ImageFilter.GaussianBlur(1.1))
