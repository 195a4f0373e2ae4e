"""The head: neck, face and ears, the hair that grows on it, and the hat that hides it."""

import numpy as np
from numpy.typing import NDArray

from drawn.body import Build
from drawn.mesh import Array, Quads, ellipsoid, limb, tube
from drawn.palette import Color
from drawn.person import Person


def _head_coordinates(build: Build, centers_Q3: Array) -> tuple[Array, Array, Array]:
    """Across, up and forward of the head's middle, each -1 to 1 on its skin."""
    half_x, half_y, half_z = build.head_half
    return (
        centers_Q3[:, 0] / half_x,
        (centers_Q3[:, 1] - build.head_y) / half_y,
        centers_Q3[:, 2] / half_z,
    )


def _hairy(person: Person, build: Build, centers_Q3: Array) -> NDArray[np.bool_]:
    """Which of the quads (Q, 3) near the head lie behind the hairline."""
    style = person.looks.hair_style
    _, up, forward = _head_coordinates(build, centers_Q3)
    low = {"bob": -0.85, "cropped": -0.25, "bald": -0.3}.get(style, -0.55)
    fringe = 0.55 if style in ("cropped", "full") else 0.42
    hairy = up > np.interp(forward, (-0.25, 0.15, 0.55), (low, (low + fringe) / 2, fringe))
    return np.asarray(hairy & (up < 0.35) if style == "bald" else hairy)


def head(person: Person, build: Build) -> list[Quads]:
    """Neck, ears and face, without hair."""
    looks = person.looks
    skin = np.array(looks.skin, dtype=np.float64)

    def face(centers_Q3: Array) -> Array:
        across, up, forward = _head_coordinates(build, centers_Q3)
        colors_Q3 = np.tile(skin, (len(centers_Q3), 1))
        front = forward > 0.25
        eyes = front & (abs(up - 0.04) < 0.08) & (abs(abs(across) - 0.42) < 0.17)
        brows = front & (abs(up - 0.25) < 0.07) & (abs(abs(across) - 0.42) < 0.26)
        mouth = front & (abs(up + 0.5) < 0.06) & (abs(across) < 0.3)
        colors_Q3[brows] *= 0.8
        colors_Q3[eyes] *= 0.38
        if looks.glasses:
            rims = front & (abs(up - 0.06) < 0.16) & (abs(across) < 0.75) & (abs(across) > 0.12)
            colors_Q3[rims] *= 0.45
        colors_Q3[mouth] *= (0.78, 0.5, 0.5)
        if looks.hair_style == "cropped" and person.values["age"] == 3:
            colors_Q3[front & (up < -0.4) & ~mouth] *= 0.78
        # The scalp too, or skin would show through the thin hair above it.
        colors_Q3[_hairy(person, build, centers_Q3)] = looks.hair
        return colors_Q3

    half_x, half_y, half_z = build.head_half
    tilt = np.linspace(-np.pi / 2, np.pi / 2, 20)[1:-1]
    taper = 1 - 0.2 * np.clip(-np.sin(tilt), 0, 1) ** 1.5
    path = np.stack([0 * tilt, build.head_y + half_y * np.sin(tilt), 0 * tilt], axis=1)
    ring = np.cos(tilt) ** 0.8 * taper
    parts = [tube(path, half_x * ring, half_z * ring, face, around=28)]
    neck = [(0, 0.80, -0.008), (0, build.head_y - 0.4 * half_y, 0)]
    parts.append(limb(neck, (0.034, 0.031), skin * 0.86, steps=3))
    for side in (-1, 1):
        parts.append(
            ellipsoid(
                (side * half_x, build.head_y, -0.006), (0.007, 0.016, 0.01), skin, rings=4, around=8
            )
        )
    return parts


