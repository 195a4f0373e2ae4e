"""The URLs that can be sources, and what goes wrong on the way to them, in words.

A source's name stands with every image and in the audit log, so it must not hold a secret: what
opens it comes from the environment of each machine that reads it.
"""

import os
import re
from typing import Any, NamedTuple
from urllib.parse import quote, unquote_to_bytes, urlsplit

from errors import ReidError, UsageError, did_you_mean

CONNECT_S, SILENCE_S = 20, 60  # until a web server must answer, and say something more
_WEB = ("http", "https")
_HOST = re.compile(r"([^:\[\]]+|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?")
_SECRETS = (
    'leave it out and give it by the environment: FSSPEC_HTTPS=\'{"headers": {"Authorization": '
    '"..."}}\' for the web, the usual settings of the store for others (docs/ingest.md)'
)


class BadUrl(UsageError):
    """The URL cannot be a source."""


class RemoteMissing(UsageError):
    """A package that reads such URLs is not installed."""

    http_status = 501


class Unreachable(ReidError):
    """What is behind the URL cannot be had now; nothing is known of its files."""

    http_status = 502


class RemotePlace(NamedTuple):
    """A checked URL: `files` is fsspec's file system for it, `root` the path on that, without a
    slash at its end."""

    name: str
    files: Any
    root: str
    web: bool


def place_of(url: str) -> RemotePlace:
    """Opens nothing yet. Raises BadUrl, RemoteMissing."""
    scheme, web = url.partition("://")[0].lower(), url.lower().startswith(("http:", "https:"))
    _check(url, web)
    name = _canonical(url) if web else f"{scheme}://{url.partition('://')[2].rstrip('/')}"
    files = _file_system(scheme, name)
    root = name if web else str(files._strip_protocol(name)).rstrip("/")
    return RemotePlace(name, files, root, web)


def _check(url: str, web: bool) -> None:
    """What the message repeats of the URL is never more than its first word."""
    rest = url.partition("://")[2]
    if "::" in url:
        raise BadUrl("a chain of URLs (::) is no source; name the archive itself")
    if not rest.strip("/"):
        raise BadUrl(f"{url} names no folder and no archive")
    user, at, _ = rest.partition("/")[0].rpartition("@")
    if at and (web or ":" in user):
        raise BadUrl(
            f"the URL holds a name or a password, which would stand with every image; {_SECRETS}"
        )
    if web and not _HOST.fullmatch(rest.partition("/")[0]):
        raise BadUrl(
            "the URL names no server; expected https://HOST/PATH or https://HOST:PORT/PATH"
        )
    if web and re.search(r"[?#]", rest):
        raise BadUrl(
            "the URL has a query or a fragment (? or #), which may hold a secret and would stand "
            f"with every image; {_SECRETS}, or download the archive first"
        )


def _canonical(url: str) -> str:
    """The web's one form of a URL: listings give names in it."""
    parts = urlsplit(url)
    path = quote(unquote_to_bytes(parts.path.rstrip("/")))
    return f"{parts.scheme.lower()}://{parts.netloc.lower()}{path}"


def _file_system(scheme: str, name: str) -> Any:
    try:
        import fsspec
    except ImportError as error:
        raise RemoteMissing(_install(error)) from None
    try:
        options: dict[str, Any] = {}
        if scheme in _WEB:
            import aiohttp

            options["timeout"] = aiohttp.ClientTimeout(
                total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S
            )
        files, _ = fsspec.url_to_fs(name, **options)
    except ImportError as error:
        raise RemoteMissing(_install(error)) from None
    except ValueError as error:
        known = sorted(fsspec.available_protocols())
        if scheme not in known:
            hint = did_you_mean(scheme, known) or "; such as https, s3, gs, sftp"
            raise BadUrl(f"nothing reads {scheme}:// URLs{hint}") from None
        raise BadUrl(f"{name} cannot be a source: {plain(error)}") from None
    except Exception as error:  # each kind of store has its own ways to refuse its settings
        raise Unreachable(f"{name} cannot be opened: {plain(error)}") from None
    return files


def _install(error: ImportError) -> str:
    missing = f"{error.name!r} is not installed" if error.name else plain(error)
    return (
        f"nothing here reads such URLs ({missing}); for the web install the extra: "
        "pip install 'reid-search[remote]', for another store its fsspec package"
    )


def plain(error: BaseException) -> str:
    """What an error says, in one line, without what may be secret in a URL that it repeats."""
    said = " ".join(str(error).split()) or type(error).__name__
    said = re.sub(r"//[^/\s@]+@", "//", said)
    return re.sub(r"\?[^\s'\")]+", "", said)[:200]


class Problem(NamedTuple):
    """`gone` where the server has said that there is no such thing, rather than nothing; `status`
    is a web server's."""

    words: str
    gone: bool = False
    status: int | None = None


_STATUS = {
    401: "it asks for a password (401), which docs/ingest.md says how to give",
    403: "it is forbidden (403)",
    404: "it is not there (404)",
    410: "it is not there any more (410)",
}


def problem_of(error: BaseException) -> Problem:
    """Why a request failed. fsspec says "not found" for any failure; the cause stands behind it."""
    last = error
    while True:
        status = getattr(last, "status", None)
        if isinstance(status, int):
            words = _STATUS.get(status, f"the server says {status}")
            return Problem(words, status in (404, 410), status)
        if last.__cause__ is None:
            break
        last = last.__cause__
    if isinstance(last, TimeoutError):
        return Problem("it does not answer")
    if isinstance(last, FileNotFoundError):
        return Problem("it is not there", gone=True)
    if isinstance(last, ConnectionError) and last.errno:
        return Problem(f"no connection ({os.strerror(last.errno)})")
    if isinstance(last, PermissionError):
        return Problem("it is forbidden")
    return Problem(plain(last))
