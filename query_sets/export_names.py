"""How images are named in exported files, so that every line parses back to exact names.

An image is named by its base name, or by its whole relative path where the base name occurs twice
in what is exported (a base name holds no "/", so the two forms cannot meet). In either, the
characters that the files' grammar uses - percent, comma, colon, quotes, backslash, control
characters, leading and trailing spaces - and bytes that are no UTF-8 stand as %XX, as in a URL;
`urllib.parse.unquote_to_bytes` gives the name back.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from typing import TypeVar

Key = tuple[str, bytes | None]  # a path and, only where it is no UTF-8, its bytes
_Image = TypeVar("_Image", bound=Hashable)
_GRAMMAR = set("%,:\"'\\")


def exported(path: str, raw: bytes | None = None) -> str:
    """One path as it stands in a file; its last part is the base name as it stands there.

    >>> exported("000616.jpg"), exported("cam 1/a, b.jpg"), exported("?", b"caf\\xe9.jpg")
    ('000616.jpg', 'cam 1/a%2C b.jpg', 'caf%E9.jpg')
    """
    text = path if raw is None else raw.decode(errors="surrogateescape")
    return "/".join(_part(part) for part in text.split("/"))


def _part(text: str) -> str:
    out: list[str] = []
    last = len(text) - 1
    for position, char in enumerate(text):
        edge = char == " " and position in (0, last)
        if edge or char in _GRAMMAR or not (char.isprintable() or char == " "):
            out += (f"%{byte:02X}" for byte in char.encode(errors="surrogateescape"))
        else:
            out.append(char)
    return "".join(out)


def in_collection(collection: str, path: str, raw: bytes | None) -> str:
    """A path led by its collection's name, as one part: no two of several collections are equal.

    >>> in_collection("a/b", "c.jpg", None)
    'a%2Fb/c.jpg'
    """
    return f"{_part(collection).replace('/', '%2F')}/{exported(path, raw)}"


def shortest(wholes: Mapping[_Image, str]) -> dict[_Image, str]:
    """Each exported path's base name where it is the only one so called, else the whole path."""
    bases = {image: whole.rsplit("/", 1)[-1] for image, whole in wholes.items()}
    counts = Counter(bases.values())
    return {image: base if counts[base] == 1 else wholes[image] for image, base in bases.items()}


def unambiguous(paths: Iterable[Key]) -> dict[Key, str]:
    """Each path's name in a file: its base name where that is the only one, else the whole path."""
    return shortest({key: exported(*key) for key in paths})
