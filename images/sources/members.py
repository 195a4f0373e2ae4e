"""The members of an archive by their names, and which of them can be taken in.

Nothing is ever unpacked to disk, so that no name can lead anywhere; what would is refused all the
same, since it is no name of a file among others.
"""

import re
from typing import Generic, Protocol, TypeVar

from images.decode import MAX_BYTES
from images.leftovers import leftover
from images.listing import SUFFIXES, FoundFile, Key, Listing, readable, suffix_of

M = TypeVar("M")
_DRIVE = re.compile(rb"[A-Za-z]:/")  # as Windows begins an absolute name
LINK = "a link; pack the file itself"


class OpenArchive(Protocol):
    """An archive that was opened and listed; its members can be read from several threads."""

    @property
    def listing(self) -> Listing: ...

    def mark(self, key: Key) -> int | None:
        """Return the mark of a member's content, as `FoundFile.mtime_ns`; None where there is
        none."""
        ...

    def read(self, key: Key) -> bytes:
        """Raises UnreadableImage; KeyError where there is no such member."""
        ...


class Members(Generic[M]):
    """`M` is what an archive needs to find a member's bytes."""

    def __init__(self) -> None:
        self.listing = Listing()
        self.places: dict[Key, M] = {}
        self._files: dict[Key, FoundFile] = {}
        self._twice = 0

    def add(self, name: bytes, size: int, mark: int, place: M, refused: str | None = None) -> None:
        """A member that is no folder; `refused` says why it cannot be read."""
        path, raw = key = key_of(name)
        suffix, kind = suffix_of(path), leftover(path)
        if kind or suffix not in SUFFIXES:
            self.listing.ignore((suffix in SUFFIXES and kind) or suffix or "without a suffix")
            return
        reason = _wrong_name(name) or refused or _too_large(size)
        if reason:
            self.listing.refused[path] = reason
            return
        # in the order of their data; unpacking would leave the last of two with one name
        self._twice += self._files.pop(key, None) is not None
        self._files[key] = FoundFile(path, raw, size, mark)
        self.places[key] = place

    def drop(self, key: Key) -> None:
        """Forgets a member that turned out to be cut off."""
        self._files.pop(key, None)
        self.places.pop(key, None)

    def place_of(self, name: bytes) -> M | None:
        return self.places.get(key_of(name))

    def mark(self, key: Key) -> int | None:
        found = self._files.get(key)
        return None if found is None else found.mtime_ns

    def finish(self, archive: str, damage: str | None) -> Listing:
        """The list; `damage` says why there may be members that it lacks."""
        listing = self.listing
        listing.files = list(self._files.values())
        if self._twice:
            listing.notes.append(
                f"{self._twice} names stand more than once in {archive}; the last of each counts"
            )
        if damage:
            listing.whole = False
            listing.refused[archive] = (
                f"{damage} after {len(listing.files)} images, which are taken; copy it again for "
                "the others"
            )
        return listing


def key_of(name: bytes) -> Key:
    """The path of a member as a folder would give it: `./a//b.jpg` is `a/b.jpg`."""
    return readable(b"/".join(part for part in name.split(b"/") if part not in (b"", b".")))


def _wrong_name(name: bytes) -> str | None:
    if name.startswith(b"/") or _DRIVE.match(name):
        return "an absolute name; pack the folder by relative names"
    if b".." in name.split(b"/"):
        return "a name that leads out of the archive (..); pack the folder by relative names"
    if b"\0" in name:
        return "a name with a zero byte, which no file can have"
    return None


def _too_large(size: int) -> str | None:
    if size <= MAX_BYTES:
        return None
    return f"larger than {MAX_BYTES // 2**20} MiB; expected a person crop"
