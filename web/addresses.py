"""The page's own addresses. Behind a proxy they may lie below a prefix: every link, form, redirect
and cookie takes it from here."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from starlette.types import Scope

_PREFIX: ContextVar[str] = ContextVar("prefix", default="")


def prefix() -> str:
    """Empty, or `/...` without a slash at the end: that of the request that is being answered."""
    return _PREFIX.get()


def to(path: str) -> str:
    """The address of one of the page's paths, for a browser.

    >>> with below("/find"):
    ...     to("/search")
    '/find/search'
    """
    return prefix() + path


@contextmanager
def below(given: str) -> Iterator[None]:
    """Let addresses begin with a prefix, within the context."""
    token = _PREFIX.set(given)
    try:
        yield
    finally:
        _PREFIX.reset(token)


def path_of(scope: Scope) -> str:
    """The path without the prefix, as the routes have it."""
    return str(scope["path"]).removeprefix(scope.get("root_path", "")) or "/"
