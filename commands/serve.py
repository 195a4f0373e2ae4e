"""`reid serve`: the web page."""

import errno
import importlib
import os
import secrets
import socket
from contextlib import suppress
from importlib.util import find_spec
from ipaddress import ip_address
from typing import Any

import click

from commands import options
from commands.output import note
from errors import ReidError, UsageError

MIN_TOKEN = 16  # characters; 22 are generated


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
    help="Ask for a token: REID_TOKEN where it is set, else a new one. Needed beyond loopback.",
)
def serve(host: str, port: int, with_token: bool) -> None:
    """Serve the web page until Ctrl-C.

    It listens on this machine alone; on any other address a token is required.
    """
    given = os.environ.get("REID_TOKEN") or None
    if given is not None and len(given) < MIN_TOKEN:
        raise UsageError(f"REID_TOKEN has fewer than {MIN_TOKEN} characters; choose a longer one")
    addresses = _addresses(host, port)
    if not (with_token or given) and not all(ip_address(a).is_loopback for _, a in addresses):
        raise UsageError(
            f"{host} can be reached from other machines; add --token, so that only those who "
            "have it see the page"
        )
    if find_spec("fastapi") is None or find_spec("uvicorn") is None:
        raise ReidError("the page's packages are missing; run `make install`")
    token = given or (secrets.token_urlsafe() if with_token else None)
    with _listening(host, port, addresses[0][0]) as listening:
        engine = options.database()
        # by name: commands and web do not import each other
        app = importlib.import_module("web.app").create_app(
            engine, token=token, host=host, device=os.environ.get("REID_DEVICE")
        )
        for line in _greeting(host, listening.getsockname()[1], token, is_new=not given):
            note(line)
        _run(app, listening)
    note("stopped")


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, str]]:
    """What the host means on this machine. Raises UsageError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        found = []
    if not host or not found:
        raise UsageError(f"no address is known for host {host!r}; try 127.0.0.1")
    return [(family, str(where[0]).partition("%")[0]) for family, _, _, _, where in found]


def _listening(host: str, port: int, family: socket.AddressFamily) -> socket.socket:
    """Raises CannotListen."""
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        reasons = {
            errno.EADDRINUSE: f"port {port} of {host} is in use; choose another one with --port",
            errno.EADDRNOTAVAIL: f"{host} is no address of this machine; try 127.0.0.1",
            errno.EACCES: f"port {port} may not be taken; choose one above 1023 with --port",
        }
        said = reasons.get(error.errno or 0, f"cannot listen on {host}:{port}: {error.strerror}")
        raise CannotListen(said) from None


def _greeting(host: str, port: int, token: str | None, *, is_new: bool) -> list[str]:
    everywhere = host in ("0.0.0.0", "::")
    name = "localhost" if everywhere else f"[{host}]" if ":" in host else host
    url = f"http://{name}:{port}"
    if token is None:
        first = f"the page is at {url} (Ctrl-C stops it)"
    elif is_new:
        first = f"the page is at {url}/login?token={token} (Ctrl-C stops it)"
    else:
        first = f"the page is at {url}/login; the token is REID_TOKEN (Ctrl-C stops it)"
    beyond = "from other machines, this one's name or address takes the place of localhost"
    return [first, beyond] if everywhere else [first]


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
