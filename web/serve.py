"""`reid serve`: the web page and the API."""

import errno
import importlib
import math
import secrets
import socket
from contextlib import suppress
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from commands import options
from commands.output import note
from errors import ReidError, UsageError
from settings import Settings

if TYPE_CHECKING:
    from web.proxies import Proxies
    from web.public_url import PublicUrl
    from web.tokens import Token


class CannotListen(ReidError):
    """The address cannot be had."""


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="The port; 0 takes a free one.",
)
@click.option(
    "--token",
    "with_token",
    is_flag=True,
    help="Ask for an admin's token: REID_TOKEN where it is set, else a new one. Without any token "
    "the page is for this machine alone.",
)
@click.option(
    "--tokens",
    "tokens_file",
    type=click.Path(path_type=Path),
    envvar="REID_TOKENS_FILE",
    metavar="FILE",
    help="A token a person: lines of NAME ROLE TOKEN, a role of read, review or admin.",
)
@click.option(
    "--public-url",
    envvar="REID_PUBLIC_URL",
    metavar="URL",
    help="Where people reach the page, if that is not the address it listens on: behind a proxy, "
    "below a /PREFIX, or by a name of this machine.",
)
@click.option(
    "--trusted-proxy",
    "trusted_proxies",
    multiple=True,
    envvar="REID_TRUSTED_PROXIES",
    metavar="ADDRESS",
    help="A proxy's address or network, whose X-Forwarded-For says who asks; may be given several "
    "times. With --public-url, one on this machine is believed anyway.",
)
def serve(
    host: str,
    port: int,
    with_token: bool,
    tokens_file: Path | None,
    public_url: str | None,
    trusted_proxies: tuple[str, ...],
) -> None:
    """Serve the web page and the API until Ctrl-C.

    It listens on this machine alone; on any other address, and with a --public-url that others can
    reach, a token is required. REID_TOKEN lets do
    everything, REID_TOKEN_REVIEW search, store queries and judge, REID_TOKEN_READ search alone.
    REID_RATE_LIMIT is how many requests one client may send in a minute (1,200; 0 is no limit).
    """
    tokens = _tokens(tokens_file)
    per_minute = _rate_limit()
    public, proxies = _front(public_url, trusted_proxies)
    addresses = _addresses(host, port)
    if not (with_token or tokens):
        _check_private(host, addresses, public)
    if find_spec("fastapi") is None or find_spec("uvicorn") is None:
        raise ReidError("the page's packages are missing; run `make install`")
    admins = any(token.role.word == "admin" for token in tokens)
    new = secrets.token_urlsafe() if with_token and not admins else None
    with _listening(host, port, addresses[0][0]) as listening:
        engine = options.database()
        # by name: commands and web do not import each other
        app = importlib.import_module("web.app").create_app(
            engine,
            token=new,
            tokens=tokens,
            host=host,
            public_url=public,
            proxies=proxies,
            device=Settings.from_environment().device,
            **({} if per_minute is None else {"per_minute": per_minute}),
        )
        url = public.address if public else _url(host, listening.getsockname()[1])
        if new is not None:
            access = app.state.reid.access
            code = access.new_code(access.token_of(new))
            note(f"the page is at {url}/login#code={code} (Ctrl-C stops it)")
            note(f"this link signs in once; the token is {new}")
        else:
            note(_greeting(url, tokens))
        if public:
            note(f"it listens on {_url(host, listening.getsockname()[1])}, for the proxy")
        elif _is_everywhere(host):
            note("from other machines, this one's name or address takes the place of localhost")
        _run(app, listening)
    note("stopped")


def _tokens(file: Path | None) -> "list[Token]":
    """Raises BadToken."""
    from web.tokens import distinct, from_environment, from_file

    return distinct([*from_environment(), *([] if file is None else from_file(file))])


def _front(
    public_url: str | None, trusted_proxies: tuple[str, ...]
) -> "tuple[PublicUrl | None, Proxies]":
    """Raises BadPublicUrl, BadProxy."""
    from web.proxies import Proxies
    from web.public_url import PublicUrl

    given = (public_url or "").strip()
    return PublicUrl.parse(given) if given else None, Proxies.parse(trusted_proxies)


def _check_private(
    host: str, addresses: list[tuple[socket.AddressFamily, str]], public: "PublicUrl | None"
) -> None:
    """Raises UsageError where others can reach a page that anybody may use."""
    others = [] if all(ip_address(address).is_loopback for _, address in addresses) else [host]
    if public is not None and not public.is_of_this_machine:
        others.append(public.address)
    if others:
        raise UsageError(
            f"{others[-1]} can be reached from other machines; add --token, so that only those "
            "who have it see the page"
        )


def _rate_limit() -> float | None:
    """Requests a minute from `REID_RATE_LIMIT`; None where it says nothing. Raises UsageError."""
    given = Settings.from_environment().rate_limit
    if not given:
        return None
    try:
        limit = float(given)
    except ValueError:
        limit = math.nan
    if not 0 <= limit < math.inf:  # false for nan too
        raise UsageError(
            f"REID_RATE_LIMIT is {given!r}; expected requests a minute, 0 for no limit"
        )
    return limit


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, str]]:
    """What the host means on this machine. Raises UsageError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        found = []
    if not host or not found:
        raise UsageError(
            f"no address is known for host {host!r}; try 127.0.0.1. --host is what to listen on: "
            "the name that others type is given by --public-url"
        )
    return [(family, str(where[0]).partition("%")[0]) for family, _, _, _, where in found]


def _listening(host: str, port: int, family: socket.AddressFamily) -> socket.socket:
    """Raises CannotListen."""
    try:
        listening = socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        reasons = {
            errno.EADDRINUSE: f"port {port} of {host} is in use; choose another one with --port",
            errno.EADDRNOTAVAIL: (
                f"{host} is no address of this machine; try 127.0.0.1. If it is a proxy's name, "
                "give that by --public-url"
            ),
            errno.EACCES: f"port {port} may not be taken; choose one above 1023 with --port",
        }
        said = reasons.get(error.errno or 0, f"cannot listen on {host}:{port}: {error.strerror}")
        raise CannotListen(said) from None
    # accepted sockets inherit it; the event loop sets it on sockets of its own making alone, and
    # without it the body of an answer waits until the client has acknowledged the headers
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _url(host: str, port: int) -> str:
    name = "localhost" if _is_everywhere(host) else f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}"


def _is_everywhere(host: str) -> bool:
    return host in ("0.0.0.0", "::")


def _greeting(url: str, tokens: "list[Token]") -> str:
    """A token that was given is named by where it stands, never printed."""
    if tokens:
        return f"the page is at {url}/login; {_names(tokens)} (Ctrl-C stops it)"
    return f"the page is at {url} (Ctrl-C stops it)"


def _names(tokens: "list[Token]") -> str:
    from web.tokens import VARIABLES

    shared = {token.role for token in tokens if token.name is None}
    names = [variable for variable, role in VARIABLES.items() if role in shared]
    people = sum(token.name is not None for token in tokens)
    if people:
        names.append(f"one of {people} in the file")
    return f"the token is {' or '.join(names)}"


def _run(app: Any, listening: socket.socket) -> None:
    import uvicorn

    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=5,
    )
    # Ctrl-C is the way to stop it: uvicorn finishes what is in hand, then raises it again
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listening])
