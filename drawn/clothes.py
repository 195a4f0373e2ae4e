# ruff: noqa: ARG001 - every pattern has one signature, and not each needs all of it
"""What is worn: shirts with their patterns, sleeves, trousers, shorts and skirts."""

from collections.abc import Callable

import numpy as np

from drawn.body import Build
from drawn.mesh import Array, Paint, Quads, limb, tube
from drawn.palette import Color
from drawn.person import Person
from drawn.pose import HIP, KNEE

# The lower edge of a shirt worn over trousers, and of one tucked into a skirt.
LOOSE_HEM, TUCKED_HEM = 0.462, 0.575
SHORT_SKIRT_HEM = 0.33

Pattern = Callable[[Array, Array, Array, Array, Array], None]


def _print(colors_Q3: Array, accent: Array, x: Array, y: Array, z: Array) -> None:
    colors_Q3[(z > 0) & (abs(x) < 0.038) & (abs(y - 0.715) < 0.03)] = accent


def _stripes(colors_Q3: Array, accent: Array, x: Array, y: Array, z: Array) -> None:
    colors_Q3[(y % 0.055) < 0.016] = accent


def _buttons(colors_Q3: Array, accent: Array, x: Array, y: Array, z: Array) -> None:
    colors_Q3[(z > 0) & (abs(x) < 0.007)] *= 0.72
    colors_Q3[(y > 0.822) & (z > -0.01) & (abs(x) < 0.05)] *= 0.8


def _plaid(colors_Q3: Array, accent: Array, x: Array, y: Array, z: Array) -> None:
    colors_Q3[(y % 0.044) < 0.02] = accent
    colors_Q3[(abs(x + z) % 0.044) < 0.018] *= 0.5


def _blocks(colors_Q3: Array, accent: Array, x: Array, y: Array, z: Array) -> None:
    colors_Q3[y > 0.69] = accent
    colors_Q3[abs(y - 0.69) < 0.012] = 240


def _floral(colors_Q3: Array, accent: Array, x: Array, y: Array, z: Array) -> None:
    spots = np.sin(95 * x + 60 * z) * np.sin(88 * y + 1) + 0.6 * np.sin(61 * (x - y) + 2)
    colors_Q3[spots > 0.35] = accent
    colors_Q3[spots < -0.75] = (235, 226, 216)


PATTERNS: dict[str, Pattern] = {
    "print": _print, "stripes": _stripes, "buttons": _buttons, "plaid": _plaid,
    "blocks": _blocks, "floral": _floral,
}  # fmt: skip


def cloth(color: Color, accent: Color, pattern: str, phase: float) -> Paint:
    """A paint of one colour with its pattern, and folds that `phase` moves about."""

    def paint(centers_Q3: Array) -> Array:
        x, y, z = centers_Q3.T
        colors_Q3 = np.tile(np.array(color, dtype=np.float64), (len(centers_Q3), 1))
        if pattern in PATTERNS:
            PATTERNS[pattern](colors_Q3, np.array(accent, dtype=np.float64), x, y, z)
        folds = np.sin(52 * y + 38 * x + phase) + np.sin(31 * y - 47 * (x + z) + 2.3 * phase)
        return np.asarray(colors_Q3 * (1 + 0.045 * folds[:, None]))

    return paint


def upper_paint(person: Person, sleeves: bool = False) -> Paint:
    looks = person.looks
    color, pattern = looks.upper, looks.upper_pattern
    if sleeves and pattern == "sleeves":
        color = looks.upper_accent
    elif sleeves and pattern in ("print", "buttons"):
        pattern = "plain"
    return cloth(color, looks.upper_accent, pattern, looks.fold_phase)


def lower_paint(person: Person) -> Paint:
    looks = person.looks
    pattern = looks.lower_pattern if looks.lower_pattern == "floral" else "plain"
    return cloth(looks.lower, looks.lower_accent, pattern, looks.fold_phase + 7)


def shirt(person: Person, build: Build) -> list[Quads]:
    """The torso's cover, tucked in over a skirt, else down to the hips."""
    tucked = not person.has("clothes")
    y = np.linspace(TUCKED_HEM if tucked else LOOSE_HEM, 0.848, 24)
    width = np.interp(y, build.torso_y, build.torso_width)
    depth = np.interp(y, build.torso_y, build.torso_depth)
    loose = 1.03 if tucked else 1.03 + 0.09 * np.clip((0.63 - y) / 0.1, 0, 1)
    path = np.stack([0 * y, y, 0 * y], axis=1)
    return [tube(path, width * loose, depth * loose**1.5, upper_paint(person), around=32)]


