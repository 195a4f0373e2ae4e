"""How a source is taken in, and what came of it."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """How a source is taken in. `workers` threads read and decode beside the network; `manifest`
    is a table of facts about the files, see `images.facts_file`. The engine is local or ray, and
    then `address` is a cluster's, or None."""

    model: str | None = None
    identities: str | None = None
    overwrite: bool = False
    allow_any_shape: bool = False
    enqueue: bool = False
    workers: int = 2
    batch_size: int = 64
    device: str | None = None
    manifest: Path | None = None
    engine: str = "local"
    address: str | None = None
