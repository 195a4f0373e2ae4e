"""The body itself: its measures, and bare arms, legs and shoes."""

from dataclasses import dataclass

import numpy as np

from drawn.mesh import Array, Quads, ellipsoid, limb, tube
from drawn.palette import Color
from drawn.person import Person


@dataclass(frozen=True)
class Build:
    """The measures of a body, in adult heights; `torso_*` run from hem to neck, `R` rings each."""

    torso_y: tuple[float, ...]
    torso_width: tuple[float, ...]
    torso_depth: tuple[float, ...]
    shoulder_x: float
    hip_x: float
    limb_scale: float
    head_half: tuple[float, float, float]
    head_y: float

    def surface_z(self, x: float, y: float) -> float:
        """How far forward the torso's skin is at (x, y), 0 at its silhouette."""
        width = float(np.interp(y, self.torso_y, self.torso_width))
        depth = float(np.interp(y, self.torso_y, self.torso_depth))
        return depth * float(np.sqrt(max(0.0, 1 - (x / width) ** 2)))


TORSO_Y = (0.455, 0.52, 0.61, 0.68, 0.73, 0.78, 0.808, 0.826, 0.842, 0.86)
MALE = (0.086, 0.087, 0.082, 0.091, 0.100, 0.107, 0.098, 0.072, 0.042, 0.034)
FEMALE = (0.095, 0.095, 0.073, 0.078, 0.085, 0.091, 0.084, 0.062, 0.038, 0.030)
MALE_DEPTH = (0.060, 0.063, 0.057, 0.062, 0.066, 0.062, 0.053, 0.044, 0.036, 0.033)
FEMALE_DEPTH = (0.064, 0.067, 0.050, 0.058, 0.069, 0.060, 0.049, 0.040, 0.033, 0.030)


def build_of(person: Person) -> Build:
    """Measures by gender, age and build: a child has a large head, narrow shoulders, no waist."""
    female, young = person.has("gender"), person.values["age"] == 1
    build = person.looks.build
    widths = np.array(FEMALE if female else MALE) * build
    depths = np.array(FEMALE_DEPTH if female else MALE_DEPTH) * build**1.4
    head = np.array([0.049, 0.071, 0.058]) * (0.96 if female else 1.0)
    if young:
        widths[5:7] *= 0.93
        head *= 1.38
    widths[-1], depths[-1] = widths[-1] / build, depths[-1] / build
    return Build(
        torso_y=TORSO_Y,
        torso_width=tuple(widths),
        torso_depth=tuple(depths),
        shoulder_x=float(widths[5]) * 1.08,
        hip_x=0.047 * build,
        limb_scale=build * (0.9 if female else 1.0),
        head_half=(float(head[0]), float(head[1]), float(head[2])),
        head_y=0.862 + float(head[1]) * 0.98,
    )


def bare_arm(build: Build, joints: Array, skin: Color) -> list[Quads]:
    """Upper arm, forearm and hand along shoulder, elbow and wrist (3, 3)."""
    scale = build.limb_scale
    radii = (0.031 * scale, 0.025 * scale, 0.0175 * scale**0.5)
    along = joints[2] - joints[1]
    hand = joints[2] + along / np.linalg.norm(along) * 0.026
    # The sleeve covers the shoulder; skin there would show through it.
    bare = np.stack([joints[0] + 0.45 * (joints[1] - joints[0]), joints[1], joints[2]])
    return [
        limb(bare, radii, skin, steps=5),
        ellipsoid(hand, (0.016, 0.03, 0.02), skin, rings=5, around=8),
    ]


def bare_leg(build: Build, joints: Array, skin: Color) -> list[Quads]:
    """Thigh, knee, calf and ankle along hip, knee, ankle, toe (4, 3)."""
    hip, knee, ankle = joints[0], joints[1], joints[2]
    calf = knee + 0.33 * (ankle - knee) - np.array([0, 0, 0.006])
    scale = build.limb_scale
    radii = (0.054 * scale, 0.034 * scale, 0.036 * scale, 0.019 * scale**0.5)
    return [limb(np.stack([hip, knee, calf, ankle]), radii, skin, steps=5)]


def shoe(joints: Array, color: Color) -> list[Quads]:
    """A shoe from the heel behind the ankle to the toe of `joints` (4, 3)."""
    ankle, toe = joints[2], joints[3]
    ahead = (toe - ankle) / np.linalg.norm(toe - ankle)
    down = np.array([0.0, -0.024, 0.0])
    path = np.stack(
        [ankle + down + ahead * reach for reach in (-0.03, -0.02, 0.01, 0.05, 0.085, 0.1)]
    )
    widths = (0.012, 0.021, 0.024, 0.028, 0.024, 0.01)
    heights = (0.014, 0.022, 0.026, 0.022, 0.016, 0.008)
    return [tube(path, widths, heights, color, around=12)]
