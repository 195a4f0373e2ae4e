"""Named points at which a test can kill this process, or hold it while it does worse.

    REID_FAULT=POINT:N:kill        SIGKILL when the point is reached for the N-th time
    REID_FAULT=POINT:N:hold:FILE   write FILE, then wait until it is gone

Without the variable a point is one comparison.
"""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from settings import Settings

POINTS = (
    "after_claim",
    "after_decode",
    "after_inference",
    "in_copy",
    "before_commit",
    "after_commit",
)


@dataclass(frozen=True)
class _Armed:
    point: str
    time: int
    happen: Callable[[], None]


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _hold(file: Path) -> None:
    file.touch()
    while file.exists():
        time.sleep(0.01)


def _armed(setting: str) -> _Armed | None:
    """Raises ValueError for what is no fault: a test that tests nothing must not pass."""
    if not setting:
        return None
    point, _, rest = setting.partition(":")
    number, _, action = rest.partition(":")
    if point not in POINTS or not number.isdecimal() or number == "0":
        raise ValueError(f"no fault {setting!r}; expected {'|'.join(POINTS)}:N:kill|hold:FILE")
    what, _, file = action.partition(":")
    if what == "kill" and not file:
        return _Armed(point, int(number), _kill)
    if what == "hold" and file:
        return _Armed(point, int(number), lambda: _hold(Path(file)))
    raise ValueError(f"no fault {setting!r}; expected kill or hold:FILE after {point}:{number}")


_ARMED = _armed(Settings.from_environment().fault)
_TIMES = count(1)


def reached(point: str) -> None:
    """Called where a fault may be wanted, with one of POINTS."""
    if _ARMED is not None and _ARMED.point == point and next(_TIMES) == _ARMED.time:
        _ARMED.happen()
