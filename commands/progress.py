"""How far the work is: a bar on a terminal, JSON lines elsewhere; always on stderr."""

import json
import math
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from commands.output import note, on_terminal

if TYPE_CHECKING:
    from ingest.worker import Progress
    from models.training.loop import StepReport

EVERY_S = 5.0
_WINDOW_S = 30.0  # the rate is that of the last half minute
_SHARE = "{desc} {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left"

Total = int | Callable[[], int]  # a count that takes a query is asked for now and then


class Images:
    """Images that are taken in: a bar with images/s and time left, or a JSON line every few seconds
    and one at the end."""

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._name, self._clock = name, clock
        self._bar: Any = None
        self._last: Progress | None = None
        self._total, self._asked = 0, -math.inf
        self._told, self._said = clock(), (-1, -1)
        self._settled = deque([(self._told, 0)])

    def __enter__(self) -> "Images":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self._last is not None and self._said != (self._last.settled, self._total):
            self._tell(self._last)

    def show(self, progress: "Progress", total: Total) -> None:
        """Called after each batch with the counts so far, and how many there will be."""
        now = self._clock()
        if not callable(total):
            self._total = total
        elif now - self._asked >= EVERY_S:
            self._asked, self._total = now, total()
        self._total = max(self._total, progress.settled)
        self._last = progress
        if progress.settled < self._settled[-1][1]:  # another run through the same folder
            self._settled.clear()
        self._settled.append((now, progress.settled))
        while len(self._settled) > 2 and self._settled[1][0] <= now - _WINDOW_S:
            self._settled.popleft()
        if on_terminal():
            self._draw(progress)
        elif now - self._told >= EVERY_S:
            self._told = now
            self._tell(progress)

    def _draw(self, progress: "Progress") -> None:
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(total=self._total, unit="img", desc=self._name, smoothing=0.1)
        self._bar.total = self._total
        self._bar.n = progress.settled
        self._bar.set_postfix(failed=progress.failed, refresh=False)
        self._bar.refresh()

    def _tell(self, progress: "Progress") -> None:
        rate = self._rate()
        left = self._total - progress.settled
        event = {
            "event": "progress",
            "stored": progress.stored,
            "known": progress.known,
            "failed": progress.failed,
            "total": self._total,
            "images_per_second": round(rate, 2),
            "seconds_left": round(left / rate, 1) if rate else None,
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }
        note(json.dumps(event))
        self._said = progress.settled, self._total

    def _rate(self) -> float:
        (first, before), (last, now) = self._settled[0], self._settled[-1]
        return (now - before) / (last - first) if last > first else 0.0


class Steps:
    """A training's steps as JSON lines where stderr is no terminal: the first one at once, then one
    every few seconds. On a terminal the training draws a bar of its own."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._told = clock, -math.inf
        self._first: tuple[float, int] | None = None  # when the first step was done, and its images
        self._done = 0

    def show(self, report: "StepReport") -> None:
        """Called after each step."""
        now = self._clock()
        if self._first is None:
            self._first = now, report.images
        else:
            self._done += 1
        if on_terminal() or now - self._told < EVERY_S:
            return
        left = report.steps - report.step + report.steps * (report.epochs - report.epoch)
        seconds, images = now - self._first[0], report.images - self._first[1]
        event = {
            "event": "training",
            **vars(report),
            "loss": round(report.loss, 4),
            "images_per_second": round(images / seconds, 2) if seconds else None,
            "seconds_left": round(left * seconds / self._done, 1) if self._done else None,
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }
        note(json.dumps(event))
        self._told = now


class Phases:
    """The phase and its share done, on a terminal; elsewhere each phase once, as a line."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._bar: Any = None
        self._phase = ""

    def __enter__(self) -> "Phases":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, phase: str, share: float) -> None:
        """`share` of the phase is done, in [0, 1]."""
        title = f"{self._name}: {phase}"
        if not on_terminal():
            if phase != self._phase:
                note(title)
            self._phase = phase
            return
        if self._bar is None or phase != self._phase:
            from tqdm import tqdm

            if self._bar is not None:
                self._bar.close()
            self._bar = tqdm(total=100, desc=title, unit="%", bar_format=_SHARE)
        self._phase = phase
        self._bar.n = round(100 * share, 1)
        self._bar.refresh()
