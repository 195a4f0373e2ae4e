"""From a person and a pose to a picture: the quads of body and clothes, lit, sorted and painted."""

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw

from drawn import body, carried, clothes, head
from drawn.mesh import Array, Quads, joined, rotation
from drawn.person import Person
from drawn.pose import HIP, Pose, arm_joints, leg_joints

SUPERSAMPLE = 2
# Boxes of any shape are resized to 1:2, so people in real crops look a little broad.
BROADENING = 1.14


@dataclass(frozen=True)
class Light:
    """Where light comes from in camera space (x right, y up, z to the camera), and how much.

    `sun` is the strength of the direct light, `sky` that from all around; they add up to about 1.
    """

    direction: tuple[float, float, float] = (-0.5, 0.75, 0.6)
    sun: float = 0.6
    sky: float = 0.62


@dataclass(frozen=True)
class Placement:
    """Where the figure stands on its canvas, in canvas pixels; `height` is an adult's height.

    `pitch` is how steeply the camera looks down, in degrees.
    """

    size: tuple[int, int] = (64, 128)
    feet: tuple[float, float] = (32.0, 121.0)
    height: float = 112.0
    pitch: float = 9.0


def assemble(person: Person, pose: Pose) -> Quads:
    """All quads of a dressed person in body space, the lowest sole at y = 0."""
    build, looks = body.build_of(person), person.looks
    if not person.has("clothes") and not person.has("down"):
        pose = replace(pose, stride=min(pose.stride, 0.4))  # a long skirt shortens the step
    legs = [leg_joints(pose, side, build.hip_x) for side in (-1, 1)]
    arms = [arm_joints(pose, side, build.shoulder_x) for side in (-1, 1)]
    lower = [part for leg in legs for part in body.shoe(leg, looks.shoes)]
    if person.has("down"):
        skin = joined([part for leg in legs for part in body.bare_leg(build, leg, looks.skin)])
        lower.append(clothes.under_hem(skin, clothes.lower_hem(person)))
    if person.has("clothes"):
        seat = clothes.pelvis(person, build)
        seat += [part for leg in legs for part in clothes.trouser_leg(person, build, leg)]
        lower.append(clothes.under_hem(joined(seat), clothes.LOOSE_HEM))
    else:
        lower += clothes.skirt(person, build, legs)

    upper = clothes.shirt(person, build) + head.head(person, build) + head.hair(person, build)
    for arm in arms:
        upper += body.bare_arm(build, arm, looks.skin) + clothes.sleeve(person, build, arm)
    upper += head.hat(person, build) if person.has("hat") else []
    upper += carried.backpack(person, build) if person.has("backpack") else []
    upper += carried.bag(person, build) if person.has("bag") else []
    if person.has("handbag"):
        # In the hand on the other side than a shoulder bag hangs on.
        upper += carried.handbag(person, arms[0 if looks.left_handed else 1][2])
    lean = {3: 2.0, 4: 9.0}.get(person.values["age"], 3.0)
    whole = joined([*lower, joined(upper).turned(rotation("x", lean), (0, HIP, 0))])
    return whole.shifted((0, -float(whole.corners_Q43[..., 1].min()), 0))


def _lit(quads: Quads, light: Light) -> Array:
    """Colours (Q, 3) of camera-space quads under the light, still 0-255."""
    direction = np.array(light.direction) / np.linalg.norm(light.direction)
    normals_Q3 = quads.normals_Q3
    sun_Q = light.sun * np.clip(normals_Q3 @ direction, 0, 1)
    sky_Q = light.sky * (0.88 + 0.26 * normals_Q3[:, 1])
    rim_Q = 0.8 + 0.2 * np.clip(normals_Q3[:, 2], 0, 1)
    return np.asarray(np.clip(quads.colors_Q3 * ((sun_Q + sky_Q) * rim_Q)[:, None], 0, 255))


def paint_figure(
    person: Person, pose: Pose, light: Light | None = None, placement: Placement | None = None
) -> Image.Image:
    """The person alone, RGBA on a transparent canvas of `placement.size`."""
    light, placement = light or Light(), placement or Placement()
    turn = rotation("x", placement.pitch) @ rotation("y", pose.heading)
    quads = assemble(person, pose).turned(turn)
    seen_Q = quads.normals_Q3[:, 2] > -0.02
    quads = Quads(quads.corners_Q43[seen_Q], quads.normals_Q3[seen_Q], quads.colors_Q3[seen_Q])

    scale = placement.height * person.looks.stature * SUPERSAMPLE
    feet_x, feet_y = (value * SUPERSAMPLE for value in placement.feet)
    flat_Q42 = quads.corners_Q43[..., :2] * (scale * BROADENING, -scale) + (feet_x, feet_y)
    # Quads are small beside what they cover, so painting them far to near hides what is behind.
    order = np.argsort(quads.corners_Q43[..., 2].mean(axis=1), kind="stable")
    polygons = flat_Q42[order].reshape(-1, 8).tolist()
    fills = np.rint(_lit(quads, light)[order]).astype(int).tolist()

    width, height = placement.size
    canvas = Image.new("RGBA", (width * SUPERSAMPLE, height * SUPERSAMPLE))
    draw = ImageDraw.Draw(canvas)
    for polygon, (r, g, b) in zip(polygons, fills, strict=True):
        draw.polygon(polygon, fill=(r, g, b, 255))
    return canvas.resize((width, height), Image.Resampling.LANCZOS)
