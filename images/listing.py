"""What a source holds: the files that can be taken in, and why others cannot."""

import os
from dataclasses import dataclass, field
from hashlib import blake2b

from errors import UsageError

SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff",
    ".heic", ".heif", ".hif", ".avif", ".jp2", ".j2k", ".jpx", ".jpf", ".j2c", ".jpc", ".ppm",
    ".pgm", ".pbm", ".pnm",
)  # fmt: skip
KINDS = "JPEG, PNG, WebP, BMP, GIF, TIFF, HEIC, AVIF, JPEG 2000 or PNM"  # for a person to read
Key = tuple[str, bytes | None]


class NothingToIngest(UsageError):
    """The source holds no image file."""


@dataclass(frozen=True)
class FoundFile:
    """A regular file. `path` is relative with "/"; where the name is no UTF-8, `path_raw` holds its
    bytes and `path` a readable form with the foreign bytes as `\\xNN`. `mtime_ns` is the time of
    its last change; in an archive or behind a URL a number that another content changes
    (`mark_of`). `size_bytes` is None where a server does not say it."""

    path: str
    path_raw: bytes | None
    size_bytes: int | None
    mtime_ns: int

    @property
    def key(self) -> Key:
        return self.path, self.path_raw


@dataclass
class Listing:
    """What was found. `refused` maps paths to reasons, `ignored` counts files by suffix, `notes`
    are sentences for a person. Where the list is not `whole`, nobody knows which files are gone."""

    files: list[FoundFile] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    ignored: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    whole: bool = True

    def ignore(self, kind: str) -> None:
        self.ignored[kind] = self.ignored.get(kind, 0) + 1

    def check_any(self, source: object) -> None:
        """Raises NothingToIngest where there is nothing to read at all."""
        if not self.files and not self.refused:
            seen = ", ".join(f"{n} {suffix}" for suffix, n in sorted(self.ignored.items()))
            raise NothingToIngest(
                f"{source} holds no image file; expected {KINDS}"
                + (f" (it holds {seen})" if seen else "")
            )


def suffix_of(path: str) -> str:
    """Return a name's suffix in lower case, with its dot; empty where there is none.

    >>> suffix_of("a.b/c.JPeG")
    '.jpeg'
    """
    return os.path.splitext(path)[1].lower()  # noqa: PTH122 - of a name, not of a file here


def readable(raw: bytes) -> Key:
    """(text, None) for a UTF-8 name, else (readable text, the bytes).

    >>> readable(b"caf\\xc3\\xa9.jpg")
    ('café.jpg', None)
    >>> readable(b"caf\\xe9.jpg")
    ('caf\\\\xe9.jpg', b'caf\\xe9.jpg')
    """
    try:
        return raw.decode(), None
    except UnicodeDecodeError:
        return raw.decode(errors="backslashreplace"), raw


def mark_of(*version: object) -> int:
    """A number in [0, 2^63) for a version, such as a checksum or an ETag: equal for equal ones."""
    digest = blake2b(repr(version).encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) >> 1
