"""What can be seen of an embedded server from outside: its `postmaster.pid` and its processes."""

import os
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True)
class Running:
    """A living server. `sockets` and `tcp_host` are None where it has opened none (yet); `ready`
    says that it takes connections."""

    pid: int
    port: int
    sockets: Path | None
    tcp_host: str | None
    ready: bool = False


def running(data: Path) -> Running | None:
    """The server of a data folder, None where none lives; a left-over file does not count."""
    try:
        lines = os.fsdecode((data / "postmaster.pid").read_bytes()).splitlines()
        pid, port = int(lines[0]), int(lines[3])
        os.kill(pid, 0)
    except (OSError, ValueError, IndexError):
        return None
    if _PROC.exists() and not _works_in(pid, data):
        return None  # another process has got the number of a server that was killed
    sockets, host = (line.strip() for line in (*lines[4:6], "", "")[:2])
    ready = len(lines) > 7 and lines[7].strip() in ("ready", "standby")
    return Running(pid, port, Path(sockets) if sockets else None, host or None, ready)


def orphans(data: Path) -> list[int]:
    """Processes that work in a data folder: while they live, no new server may start there."""
    if not _PROC.exists():
        return []
    pids = [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if _works_in(pid, data)]


def forget_dead(data: Path) -> None:
    """Removes a dead server's `postmaster.pid`, whose number may be somebody else's by now.

    Only where `orphans` can tell; elsewhere Postgres itself decides.
    """
    if _PROC.exists():
        (data / "postmaster.pid").unlink(missing_ok=True)


def _works_in(pid: int, data: Path) -> bool:
    # every process of a server stays in its data folder, whatever name it was started under
    try:
        return (_PROC / str(pid) / "cwd").readlink() == data.resolve()
    except OSError:
        return False
