"""CPU seconds of processes with their children: where others use the machine too they tell more
than the clock. Linux only: they are read from /proc."""

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from db.connect import DatabaseAddress
from db.open import open_database
from db.server.state import running

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """CPU seconds of this process, of its children and of the database server; and the clock's."""

    here: float
    children: float
    server: float
    clock: float

    @property
    def cpu(self) -> float:
        return self.here + self.children + self.server


def total(costs: Sequence[Cost]) -> Cost:
    parts = ("here", "children", "server", "clock")
    return Cost(*(sum(getattr(cost, part) for cost in costs) for part in parts))


class Meter:
    """Reads what was used since it was read last, but not what reading costs."""

    def __init__(self, home: Path) -> None:
        found = running(home / "postgres")
        assert found is not None, "the embedded server runs"
        self._server = found.pid
        self._others, self._here, self._clock = self._of_others(), *_of_us()

    def read(self) -> Cost:
        here, clock = _of_us()
        others = self._of_others()
        children, server = (now - then for now, then in zip(others, self._others, strict=True))
        cost = Cost(here - self._here, children, server, clock - self._clock)
        self._others, (self._here, self._clock) = others, _of_us()
        return cost

    def _of_others(self) -> tuple[float, float]:
        children = server = 0.0
        for pid, parent, own, ended in _processes():
            if pid == os.getpid():
                children += ended
            elif parent == os.getpid():
                children += own + ended
            elif pid == self._server or parent == self._server:
                server += own + ended
        return children, server


def _of_us() -> tuple[float, float]:
    return time.process_time(), time.perf_counter()


def _processes() -> Iterator[tuple[int, int, float, float]]:
    """(pid, parent, CPU seconds of its first thread, and of its children that have ended)."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            facts = (entry / "stat").read_text().rpartition(")")[2].split()
            own = int((entry / "schedstat").read_text().split()[0])
        except OSError:  # it has ended meanwhile
            continue
        yield int(entry.name), int(facts[1]), own / 1e9, sum(map(int, facts[13:15])) * _TICK_S


def median(ratios: Sequence[float]) -> str:
    """With the smallest and the largest, as a table shows it."""
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


@contextmanager
def own_database() -> Iterator[tuple[Path, Engine]]:
    """A home with a database of its own, both gone afterwards."""
    home = Path(tempfile.mkdtemp(prefix="reid-bench-"))
    place = DatabaseAddress(home)
    engine = open_database(place)
    try:
        yield home, engine
    finally:
        engine.dispose()
        if server := place.embedded:
            server.stop()
        shutil.rmtree(home)