def hair(person: Person, build: Build) -> list[Quads]:
    """What grows on the head; under a hat only what hangs out of it."""
    looks, color = person.looks, person.looks.hair
    half_x, half_y, half_z = build.head_half
    lift = {"cropped": 1.05, "bald": 1.03, "full": 1.12}.get(looks.hair_style, 1.13)
    if person.has("hat"):
        lift = min(lift, 1.05)

    def covered(centers_Q3: Array) -> NDArray[np.bool_]:
        return _hairy(person, build, centers_Q3 / (1, 1, lift))

    center = (0, build.head_y + 0.004, -0.003)
    half = (half_x * lift, half_y * lift, half_z * lift)
    parts = [ellipsoid(center, half, color, rings=14, around=24).where(covered)]
    if looks.hair_style == "bob":
        parts += _falling(build, color, length=0.06, width=1.12)
    elif looks.hair_style == "loose":
        parts += _falling(build, color, length=0.2, width=1.16)
    elif looks.hair_style == "ponytail":
        top = (0, build.head_y + 0.3 * half_y, -half_z * 1.1)
        tail = [top, (0, build.head_y, -half_z * 1.55), (0, 0.80, -half_z * 1.6), (0, 0.74, -0.085)]
        parts.append(limb(tail, (0.016, 0.023, 0.022, 0.008), color))
    return parts


def _falling(build: Build, color: Color, length: float, width: float) -> list[Quads]:
    """Hair that falls behind and beside the face, to `length` below the middle of the head."""
    half_x, half_y, half_z = build.head_half
    end = build.head_y - length
    back = [
        (0, build.head_y + 0.45 * half_y, -0.35 * half_z),
        (0, build.head_y, -0.5 * half_z),
        (0, (build.head_y + end) / 2, -0.62 * half_z - 0.1 * length),
        (0, end, -0.7 * half_z - 0.17 * length),
    ]
    at = np.linspace(0, 3, 13)
    path = np.stack([np.interp(at, range(4), [p[axis] for p in back]) for axis in range(3)], axis=1)
    widths = np.interp(at, range(4), np.array([0.9, 1.0, 1.05, 0.7]) * half_x * width)
    depths = np.interp(at, range(4), np.array([0.6, 0.62, 0.5, 0.25]) * half_z)
    parts = [tube(path, widths, depths, color, around=18)]
    for side in (-1, 1):
        x = side * half_x * width * 0.92
        strand = [
            (x * 0.85, build.head_y + 0.5 * half_y, 0.2 * half_z),
            (x, build.head_y - 0.2 * half_y, 0.2 * half_z),
            (x * 1.02, end + 0.25 * length, 0.25 * half_z),
            (x * 1.0, end, 0.3 * half_z),
        ]
        parts.append(limb(strand, (0.012, 0.015, 0.014, 0.006), color, around=10))
    return parts


def hat(person: Person, build: Build) -> list[Quads]:
    """A cap with a visor, or a sun hat with a brim all round."""
    color = np.array(person.looks.hat, dtype=np.float64)
    half_x, half_y, half_z = build.head_half
    brim_y = build.head_y + 0.36 * half_y
    dome_half = (half_x * 1.17, half_y * 0.82, half_z * 1.14)
    dome = ellipsoid((0, brim_y, 0), dome_half, color, rings=14, around=24)
    parts = [dome.where(lambda centers_Q3: np.asarray(centers_Q3[:, 1] > brim_y - 0.008))]
    if person.looks.hat_style == "sun":
        brim = (half_x * 2.3, 0.007, half_z * 2.2)
        parts.append(ellipsoid((0, brim_y, 0), brim, color * 0.93, rings=3, around=28))
        band = (dome_half[0] * 1.01, 0.012, dome_half[2] * 1.01)
        parts.append(ellipsoid((0, brim_y + 0.012, 0), band, color * 0.5, rings=3, around=24))
    else:
        visor = (half_x * 0.98, 0.007, half_z * 0.95)
        parts.append(
            ellipsoid((0, brim_y - 0.002, half_z * 0.95), visor, color * 0.75, rings=3, around=20)
        )
    return parts
