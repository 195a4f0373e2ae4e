"""Surfaces of small quads: the clay that bodies, clothes and bags are made of.

Body space: x to the person's left, y up, z forward; the unit is an adult's height, y = 0 the sole.
Shape suffixes: Q quads, R rings, S points around a ring, 3 xyz or RGB, 4 corners.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Paint = Callable[[Array], Array]
Coloring = Sequence[float] | Array | Paint


@dataclass(frozen=True)
class Quads:
    """Corners (Q, 4, 3), outward unit normals (Q, 3) and colours (Q, 3), RGB 0-255."""

    corners_Q43: Array
    normals_Q3: Array
    colors_Q3: Array

    @property
    def centers_Q3(self) -> Array:
        return np.asarray(self.corners_Q43.mean(axis=1))

    def where(self, keep: Callable[[Array], NDArray[np.bool_]]) -> "Quads":
        """Only the quads whose centre is kept."""
        kept = keep(self.centers_Q3)
        return Quads(self.corners_Q43[kept], self.normals_Q3[kept], self.colors_Q3[kept])

    def turned(self, rotation: Array, pivot: Sequence[float] = (0, 0, 0)) -> "Quads":
        """Rotated about `pivot` by a (3, 3) matrix."""
        moved = (self.corners_Q43 - pivot) @ rotation.T + pivot
        return Quads(moved, self.normals_Q3 @ rotation.T, self.colors_Q3)

    def shifted(self, offset: Sequence[float]) -> "Quads":
        return Quads(self.corners_Q43 + np.asarray(offset), self.normals_Q3, self.colors_Q3)


def joined(parts: Sequence[Quads]) -> Quads:
    return Quads(
        np.concatenate([part.corners_Q43 for part in parts]),
        np.concatenate([part.normals_Q3 for part in parts]),
        np.concatenate([part.colors_Q3 for part in parts]),
    )


def rotation(axis: str, degrees: float) -> Array:
    """The matrix (3, 3) that turns about `x`, `y` or `z`, counter-clockwise seen from its tip."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    rows: dict[str, Any] = {
        "x": [[1, 0, 0], [0, cos, -sin], [0, sin, cos]],
        "y": [[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]],
        "z": [[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]],
    }
    return np.array(rows[axis], dtype=np.float64)


def tube(
    path: Sequence[Sequence[float]] | Array,
    widths: Sequence[float] | Array,
    depths: Sequence[float] | Array,
    color: Coloring,
    *,
    around: int = 14,
    squareness: float = 2.0,
) -> Quads:
    """A closed skin over rings along `path` (R, 3), with half axes `widths`, `depths` (R each).

    A ring's width runs as near to x as its plane allows. `squareness` 2 makes ellipses, 5 nearly
    rectangles. `color` is one RGB, or a function from centres (Q, 3) to colours (Q, 3).
    """
    path_R3 = np.asarray(path, dtype=np.float64)
    along_R3 = np.gradient(path_R3, axis=0)
    along_R3 /= np.linalg.norm(along_R3, axis=1, keepdims=True) + 1e-12
    side_R3 = np.array([1.0, 0.0, 0.0]) - along_R3[:, :1] * along_R3
    side_R3 /= np.linalg.norm(side_R3, axis=1, keepdims=True) + 1e-12
    front_R3 = np.cross(side_R3, along_R3)

    angle_S = np.linspace(0, 2 * np.pi, around + 1)
    cos_S, sin_S = np.cos(angle_S), np.sin(angle_S)
    power = 2 / squareness
    x_S, z_S = np.sign(cos_S) * abs(cos_S) ** power, np.sign(sin_S) * abs(sin_S) ** power
    points_RS3 = (
        path_R3[:, None]
        + np.multiply.outer(np.asarray(widths), x_S)[..., None] * side_R3[:, None]
        + np.multiply.outer(np.asarray(depths), z_S)[..., None] * front_R3[:, None]
    )
    caps = np.repeat(path_R3[[0, -1], None], around + 1, axis=1)
    points_RS3 = np.concatenate([caps[:1], points_RS3, caps[1:]])
    inside_R3 = np.concatenate([path_R3[:1], path_R3, path_R3[-1:]])
    return _skin(points_RS3, inside_R3, along_R3, color)


def _skin(points_RS3: Array, inside_R3: Array, along_R3: Array, color: Coloring) -> Quads:
    a, b = points_RS3[:-1, :-1], points_RS3[1:, :-1]
    c, d = points_RS3[1:, 1:], points_RS3[:-1, 1:]
    corners_Q43 = np.stack([a, b, c, d], axis=2).reshape(-1, 4, 3)
    normals_RS3 = np.cross(c - a, d - b)
    outward_RS3 = (a + c) / 2 - ((inside_R3[:-1] + inside_R3[1:]) / 2)[:, None]
    normals_RS3 *= np.where((normals_RS3 * outward_RS3).sum(-1, keepdims=True) < 0, -1, 1)
    normals_RS3[0], normals_RS3[-1] = -along_R3[0], along_R3[-1]
    normals_Q3 = normals_RS3.reshape(-1, 3)
    normals_Q3 = normals_Q3 / (np.linalg.norm(normals_Q3, axis=1, keepdims=True) + 1e-12)
    centers_Q3 = corners_Q43.mean(axis=1)
    if callable(color):
        colors_Q3 = color(centers_Q3)
    else:
        colors_Q3 = np.broadcast_to(np.asarray(color, dtype=np.float64), centers_Q3.shape)
    return Quads(corners_Q43, normals_Q3, np.array(colors_Q3, dtype=np.float64))


def limb(
    joints: Sequence[Sequence[float]] | Array,
    radii: Sequence[float] | Array,
    color: Coloring,
    *,
    steps: int = 5,
    around: int = 10,
) -> Quads:
    """A round tube through joints (R, 3), its radius changing evenly from joint to joint."""
    path_J3 = np.asarray(joints, dtype=np.float64)
    at = np.linspace(0, len(path_J3) - 1, steps * (len(path_J3) - 1) + 1)
    whole = np.arange(len(path_J3))
    path = np.stack([np.interp(at, whole, path_J3[:, axis]) for axis in range(3)], axis=1)
    radius = np.interp(at, whole, radii)
    return tube(path, radius, radius, color, around=around)


def ellipsoid(
    center: Sequence[float],
    half: Sequence[float],
    color: Coloring,
    *,
    rings: int = 9,
    around: int = 16,
) -> Quads:
    """An ellipsoid with half axes `half` (x, y, z)."""
    tilt = np.linspace(-np.pi / 2, np.pi / 2, rings + 2)[1:-1]
    path = np.stack(
        [center[0] + 0 * tilt, center[1] + half[1] * np.sin(tilt), center[2] + 0 * tilt]
    )
    return tube(path.T, half[0] * np.cos(tilt), half[2] * np.cos(tilt), color, around=around)


def box(center: Sequence[float], half: Sequence[float], color: Coloring) -> Quads:
    """A box with rounded edges and half axes `half` (x, y, z)."""
    up = np.array([-1, -0.97, -0.85, -0.4, 0.1, 0.5, 0.8, 0.95, 1.0])
    swell = np.array([0.7, 0.92, 1, 1, 1, 0.99, 0.96, 0.86, 0.6])
    path = np.asarray(center) + np.outer(up, [0, half[1], 0])
    return tube(path, half[0] * swell, half[2] * swell, color, around=20, squareness=3.6)
