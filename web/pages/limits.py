"""What each distance limit of a model gives, as lines: what the template draws, in percent and
pixels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from gallery.model_card import LimitPoint
from web.pages.chart import Mark, marked, ticks

HEIGHT = 150  # pixels from 0 to 1
_STEP = 0.1  # the scale ends on a multiple of it


@dataclass(frozen=True)
class Dot:
    """`left` in percent, `top` in pixels; `words` say it."""

    left: str
    top: str
    words: str


@dataclass(frozen=True)
class LimitLine:
    """One rate over the limits. `steps` join neighbours."""

    name: str
    dots: tuple[Dot, ...]

    @property
    def steps(self) -> tuple[tuple[Dot, Dot], ...]:
        return tuple(pairwise(self.dots))


@dataclass(frozen=True)
class LimitsChart:
    """Precision and recall over the distance limit, from 0 to the farthest that was measured."""

    lines: tuple[LimitLine, ...]
    ticks: tuple[Mark, ...]
    chosen: Mark | None


def limits_chart(points: Sequence[LimitPoint], chosen: float | None) -> LimitsChart | None:
    """Draw the limits; None where there are fewer than two points to join."""
    if len(points) < 2:
        return None
    far = max([point.max_distance for point in points] + [chosen or 0.0])
    end = math.ceil(far / _STEP) * _STEP
    lines = tuple(
        LimitLine(name, tuple(_dot(name, point, end) for point in points))
        for name in ("precision", "recall")
    )
    return LimitsChart(lines, ticks(end), None if chosen is None else marked(chosen, end))


def _dot(name: str, point: LimitPoint, end: float) -> Dot:
    rate: float = getattr(point, name)
    place = marked(point.max_distance, end)
    return Dot(place.left, f"{HEIGHT * (1 - rate):.1f}", f"{name} {rate:.2f} at {place.text}")
