"""Six cameras: where each looks, its light, its lens and its sensor."""

from dataclasses import dataclass
from io import BytesIO
from random import Random

import numpy as np
from PIL import Image, ImageFilter

from drawn.figure import Light
from drawn.mesh import Array

CROP_SIZE = (64, 128)


@dataclass(frozen=True)
class Camera:
    """One camera: its place, light and lens.

    `gains` (red, green, blue) is the white balance, `gamma` above 1 darkens the middle tones,
    `haze` (0-1) lifts the blacks. `blur` is a radius in final pixels, `noise` a standard deviation
    in 0-255, `quality` JPEG's 1-95, `shadow` (0-1) its darkness, `shadow_slant` how far it falls
    aside. `headings` are the ways people walk here, in degrees.
    """

    camid: int
    place: str
    light: Light
    gains: tuple[float, float, float]
    gamma: float
    haze: float
    blur: float
    noise: float
    quality: int
    pitch: float
    shadow: float
    shadow_slant: float
    headings: tuple[int, ...]


CAMERAS: dict[int, Camera] = {
    camera.camid: camera
    for camera in (
        Camera(
            1, "plaza", Light((-0.4, 0.9, 0.5), 0.5, 0.66), (1.0, 1.0, 1.0), 0.95, 0.02, 0.35, 2.0,
            88, 10, 0.38, 0.35, (0, 25, 180, 205, 90),
        ),
        Camera(
            2, "garden", Light((0.7, 0.6, 0.5), 0.7, 0.55), (1.07, 1.01, 0.86), 0.94, 0.0, 0.4, 2.5,
            84, 7, 0.4, -0.7, (90, 60, -60, -90, 0, 180),
        ),
        Camera(
            3, "shop", Light((0.1, 0.9, 0.4), 0.5, 0.6), (0.9, 0.97, 1.08), 1.08, 0.03, 0.55, 3.2,
            76, 12, 0.3, 0.1, (180, 160, 0, -30, 90),
        ),
        Camera(
            4, "crossing", Light((-0.8, 0.7, 0.35), 0.95, 0.42), (1.05, 1.02, 0.96), 0.86, 0.0, 0.3,
            2.0, 88, 14, 0.6, 0.9, (90, -90, 70, -110, 20),
        ),
        Camera(
            5, "wall", Light((0.8, 0.4, 0.5), 0.62, 0.5), (1.12, 0.97, 0.8), 1.06, 0.01, 0.5, 3.0,
            80, 6, 0.35, -0.9, (-90, -60, 120, 0, 180),
        ),
        Camera(
            6, "track", Light((-0.2, 0.9, 0.6), 0.36, 0.7), (0.95, 1.02, 0.97), 1.0, 0.12, 0.95,
            3.5, 66, 10, 0.22, 0.3, (0, 180, -20, 150, -90),
        ),
    )
}  # fmt: skip


def develop(picture: Image.Image, camera: Camera, rng: Random) -> Image.Image:
    """Lens and sensor: small, blurred, in the camera's colours, with grain. RGB, 64 x 128."""
    blur = camera.blur * rng.uniform(0.6, 1.2) + (0.6 if rng.random() < 0.06 else 0.0)
    small = picture.filter(ImageFilter.GaussianBlur(2 * blur)).resize(
        CROP_SIZE, Image.Resampling.LANCZOS
    )
    light = np.asarray(small, dtype=np.float64) / 255
    gains = np.array(camera.gains) * rng.uniform(0.9, 1.1)
    light = np.clip(light * gains, 0, 1) ** camera.gamma
    light = camera.haze * 0.8 + (1 - camera.haze) * light
    grain = _grain(rng, camera.noise)
    return Image.fromarray(np.clip(light * 255 + grain, 0, 255).astype(np.uint8))


def _grain(rng: Random, noise: float) -> Array:
    """Noise (128, 64, 3): mostly brightness, a little colour."""
    numbers = np.random.default_rng(rng.getrandbits(32))
    gray, colored = (
        numbers.normal(0, noise, (128, 64, 1)),
        numbers.normal(0, noise / 3, (128, 64, 3)),
    )
    return np.asarray(gray + colored)


def to_jpeg(image: Image.Image, camera: Camera) -> bytes:
    """The file as this camera writes it."""
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=camera.quality)
    return buffer.getvalue()
