"""The one family of errors that a user sees.

ReidError                 exit code 1, HTTP 500: something failed
├── UsageError            exit code 2, HTTP 400: the question was wrong, ask differently
└── PartialFailure        exit code 3, HTTP 500: finished, but some items failed

Each room derives its own classes from these. A class says itself with which HTTP status the page
and the API answer, where its family's is not the right one: 404 for what is not there, 409 for what
is in the way, 503 for what this machine cannot do now. A message is one sentence that says what is
wrong, then the way out. `cli.py` and `web/error_handlers.py` alone turn a class into an answer.
"""

from difflib import get_close_matches
from typing import ClassVar


class ReidError(Exception):
    """Something failed; the message says what, and what to do about it."""

    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500


class UsageError(ReidError):
    """The question itself was wrong; nothing was changed."""

    exit_code: ClassVar[int] = 2
    http_status: ClassVar[int] = 400


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
