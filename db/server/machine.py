"""The embedded server's settings, by what this process may use of its machine."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_UNKNOWN_MB = 4096
_LEAST_SHARED_MB = 256  # below it, a parallel query may find no room for what its workers share


@dataclass(frozen=True)
class Machine:
    """`memory_mb` and `cores` within a container's limits; `shared_mb` is the size of /dev/shm,
    None where there is no such folder to be too small."""

    memory_mb: int
    cores: int
    shared_mb: int | None = None


def this_machine(root: Path = Path("/")) -> Machine:
    """What the system has, or what cgroup v2 leaves this process of it."""
    try:
        memory_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    except (ValueError, OSError):
        memory_mb = _UNKNOWN_MB
    cores = float(_usable_cores())
    for group in _groups(root):
        match _words(group / "memory.max"):
            case [limit] if limit.isdecimal():
                memory_mb = min(memory_mb, int(limit) // 2**20)
        match _words(group / "cpu.max"):
            case [quota, period] if quota.isdecimal():
                cores = min(cores, int(quota) / int(period))
    shared = root / "dev" / "shm"
    shared_mb = shutil.disk_usage(shared).total // 2**20 if shared.is_dir() else None
    return Machine(memory_mb, max(1, int(cores)), shared_mb)


def _usable_cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1


def _groups(root: Path) -> Iterator[Path]:
    """This process's group and those it lies in: each may be the narrowest."""
    top = root / "sys" / "fs" / "cgroup"
    own = next((line[3:] for line in _lines(root / "proc/self/cgroup") if line[:3] == "0::"), "/")
    group = top / own.lstrip("/")
    yield group
    # a container may see a path of its host, which is not there: then only the top is
    yield from (parent for parent in group.parents if parent.is_relative_to(top))


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return []


def _words(file: Path) -> list[str]:
    return " ".join(_lines(file)).split()


def server_settings(machine: Machine) -> dict[str, str]:
    """Settings of a Postgres that shares its machine with a network and its data.

    `shared_buffers` 4 GB instead of 128 MB made an exact scan of 500,000 rows 1.8 times faster.
    A quarter is Postgres' own advice; it is taken only as pages are read, so that a small database
    costs little. 8 GB hold the features of three million images.
    """
    memory = machine.memory_mb
    building = _within(64, memory // 8, 2048)
    room = machine.shared_mb is None or machine.shared_mb >= _LEAST_SHARED_MB
    helpers = machine.cores - 1 if room else 0
    # a parallel index build keeps its graph in shared memory
    fits = machine.shared_mb is None or machine.shared_mb >= building + _LEAST_SHARED_MB
    return {
        "shared_buffers": f"{_within(128, memory // 4, 8192)}MB",
        "maintenance_work_mem": f"{building}MB",
        "effective_cache_size": f"{max(256, memory // 2)}MB",
        "work_mem": f"{_within(8, memory // 256, 64)}MB",
        "max_wal_size": "4GB",
        "max_connections": "200",
        "max_worker_processes": str(max(8, machine.cores)),
        "max_parallel_workers": str(max(8, machine.cores)),
        "max_parallel_workers_per_gather": str(min(4, helpers)),
        "max_parallel_maintenance_workers": str(min(8, helpers) if fits else 0),
        "jit": "off",
    }


def _within(least: int, value: int, most: int) -> int:
    return max(least, min(most, value))
