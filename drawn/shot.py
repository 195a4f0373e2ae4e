"""Shots: a person in the street as one camera saw them at one moment.

A shot is composed at twice the final scale, then developed as its camera would. Everything random
comes from `Random("seed:...")`, so a shot is the same in any process.
"""

from random import Random

from PIL import Image, ImageDraw, ImageFilter

from drawn.camera import Camera, develop
from drawn.figure import Placement, paint_figure
from drawn.person import Person, draw_lots
from drawn.pose import draw_pose
from drawn.scenery import HEIGHT, WIDTH, bicycle, scene

WORK_SIZE = (128, 256)


def shoot(person: Person, camera: Camera, shot: int, seed: int) -> Image.Image:
    """What `camera` saw of `person` at its `shot`-th shot: RGB, 64 x 128, before JPEG."""
    rng = Random(f"{seed}:shot:{person.pid}:{camera.camid}:{shot}")
    # Each shot shows another side, starting from any.
    first = Random(f"{seed}:side:{person.pid}:{camera.camid}").randrange(len(camera.headings))
    heading = camera.headings[(first + shot) % len(camera.headings)]
    # A detector's box fits the person, more or less: most fill the crop, some stand off-centre.
    height = 234 * rng.uniform(0.92, 1.03) / person.looks.stature**0.75
    feet = (64 + rng.gauss(0, 6), 246 + rng.gauss(0, 4))
    if rng.random() < 0.1:
        height, feet = height * rng.uniform(0.72, 0.85), (feet[0], feet[1] - rng.uniform(4, 22))
    picture = _window(camera, rng, seed)
    if rng.random() < 0.2:
        _passer_by(picture, camera, rng, seed, behind=True)
    _stand(picture, person, camera, rng, Placement(WORK_SIZE, feet, height, camera.pitch), heading)
    _occlude(picture, camera, rng, seed)
    return develop(picture, camera, rng)


def shoot_distractor(camera: Camera, number: int, seed: int) -> Image.Image:
    """A bad detection: nobody at all, a bicycle, or a piece of somebody. RGB, 64 x 128."""
    rng = Random(f"{seed}:distractor:{camera.camid}:{number}")
    picture = _window(camera, rng, seed)
    kind = rng.choice(("empty", "bicycle", "legs", "head", "edge"))
    if kind == "bicycle":
        color = (rng.randint(20, 190), rng.randint(20, 120), rng.randint(20, 150))
        draw = ImageDraw.Draw(picture)
        bicycle(draw, rng.uniform(40, 90), rng.uniform(200, 240), rng.uniform(30, 42), color)
    elif kind == "edge":
        _passer_by(picture, camera, rng, seed, behind=False)
    elif kind != "empty":
        height = rng.uniform(460, 620)
        feet_y = rng.uniform(225, 250) if kind == "legs" else 40 + height * rng.uniform(0.98, 1.1)
        feet = (64 + rng.gauss(0, 22), feet_y)
        stranger = draw_lots(seed + 1, rng.randint(1, 9999))
        placement = Placement(WORK_SIZE, feet, height, camera.pitch)
        _stand(picture, stranger, camera, rng, placement, rng.choice(camera.headings))
    return develop(picture, camera, rng)


def _window(camera: Camera, rng: Random, seed: int) -> Image.Image:
    """A piece of the camera's place, zoomed a little, RGB at `WORK_SIZE`."""
    zoom = rng.uniform(0.95, 1.2)
    width, height = WORK_SIZE[0] / zoom, WORK_SIZE[1] / zoom
    left, top = rng.uniform(0, WIDTH - width), rng.uniform(0, HEIGHT - height)
    box = (left, top, left + width, top + height)
    return scene(camera.place, seed).resize(WORK_SIZE, Image.Resampling.BILINEAR, box)


def _stand(
    picture: Image.Image,
    person: Person,
    camera: Camera,
    rng: Random,
    placement: Placement,
    heading: float,
) -> None:
    """Paint a person and the shadow on the ground into `picture`."""
    figure = paint_figure(person, draw_pose(rng, heading), camera.light, placement)
    x, y = placement.feet
    # The shadow is the figure itself, laid flat: squashed to a quarter and slanted about the feet.
    slant, flat = camera.shadow_slant, -4.0
    lie = (1, slant * flat, -slant * flat * y, 0, flat, y - flat * y)
    cast = figure.getchannel("A").transform(picture.size, Image.Transform.AFFINE, lie)
    lit = camera.shadow * 0.8
    cast = cast.filter(ImageFilter.GaussianBlur(2.5)).point(lambda value: value * lit)
    pool = Image.new("L", picture.size)
    reach = placement.height * 0.13
    ImageDraw.Draw(pool).ellipse((x - reach, y - 9, x + reach, y + 7), fill=150)
    pool = pool.filter(ImageFilter.GaussianBlur(5)).point(lambda value: value * camera.shadow)
    for shadow in (cast, pool):
        picture.paste((22, 24, 32), (0, 0), shadow)
    picture.paste(figure, (0, 0), figure)


def _passer_by(
    picture: Image.Image, camera: Camera, rng: Random, seed: int, *, behind: bool
) -> None:
    """Somebody else: small and far `behind`, or the edge of one who walks in front."""
    stranger = draw_lots(seed + 1, rng.randint(1, 9999))
    side = rng.choice((-1, 1))
    if behind:
        height, feet = (
            rng.uniform(110, 165),
            (64 + side * rng.uniform(34, 66), rng.uniform(150, 190)),
        )
    else:
        height, feet = (
            rng.uniform(235, 265),
            (64 + side * rng.uniform(66, 82), rng.uniform(250, 275)),
        )
    placement = Placement(WORK_SIZE, feet, height, camera.pitch)
    _stand(picture, stranger, camera, rng, placement, rng.choice(camera.headings))


def _occlude(picture: Image.Image, camera: Camera, rng: Random, seed: int) -> None:
    """In one shot of six, something stands between the camera and the person."""
    if rng.random() > 0.17:
        return
    draw = ImageDraw.Draw(picture)
    kind = rng.choice(("pole", "bicycle", "railing", "person", "person"))
    if kind == "pole":
        x, width = rng.choice((rng.uniform(4, 36), rng.uniform(88, 118))), rng.uniform(7, 12)
        for part, shade in ((1.0, 92), (0.7, 122), (0.4, 150)):
            draw.rectangle((x, 0, x + width * part, 256), fill=(shade, shade + 2, shade + 4))
    elif kind == "bicycle":
        color = (rng.randint(20, 190), rng.randint(20, 120), rng.randint(20, 150))
        bicycle(draw, rng.uniform(10, 118), rng.uniform(250, 264), rng.uniform(24, 30), color)
    elif kind == "railing":
        top = rng.uniform(176, 205)
        for y in (top, top + 26):
            draw.line([(0, y), (128, y + 3)], fill=(168, 172, 174), width=5)
        for x in range(rng.randint(0, 50), 128, 56):
            draw.line([(x, top), (x, 256)], fill=(150, 154, 156), width=6)
    else:
        _passer_by(picture, camera, rng, seed, behind=False)
