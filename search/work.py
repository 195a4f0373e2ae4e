"""What was done for an answer, noted while it is done: its statements, and seconds by step."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Select


@dataclass
class Work:
    """`filtered` selects the ids of the images that pass the filter. `statement` is the one that
    gave the answer's rows, of several the last. `seconds` stand in the order of the steps."""

    filtered: Select[Any]
    statement: Select[Any] | None = None
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
