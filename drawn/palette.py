"""Named colours as clothes really have them: a base RGB for each word, and shades around it."""

import colorsys
from random import Random

from vocabulary import LOWER_COLORS, UPPER_COLORS

Color = tuple[int, int, int]

UPPER: dict[str, Color] = {
    "black": (30, 30, 34),
    "white": (232, 232, 230),
    "red": (196, 30, 38),
    "purple": (104, 44, 138),
    "yellow": (236, 204, 44),
    "gray": (132, 134, 137),
    "blue": (40, 88, 182),
    "green": (40, 150, 76),
}
LOWER: dict[str, Color] = {
    "black": (28, 28, 32),
    "white": (226, 225, 220),
    "pink": (232, 134, 164),
    "purple": (100, 52, 128),
    "yellow": (226, 192, 60),
    "gray": (124, 126, 130),
    "blue": (48, 76, 138),
    "green": (64, 112, 62),
    "brown": (128, 86, 50),
}
# Colours that no column has a word for: whoever wears one has "unknown" in every colour column.
NAMELESS_UPPER: tuple[Color, ...] = ((236, 122, 28), (238, 148, 172), (150, 104, 70))
NAMELESS_LOWER: tuple[Color, ...] = ((178, 36, 42), (222, 120, 40))

SKIN: tuple[Color, ...] = (
    (238, 200, 172), (226, 182, 150), (212, 164, 130), (186, 134, 100), (136, 92, 66), (98, 66, 48),
)  # fmt: skip
HAIR: tuple[Color, ...] = (
    (24, 20, 20), (34, 26, 24), (52, 36, 28), (84, 54, 34), (122, 72, 40), (178, 138, 82),
)  # fmt: skip
OLD_HAIR: tuple[Color, ...] = ((206, 206, 206), (176, 176, 178), (226, 224, 220))
SHOES: tuple[Color, ...] = (
    (30, 30, 32), (236, 236, 236), (110, 70, 44), (176, 38, 42), (52, 84, 160), (150, 152, 156),
    (226, 90, 60), (70, 170, 110),
)  # fmt: skip
THINGS: tuple[Color, ...] = (
    (32, 32, 38), (44, 56, 92), (150, 40, 44), (126, 84, 52), (202, 186, 156), (56, 104, 74),
    (220, 118, 40), (212, 70, 120), (70, 140, 190), (120, 122, 128),
)  # fmt: skip

assert tuple(UPPER) == UPPER_COLORS and tuple(LOWER) == LOWER_COLORS


def shade_of(color: Color, rng: Random, spread: float = 1.0) -> Color:
    """A neighbour of `color`, each channel 0-255; `spread` 1 stays within the colour's own word."""
    hue, light, saturation = colorsys.rgb_to_hls(*(channel / 255 for channel in color))
    hue += rng.uniform(-0.018, 0.018) * spread
    light *= 1 + rng.uniform(-0.16, 0.12) * spread
    saturation *= 1 + rng.uniform(-0.2, 0.1) * spread
    return scaled(colorsys.hls_to_rgb(hue % 1, min(light, 0.94), min(saturation, 1)), 255)


def scaled(channels: tuple[float, float, float], factor: float) -> Color:
    """The colour times `factor`, rounded and kept in 0-255."""
    r, g, b = (min(255, max(0, round(channel * factor))) for channel in channels)
    return r, g, b
