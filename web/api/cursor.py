"""Where the next piece of a long list starts: opaque to who asks, a key of the list to us."""

import json
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Sequence
from urllib.parse import urlencode

from fastapi import Request, Response

from errors import UsageError
from web.api.requests import MAX_ID

DEFAULT_ITEMS, MAX_ITEMS = 100, 1_000


class BadCursor(UsageError):
    """The cursor is none that this list gave."""


def written(key: Sequence[int]) -> str:
    """
    >>> read(written((7, 2)), 2)
    (7, 2)
    """
    return urlsafe_b64encode(json.dumps(list(key)).encode()).decode().rstrip("=")


def read(cursor: str | None, length: int) -> tuple[int, ...]:
    """A key of that many numbers; without a cursor zeros, before any. Raises BadCursor."""
    if cursor is None:
        return (0,) * length
    try:
        key = json.loads(b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True))
    except (ValueError, RecursionError):
        key = None
    numbers = isinstance(key, list) and all(type(n) is int and 0 <= n <= MAX_ID for n in key)
    if not numbers or len(key) != length:
        raise BadCursor("the cursor is none that this list gave; start without it")
    return tuple(key)


def next_address(request: Request, response: Response, key: Sequence[int]) -> str:
    """The address of the next piece, which the `Link` header names too."""
    rest = [(n, v) for n, v in request.query_params.multi_items() if n != "cursor"]
    address = f"{request.url.path}?{urlencode([*rest, ('cursor', written(key))])}"
    response.headers["Link"] = f'<{address}>; rel="next"'
    return address
