"""A folder of this machine as a source."""

from collections.abc import Sequence
from pathlib import Path

from images.decode import read_file
from images.listing import Key, Listing
from images.walk import file_path, walk


class LocalFolder:
    """A folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.name = str(folder.resolve())

    def listing(self, named: Sequence[str] = ()) -> Listing:  # noqa: ARG002 - it can be listed
        return walk(self._folder)

    def read(self, key: Key, mark: int | None) -> bytes:  # noqa: ARG002 - what is there counts
        return read_file(file_path(self.name, *key))
