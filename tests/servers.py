"""Embedded servers of a test's own, each stopped and removed at its end."""

import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from db.server.embedded import EmbeddedServer


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


@contextmanager
def temporary_home(below: str = "home") -> Iterator[Path]:
    """A folder that is not there yet; its server is stopped and all of it removed."""
    parent = Path(tempfile.mkdtemp(prefix="reid-"))
    home = parent / below
    try:
        yield home
    finally:
        server = EmbeddedServer(home)
        sockets = server.socket_folder
        if home.exists():
            server.stop()
        shutil.rmtree(parent)
        shutil.rmtree(sockets, ignore_errors=True)


@contextmanager
def tcp_server() -> Iterator[EmbeddedServer]:
    """A server started separately that listens on TCP and asks for a password."""
    with temporary_home() as home:
        server = EmbeddedServer(home, listen=("127.0.0.1", free_port()))
        server.ensure_running()
        yield server
