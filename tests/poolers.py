"""A pgbouncer of a test's own, before a server of the test's own; skipped where there is none."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from tests.servers import free_port

_CONFIGURATION = """
[databases]
* = host={host} port={port} user={user} password={password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = 4
logfile = {folder}/log
pidfile = {folder}/pid
"""


@contextmanager
def pgbouncer(server_url: str, mode: str = "transaction") -> Iterator[str]:
    """The server's URL through a pooler."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("no pgbouncer is installed here")
    url = make_url(server_url)
    listen, folder = free_port(), Path(tempfile.mkdtemp(prefix="reid-pooler-"))
    folder.chmod(0o777)
    configuration = folder / "pgbouncer.ini"
    configuration.write_text(
        _CONFIGURATION.format(
            host=url.host, port=url.port, user=url.username, password=url.password,
            listen=listen, mode=mode, folder=folder,
        )
    )  # fmt: skip
    # it refuses to run as root
    other = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}
    running = subprocess.Popen([program, "-q", configuration], **other)  # type: ignore[call-overload]
    try:
        _wait(listen)
        through = url.set(host="127.0.0.1", port=listen, password=None)
        yield through.set(password="any").render_as_string(hide_password=False)
    finally:
        running.terminate()
        running.wait()
        shutil.rmtree(folder)


def _wait(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError("pgbouncer did not start")
