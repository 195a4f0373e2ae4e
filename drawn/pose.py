"""How a person stands or walks, and where the joints are then.

Body space as in `mesh`: x to the person's left, y up, z forward, in adult heights.
"""

from dataclasses import dataclass
from random import Random

import numpy as np

from drawn.mesh import Array

HIP, KNEE, ANKLE = 0.495, 0.265, 0.045
THIGH, SHIN = HIP - KNEE, KNEE - ANKLE
SHOULDER, UPPER_ARM, FOREARM = 0.805, 0.155, 0.145


@dataclass(frozen=True)
class Pose:
    """`heading` in degrees: 0 walks at the camera, 180 away, 90 to the image's right.

    `phase` (0-360) is the point in the stride, `stride` (0-1) its length, 0 standing.
    `left_bend` and `right_bend` are the elbows' angles in degrees.
    """

    heading: float = 0.0
    phase: float = 50.0
    stride: float = 0.6
    left_bend: float = 22.0
    right_bend: float = 22.0


def draw_pose(rng: Random, heading: float) -> Pose:
    """A pose near `heading`: mostly walking, now and then an arm raised as if to a telephone."""
    left, right = rng.uniform(10, 45), rng.uniform(10, 45)
    raised = rng.random()
    if raised < 0.1:
        left = rng.uniform(95, 130)
    elif raised < 0.2:
        right = rng.uniform(95, 130)
    stride = rng.uniform(0.05, 0.2) if rng.random() < 0.2 else rng.uniform(0.5, 1.0)
    return Pose(heading + rng.gauss(0, 14), rng.uniform(0, 360), stride, left, right)


def leg_joints(pose: Pose, side: int, hip_x: float) -> Array:
    """Hip, knee, ankle and toe (4, 3) of the left (`side` 1) or the right (-1) leg."""
    turn = np.radians(pose.phase + (0 if side > 0 else 180))
    thigh = np.radians(25) * pose.stride * np.sin(turn)
    # The knee bends most while its leg swings from behind to the front.
    bend = np.radians(6 + 42 * pose.stride * max(0.0, float(np.cos(turn + 0.5))))
    shin = thigh - bend
    hip = np.array([side * hip_x, HIP, 0.0])
    knee = hip + THIGH * np.array([0.0, -np.cos(thigh), np.sin(thigh)])
    ankle = knee + SHIN * np.array([-0.03 * side, -np.cos(shin), np.sin(shin)])
    pitch = 0.75 * min(0.0, shin)
    toe = ankle + 0.095 * np.array([0.12 * side, np.sin(pitch) - 0.12, np.cos(pitch)])
    return np.stack([hip, knee, ankle, toe])


def arm_joints(pose: Pose, side: int, shoulder_x: float) -> Array:
    """Shoulder, elbow and wrist (3, 3) of the left (`side` 1) or the right (-1) arm."""
    turn = np.radians(pose.phase + (180 if side > 0 else 0))
    bend = pose.left_bend if side > 0 else pose.right_bend
    raised = bend > 90
    swing = np.radians(12 if raised else 26 * pose.stride * np.sin(turn) - 4)
    fore = swing + np.radians(bend)
    out = np.radians(9)
    shoulder = np.array([side * shoulder_x, SHOULDER - 0.012, 0.0])
    elbow = shoulder + UPPER_ARM * np.array(
        [side * np.sin(out), -np.cos(swing) * np.cos(out), np.sin(swing)]
    )
    inward = -0.35 if raised else -0.05
    wrist = elbow + FOREARM * np.array([side * inward, -np.cos(fore), np.sin(fore)])
    return np.stack([shoulder, elbow, wrist])
