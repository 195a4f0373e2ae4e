"""What was done for an answer, noted while it is done: its way, its statements, seconds by step."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Select
from sqlalchemy.sql.selectable import SelectBase

from gallery.vector_index import IndexRow
from search.selectivity import Estimate


@dataclass(frozen=True)
class Route:
    """How an answer is found, and why so. Without `index` every row that passes is compared; with
    it, `passing` is how many those are, None for all that are in the index."""

    reason: str = ""
    index: IndexRow | None = None
    passing: Estimate | None = None

    @property
    def words(self) -> str:
        kind = "approximate" if self.index else "exact"
        return f"{kind}: {self.reason}" if self.reason else kind

    @property
    def estimated(self) -> bool:
        """Whether the number of images that pass is not exact."""
        return self.passing is not None and self.passing.how != "count"


EXACT = Route()


@dataclass
class Work:
    """`filtered` selects the ids of the images that pass the filter, `passed` is their number, None
    while nobody has counted. `waiting` images are not embedded yet. `statement` is the one that
    gave the answer's rows, of several the last. `seconds` stand in the order of the steps."""

    filtered: Select[Any]
    route: Route = EXACT
    passed: int | None = None
    waiting: int = 0
    statement: SelectBase | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Counts the time inside; a step that comes again adds to itself."""
        started = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started

    @property
    def total(self) -> float:
        """Seconds of all steps."""
        return sum(self.seconds.values())
