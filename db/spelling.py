"""One name may be written by several sequences of characters: é is one, or an e and an accent.

macOS writes the second into file names, keyboards and Linux the first. Names that a person gives
to things are kept in the first form (NFC); paths are kept as they are, since they open the file.
Whoever asks for either may write it in any form.
"""

from collections.abc import Iterable
from unicodedata import normalize


def one_form(text: str) -> str:
    """The form that all spellings of a text share.

    >>> one_form("cafe\\u0301") == one_form("caf\\u00e9") == "caf\\u00e9"
    True
    """
    return normalize("NFC", text)


def spellings(text: str) -> list[str]:
    """The forms in which a text may stand, as it was written first; of plain ASCII only one."""
    return list(dict.fromkeys((text, one_form(text), normalize("NFD", text))))


def as_stored(text: str, stored: Iterable[str]) -> str | None:
    """Which of the stored names is meant: one that is exactly so written before one that is not."""
    names = list(stored)
    return text if text in names else {one_form(name): name for name in names}.get(one_form(text))
