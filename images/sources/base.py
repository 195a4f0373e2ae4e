"""What every source gives: its listing, and one file's bytes."""

from collections.abc import Sequence
from typing import Protocol

from errors import UsageError
from images.listing import Key, Listing


class GoneSource(UsageError):
    """The source is not there any more."""

    http_status = 404


class Source(Protocol):
    @property
    def name(self) -> str:
        """What stands with each image; opens the source again."""
        ...

    def listing(self, named: Sequence[str] = ()) -> Listing:
        """What it holds now. `named` are the paths to look for where a server gives no list.

        Raises NothingToIngest, and a ReidError where it cannot be listed.
        """
        ...

    def read(self, key: Key, mark: int | None) -> bytes:
        """One file's bytes; `mark` is its `mtime_ns` in the listing. Raises UnreadableImage."""
        ...
