"""What torch says of a few fixed pictures: the measure of every other engine.

It is kept beside a checkpoint (`NAME.reference.json`), and each time an engine is loaded it must
give the same for the same pictures. So a runtime that is wrong on some processor is found out
before it has looked at anybody, and a machine without torch needs none to find out.
"""

# N patterns, H and W pixels, A=56 scores, D=512 embedding numbers

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from files import write_whole
from images.preprocessing import Pixels, Preprocessing
from models.checkpoint import content_hash
from models.outputs import FloatRows, Outputs

PATTERNS = 1  # raised when the pictures change: an older reference is then none
_COUNT = 3
_DIGITS = 6


@dataclass(frozen=True)
class Reference:
    """Torch's outputs for `patterns` of the checkpoint with this content."""

    checkpoint: str
    outputs: Outputs


@dataclass(frozen=True)
class Difference:
    """The largest change of a score, of an embedding (as a distance) and of a quality."""

    score: float
    distance: float
    quality: float

    def within(self, allowed: "Difference") -> bool:
        """Whether each of them is at most what is allowed."""
        return (
            self.score <= allowed.score
            and self.distance <= allowed.distance
            and self.quality <= allowed.quality
        )


def path_beside(checkpoint: Path) -> Path:
    """Return where a checkpoint's reference lies."""
    return checkpoint.with_suffix(".reference.json")


def patterns(preprocessing: Preprocessing) -> Pixels:
    """The fixed pictures, (N, H, W, 3): rough figures in whole numbers, the same everywhere."""
    height, width = preprocessing.height, preprocessing.width
    y, x = np.mgrid[0:height, 0:width]
    v, u = y * 1000 // height, x * 1000 // width  # where a pixel lies, in thousandths
    found = []
    for number in range(_COUNT):
        ground = (u * 120 + v * 80) // 1000 + 20 * number
        texture = (x * 7919 + y * 104729 + number * 1299709) % 31
        picture = np.stack([ground + texture, ground + 40 - texture, 200 - ground], axis=2)
        middle = 450 + 50 * number
        for top, bottom, half, colour in (
            (60, 190, 110, (190, 150, 120)),
            (190, 540, 240, (200 - 80 * number, 40 + 70 * number, 60)),
            (540, 950, 170, (40, 50 + 60 * number, 120 - 40 * number)),
        ):
            inside = (v >= top) & (v < bottom) & (abs(u - middle) < half)
            picture[inside] = np.array(colour) + texture[inside, None]
        found.append(np.clip(picture, 0, 255).astype(np.uint8))
    return np.stack(found)


def made_by(run: Callable[[Pixels], Outputs], checkpoint: Path, size: Preprocessing) -> Reference:
    """The reference of a checkpoint, `run` being torch."""
    return Reference(content_hash(checkpoint), run(patterns(size)))


def difference(reference: Reference, found: Outputs) -> Difference:
    """How far another engine's outputs for the same patterns lie from the reference's.

    Outputs that are not of the same shape, or not finite, lie infinitely far.
    """
    expected = reference.outputs
    if (expected.quality_N is None) != (found.quality_N is None):
        return Difference(np.inf, np.inf, np.inf)
    score = _largest(expected.scores_NA, found.scores_NA)
    quality = 0.0
    if expected.quality_N is not None and found.quality_N is not None:
        quality = _largest(expected.quality_N, found.quality_N)
    a_ND, b_ND = expected.embeddings_ND, found.embeddings_ND
    if a_ND.shape != b_ND.shape or not np.isfinite(b_ND).all():
        return Difference(score, np.inf, quality)
    distance = float(np.linalg.norm(a_ND.astype(np.float64) - b_ND, axis=1).max())
    return Difference(score, distance, quality)


def _largest(expected: FloatRows, found: FloatRows) -> float:
    if expected.shape != found.shape or not np.isfinite(found).all():
        return np.inf
    return float(np.abs(expected - found).max())


def write(path: Path, reference: Reference) -> None:
    """Raises CannotWrite."""
    rows = {
        name: None if part is None else np.round(part.astype(np.float64), _DIGITS).tolist()
        for name, part in reference.outputs._asdict().items()
    }
    text = json.dumps({"patterns": PATTERNS, "checkpoint": reference.checkpoint, **rows})
    write_whole(path, f"{text}\n".encode())


def read(path: Path, checkpoint_hash: str) -> Reference | None:
    """Read a checkpoint's reference; None where there is none that this version understands."""
    try:
        value = json.loads(path.read_bytes())
        if (value["patterns"], value["checkpoint"]) != (PATTERNS, checkpoint_hash):
            return None
        scores_NA, embeddings_ND = (
            np.array(value[name], np.float32) for name in ("scores_NA", "embeddings_ND")
        )
        quality = value["quality_N"]
        quality_N = None if quality is None else np.array(quality, np.float32)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    if scores_NA.ndim != 2 or embeddings_ND.ndim != 2 or len(scores_NA) != _COUNT:
        return None
    return Reference(checkpoint_hash, Outputs(scores_NA, embeddings_ND, quality_N))
