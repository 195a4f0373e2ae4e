"""The one family of errors that a user sees.

ReidError                 exit code 1: something failed
├── UsageError            exit code 2: the question was wrong, ask differently
└── PartialFailure        exit code 3: finished, but some items failed

Each room derives its own classes from these. A message is one sentence that says what is wrong,
then the way out. The command line turns the class into an exit code in one place (`cli.py`).
"""

from difflib import get_close_matches
from typing import ClassVar


class ReidError(Exception):
    """Something failed; the message says what, and what to do about it."""

    exit_code: ClassVar[int] = 1


class UsageError(ReidError):
    """The question itself was wrong; nothing was changed."""

    exit_code: ClassVar[int] = 2


class PartialFailure(ReidError):
    """The work is finished, but some or all items failed."""

    exit_code: ClassVar[int] = 3


def did_you_mean(word: str, known: list[str]) -> str:
    """`"; did you mean 'hat'?"` for the nearest of `known`, or an empty string."""
    near = get_close_matches(word.lower(), [name.lower() for name in known], n=1, cutoff=0.5)
    if not near:
        return ""
    original = next(name for name in known if name.lower() == near[0])
    return f"; did you mean {original!r}?"
