"""Which images a drawn data set has: who is seen by which camera, and which shots are queries."""

from dataclasses import dataclass
from itertools import cycle, islice
from random import Random

from drawn.camera import CAMERAS, to_jpeg
from drawn.person import draw_lots
from drawn.shot import shoot, shoot_distractor

DISTRACTOR = 0


@dataclass(frozen=True)
class Shot:
    """One image to be drawn: whom (`DISTRACTOR` for nobody), by which camera, its number there."""

    pid: int
    camid: int
    number: int
    seed: int

    @property
    def name(self) -> str:
        """`PPPP_cC_NNNNNNNNN.jpg`; the last nine digits mean nothing, as in the real data."""
        rng = Random(f"{self.seed}:name:{self.pid}:{self.camid}:{self.number}")
        # The number ends the name, so two shots by one camera never share one.
        digits = f"{rng.randrange(10**6):06}{self.number:03}"
        return f"{self.pid:04}_c{self.camid}_{digits}.jpg"

    def draw(self) -> bytes:
        camera = CAMERAS[self.camid]
        if self.pid == DISTRACTOR:
            return to_jpeg(shoot_distractor(camera, self.number, self.seed), camera)
        return to_jpeg(
            shoot(draw_lots(self.seed, self.pid), camera, self.number, self.seed), camera
        )


def shots_of(pid: int, images: int, seed: int) -> list[Shot]:
    """The shots of a person: by at least two cameras, by some of them more than one."""
    rng = Random(f"{seed}:cameras:{pid}")
    used = rng.sample(sorted(CAMERAS), k=min(len(CAMERAS), max(2, -(-2 * images // 3))))
    camids = sorted(islice(cycle(used), images))
    return [Shot(pid, camid, camids[:at].count(camid), seed) for at, camid in enumerate(camids)]


def choose_queries(shots: list[Shot]) -> list[Shot]:
    """One query, or two from two cameras where there are four images or more.

    The cameras with the most shots give the queries, so each keeps a match by another camera.
    """
    camids = [shot.camid for shot in shots]
    by_shots = sorted(set(camids), key=lambda camid: (-camids.count(camid), camid))
    chosen = by_shots[: 1 if len(shots) < 4 else 2]
    return [shot for shot in shots if shot.number == 0 and shot.camid in chosen]
