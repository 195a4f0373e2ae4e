"""The distances of a gallery as bars: what the template draws, in percent and pixels."""

import math
from dataclasses import dataclass

from search.histogram import Histogram

HEIGHT = 84  # pixels of the tallest bar
_LEAST = 2.0  # pixels of a bar with one image: it must be seen
_STEP = 0.05  # the scale ends on a multiple of it
_TICKS = 6


@dataclass(frozen=True)
class HistogramBar:
    """`left` and `width` in percent of the scale, `top` and `height` in pixels."""

    left: str
    width: str
    top: str
    height: str


@dataclass(frozen=True)
class Mark:
    """A place on the scale in percent, and its number in words."""

    left: str
    text: str


@dataclass(frozen=True)
class Chart:
    """A histogram on a scale from 0 to `end`. `start` is where the slider stands; `limit` is where
    the bars' colour changes, None without a distance limit."""

    bars: tuple[HistogramBar, ...]
    ticks: tuple[Mark, ...]
    end: str
    start: str
    limit: Mark | None
    calibrated: Mark | None
    words: str


def chart(
    histogram: Histogram, *, limit: float | None, shown: float | None, calibrated: float | None
) -> Chart:
    """`limit` is the distance limit that was asked for, `shown` the distance of the last match in
    the list: there the slider stands while there is no limit."""
    end = max(_STEP, math.ceil(max(histogram.far, limit or 0.0) / _STEP) * _STEP)
    start = end if limit is None and shown is None else (shown if limit is None else limit)
    assert start is not None
    return Chart(
        bars=_bars(histogram, end),
        ticks=ticks(end),
        end=f"{end:.2f}",
        start=f"{min(start, end):.3f}",
        limit=None if limit is None else marked(limit, end),
        calibrated=None if calibrated is None or calibrated > end else marked(calibrated, end),
        words=_words(histogram, calibrated),
    )


def number(text: str | None) -> float | None:
    """A number of zero or more that an address holds, None for anything else."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 <= value < math.inf else None


def _bars(histogram: Histogram, end: float) -> tuple[HistogramBar, ...]:
    """The height is the square root of the number: a few close ones beside thousands of others."""
    tallest = max(histogram.counts, default=0)
    width = 100 * histogram.far / end / len(histogram.counts)
    bars = []
    for place, count in enumerate(histogram.counts):
        if count:
            height = max(_LEAST, HEIGHT * math.sqrt(count / tallest))
            bars.append(
                HistogramBar(
                    f"{place * width:.3f}",
                    f"{width * 0.86:.3f}",
                    f"{HEIGHT - height:.1f}",
                    f"{height:.1f}",
                )
            )
    return tuple(bars)


def ticks(end: float) -> tuple[Mark, ...]:
    """Round numbers along the scale."""
    steps = (0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0)
    step = next((s for s in steps if end / s <= _TICKS), end / _TICKS)
    return tuple(
        Mark(_percent(n * step, end), f"{n * step:g}") for n in range(int(end / step + 1e-9) + 1)
    )


def marked(distance: float, end: float) -> Mark:
    return Mark(_percent(distance, end), f"{distance:.4g}")


def _percent(distance: float, end: float) -> str:
    return f"{100 * min(distance / end, 1.0):.3f}"


def _words(histogram: Histogram, calibrated: float | None) -> str:
    if histogram.nearest is None:
        return "No image passes the filter."
    said = (
        f"Distances of {histogram.total:,} images to the query: the nearest {histogram.nearest:.3f}"
        f", half of them up to {histogram.median:.2f}, the farthest {histogram.far:.3f}."
    )
    if histogram.within is None or calibrated is None:
        return said
    return f"{said} Within the calibrated {calibrated:.4f}: {histogram.within:,}."