def sleeve(person: Person, build: Build, joints: Array) -> list[Quads]:
    """Short to above the elbow, or long to the wrist, along shoulder, elbow, wrist (3, 3)."""
    scale, paint = build.limb_scale, upper_paint(person, sleeves=True)
    shoulder, elbow, wrist = joints
    joints = np.stack([shoulder * (0.55, 1, 1), shoulder * (0.8, 1, 1), shoulder, elbow])
    joints[:2, 1] += (0.012, 0.006)
    if person.has("up"):
        joints[3] = shoulder + 0.72 * (elbow - shoulder)
        return [limb(joints, (0.014, 0.026, 0.034 * scale, 0.037 * scale), paint)]
    cuff = elbow + 0.92 * (wrist - elbow)
    radii = (0.014, 0.026, 0.034 * scale, 0.032 * scale, 0.025 * scale)
    return [limb(np.stack([*joints, cuff]), radii, paint)]


def under_hem(quads: Quads, hem: float) -> Quads:
    """What shows of `quads` below a hem at height `hem`: cut off there, at first in its shade."""
    shown = quads.where(lambda centers_Q3: np.asarray(centers_Q3[:, 1] < hem + 0.008))
    shade_Q = np.interp(hem - shown.centers_Q3[:, 1], (0.0, 0.045), (0.6, 1.0))
    return Quads(shown.corners_Q43, shown.normals_Q3, shown.colors_Q3 * shade_Q[:, None])


def pelvis(person: Person, build: Build) -> list[Quads]:
    """The seat of trousers and shorts, from the crotch to the waist."""
    y = np.linspace(0.42, 0.56, 9)
    width = np.interp(y, build.torso_y, build.torso_width) * np.interp(
        y, (0.42, 0.48), (0.88, 0.98)
    )
    depth = np.interp(y, build.torso_y, build.torso_depth) * 0.97
    path = np.stack([0 * y, y, 0 * y], axis=1)
    return [tube(path, width, depth, lower_paint(person), around=22)]


def lower_hem(person: Person) -> float:
    """The height at which short clothes of the legs end, for one who stands."""
    if not person.has("clothes"):
        return SHORT_SKIRT_HEM
    return HIP - _shorts_share(person) * (HIP - KNEE)


def _shorts_share(person: Person) -> float:
    """How much of the thigh shorts cover, 0-1."""
    return 0.62 if person.has("gender") else 0.84


def trouser_leg(person: Person, build: Build, joints: Array) -> list[Quads]:
    """A leg of trousers down to the shoe, or of shorts to above the knee."""
    scale, paint = build.limb_scale, lower_paint(person)
    hip, knee, ankle = joints[0], joints[1], joints[2]
    wide = 1.0 if person.has("gender") else 1.12
    steps = 15 if person.looks.lower_pattern == "floral" else 8
    if person.has("down"):
        end = hip + _shorts_share(person) * (knee - hip)
        radii = [0.062 * scale, 0.053 * scale * wide]
        parts = [limb(np.stack([hip, end]), radii, paint, steps=steps, around=18)]
    else:
        cuff = ankle + np.array([0, -0.012, 0])
        radii = [0.062 * scale, 0.043 * scale * wide, 0.033 * wide]
        parts = [limb(np.stack([hip, knee, cuff]), radii, paint, steps=steps, around=18)]
    if person.looks.lower_pattern == "piping":
        outward = float(np.sign(hip[0]))
        for part in parts:
            part.colors_Q3[part.normals_Q3[:, 0] * outward > 0.97] = person.looks.lower_accent
    return parts


def skirt(person: Person, build: Build, legs: list[Array]) -> list[Quads]:
    """A skirt from the waist to above the knee or to the ankles, as wide as the stride needs."""
    hem = SHORT_SKIRT_HEM if person.has("down") else 0.09
    y = np.linspace(hem, 0.605, 18)
    reach = [np.interp(y, leg[2::-1, 1], leg[2::-1, 2]) for leg in legs]
    front, back = np.maximum(*reach), np.minimum(*reach)
    inside = y < HIP
    middle = np.where(inside, (front + back) / 2, 0.0)
    spread = np.where(inside, (front - back) / 2, 0.0)
    flare = np.interp(y, (hem, 0.5, 0.605), (1.32 if hem > 0.2 else 1.25, 1.1, 1.02))
    width = np.interp(np.maximum(y, 0.49), build.torso_y, build.torso_width) * flare
    depth = np.interp(np.maximum(y, 0.49), build.torso_y, build.torso_depth) * flare + spread * 0.8
    path = np.stack([0 * y, y, middle], axis=1)

    plain = lower_paint(person)

    def pleated(centers_Q3: Array) -> Array:
        angle = np.arctan2(centers_Q3[:, 2], centers_Q3[:, 0])
        low = np.clip((0.55 - centers_Q3[:, 1]) / 0.2, 0, 1)
        return np.asarray(plain(centers_Q3) * (1 + 0.1 * low * np.sin(13 * angle))[:, None])

    return [tube(path, width, depth, pleated, around=36)]
