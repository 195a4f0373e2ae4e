"""How images are named in exported files, so that every line parses back to exact names.

An image is named by its base name, or by its whole relative path where the base name occurs twice
in what is exported (a base name holds no "/", so the two forms cannot meet). In either, the
characters that the files' grammar uses - percent, comma, colon, quotes, backslash, control
characters, leading and trailing spaces - and bytes that are no UTF-8 stand as %XX, as in a URL;
`urllib.parse.unquote_to_bytes` gives the name back.
"""

from collections import Counter
from collections.abc import Iterable

_GRAMMAR = set("%,:\"'\\")


def exported(name: str, raw: bytes | None = None) -> str:
    """One name as it stands in a file.

    >>> exported("000616.jpg"), exported("a, b.jpg"), exported("?", b"caf\\xe9.jpg")
    ('000616.jpg', 'a%2C b.jpg', 'caf%E9.jpg')
    """
    out: list[str] = []
    text = name if raw is None else raw.decode(errors="surrogateescape")
    last = len(text) - 1
    for position, char in enumerate(text):
        edge = char == " " and position in (0, last)
        if edge or char in _GRAMMAR or not (char.isprintable() or char == " "):
            out += (f"%{byte:02X}" for byte in char.encode(errors="surrogateescape"))
        else:
            out.append(char)
    return "".join(out)


def unambiguous(paths: Iterable[tuple[str, bytes | None]]) -> dict[tuple[str, bytes | None], str]:
    """Each path's name in a file: its base name where that is the only one, else the whole path."""
    listed = list(paths)
    bases = {key: _base(*key) for key in listed}
    counts = Counter(bases.values())
    return {key: base if counts[base] == 1 else exported(*key) for key, base in bases.items()}


def _base(path: str, raw: bytes | None) -> str:
    return exported(path.rsplit("/", 1)[-1], None if raw is None else raw.rsplit(b"/", 1)[-1])
