"""What is carried: backpack, shoulder bag, handbag, each with its straps."""

import numpy as np

from drawn.body import Build
from drawn.mesh import Array, Paint, Quads, box, limb, tube
from drawn.palette import Color
from drawn.person import Person


def _leather(color: Color, seam_y: float) -> Paint:
    """One colour with a darker seam at `seam_y` and a lighter pocket below it."""

    def paint(centers_Q3: Array) -> Array:
        colors_Q3 = np.tile(np.array(color, dtype=np.float64), (len(centers_Q3), 1))
        below = seam_y - centers_Q3[:, 1]
        colors_Q3[abs(below) < 0.008] *= 0.55
        colors_Q3[below > 0.008] = colors_Q3[below > 0.008] * 1.08 + 8
        return colors_Q3

    return paint


def _strap(points: list[tuple[float, float, float]], color: Color, width: float) -> Quads:
    """A flat band through the points, over the cloth."""
    path_J3 = np.array(points)
    at = np.linspace(0, len(points) - 1, 6 * (len(points) - 1) + 1)
    whole = np.arange(len(points))
    path = np.stack([np.interp(at, whole, path_J3[:, axis]) for axis in range(3)], axis=1)
    thin = np.full(len(path), 0.006)
    return tube(path, np.full(len(path), width), thin, color, around=8)


def backpack(person: Person, build: Build) -> list[Quads]:
    """The pack on the back and its two straps over the shoulders."""
    color = person.looks.backpack
    depth = build.surface_z(0, 0.7)
    parts = [box((0, 0.69, -depth - 0.045), (0.082, 0.125, 0.055), _leather(color, 0.66))]
    dark = (round(color[0] * 0.7), round(color[1] * 0.7), round(color[2] * 0.7))
    for side in (-1, 1):
        over = [(0.06, y, build.surface_z(0.06, y) + 0.008) for y in (0.805, 0.77, 0.73, 0.69)]
        points = [(0.055, 0.79, -0.06), (0.057, 0.835, -0.03), (0.058, 0.838, 0.02), *over]
        points.append((0.078, 0.64, build.surface_z(0.078, 0.64) + 0.006))
        parts.append(_strap([(side * x, y, z) for x, y, z in points], dark, 0.0135))
    return parts


def bag(person: Person, build: Build) -> list[Quads]:
    """A bag at the hip with its strap across the chest, or a tote hung from one shoulder."""
    color, side = person.looks.bag, 1 if person.looks.left_handed else -1
    dark = (round(color[0] * 0.75), round(color[1] * 0.75), round(color[2] * 0.75))
    hip = float(np.interp(0.52, build.torso_y, build.torso_width))
    if person.looks.bag_style == "tote":
        x = build.shoulder_x
        center = (side * (hip + 0.055), 0.585, -0.025)
        parts = [box(center, (0.034, 0.085, 0.085), _leather(color, 0.64))]
        for reach in (-0.055, 0.03):
            points = [(x * 0.82, 0.832, 0.0), (x * 1.06, 0.8, reach), (hip + 0.055, 0.65, reach)]
            parts.append(_strap([(side * px, y, z) for px, y, z in points], dark, 0.008))
        return parts
    center = (side * (hip + 0.03), 0.5, 0.03)
    parts = [box(center, (0.042, 0.062, 0.068), _leather(color, 0.51))]
    for face in (1, -1):
        line = [(x, y) for x, y in zip(np.linspace(-0.06, hip * 0.9, 8), _falling_y(), strict=True)]
        points = [(-0.06, 0.838, 0.0)]
        points += [(x, y, face * (build.surface_z(x, y) * 1.05 + 0.006)) for x, y in line]
        parts.append(_strap([(side * x, y, z) for x, y, z in points], dark, 0.0125))
    return parts


def _falling_y() -> list[float]:
    return [float(y) for y in np.linspace(0.82, 0.535, 8)]


def handbag(person: Person, wrist: Array) -> list[Quads]:
    """A bag held by its handles, its top a little below the hand at `wrist` (3)."""
    color = person.looks.handbag
    x, y, z = (float(value) for value in wrist)
    y -= 0.045
    parts = [box((x, y - 0.1, z), (0.038, 0.062, 0.075), _leather(color, y - 0.06))]
    for reach in (-0.035, 0.035):
        loop = [(x, y, z), (x, y - 0.02, z + reach * 0.8), (x, y - 0.05, z + reach)]
        parts.append(limb(loop, (0.005, 0.005, 0.005), color, steps=3, around=6))
    return parts
