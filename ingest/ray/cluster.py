"""A Ray to work on: one of our own, on this machine and for as long as it is needed, or one that
runs already.

Ray answers on every network address of the machine, and whoever reaches it runs code as its user:
our own asks for a token that nobody else knows.
"""

import logging
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from ipaddress import ip_address
from itertools import count
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from sqlalchemy.engine import URL

from errors import ReidError, UsageError

# a socket's path may have 107 bytes; Ray's longest is 64 longer than this folder's
_FOLDER_LIMIT = 43
_SETTINGS = {
    "RAY_worker_niceness": "0",  # else its processes give way to everything else that runs
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_DATA_LOG_LEVEL": "CRITICAL",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # or what went wrong elsewhere stands on standard output
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # what Ray will do without it some day, unsaid
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # under `uv run` it would upload the working folder
}


class RayMissing(ReidError):
    """Ray is not installed."""

    http_status = 501


class NoCluster(ReidError):
    """No Ray can be started, or none answers at the address."""

    http_status = 503


class NotAnAddress(UsageError):
    """A way to a cluster that an ingest cannot take."""


class ClusterTooSmall(ReidError):
    """Reading and the model cannot run beside each other."""

    http_status = 503


class DatabaseOutOfReach(UsageError):
    """The cluster's other machines cannot reach the database."""

    http_status = 503


class NotRaysDevice(UsageError):
    """A device that Ray does not hand out."""


@dataclass(frozen=True)
class ClusterPlan:
    """How many tasks read at once, and how many actors hold a model, each on its GPU or a CPU."""

    readers: int
    models: int
    device: str  # cpu or cuda

    @property
    def gpus_each(self) -> int:
        return 1 if self.device == "cuda" else 0


def plan(cpus: int, gpus: int, readers: int, device: str | None) -> ClusterPlan:
    """Shares a cluster out: an actor a GPU, or else on three of four CPUs; the rest reads, in at
    most `readers` tasks.

    Raises ClusterTooSmall, NotRaysDevice.
    """
    check_device(device)
    if device == "cuda" and not gpus:
        raise NotRaysDevice("the cluster has no GPU; leave out --device cuda")
    use_gpus = bool(gpus) and device != "cpu"
    models = gpus if use_gpus else max(1, cpus - max(1, cpus // 4))
    if cpus <= models:
        raise ClusterTooSmall(
            f"the cluster has {cpus} CPUs, expected {models + 1} or more: one for each model, and "
            "one that reads"
        )
    return ClusterPlan(min(readers, cpus - models), models, "cuda" if use_gpus else "cpu")


def check_installed() -> None:
    """Raises RayMissing."""
    if find_spec("ray") is None:
        raise RayMissing(
            "the package ray is not installed; `pip install 'ray[data]'`, or this program with "
            "its extra `cluster`"
        )


def check_address(address: str | None) -> None:
    """Raises NotAnAddress for Ray Client, whose commands are no part of the cluster."""
    if address is not None and address.startswith("ray://"):
        raise NotAnAddress(
            f"{address} is Ray Client's, which Ray Data does without; run the command on a machine "
            "of the cluster, with --address auto"
        )


def check_device(name: str | None) -> None:
    """Raises NotRaysDevice."""
    if name not in (None, "", "auto", "cpu", "cuda"):
        raise NotRaysDevice(f"Ray hands out the devices; expected cpu, cuda or auto, not {name}")


@contextmanager
def cluster(address: str | None, home: Path, database: URL) -> Iterator[Any]:
    """The module `ray`, connected: to the cluster at `address` (auto, host:port), or without one to
    a Ray of this process's own, with its files in `home`, gone at the end.

    Raises RayMissing, NotAnAddress, NoCluster, DatabaseOutOfReach.
    """
    check_installed()
    check_address(address)
    own = address in (None, "", "local")
    with _environment(_SETTINGS | (_token() if own else {})):
        import ray

        with own_folder(home) if own else _no_folder() as folder:
            start = {"address": "local", "num_cpus": _cpus(), "include_dashboard": False}
            start["_temp_dir"] = str(folder)
            _init(ray, start if own else {"address": address})
            try:
                alive = [node for node in ray.nodes() if node["Alive"]]
                check_reach([str(node["NodeManagerHostname"]) for node in alive], database)
                yield ray
            finally:
                ray.shutdown()


def _init(ray: Any, options: Mapping[str, Any], tries: int = 3) -> None:
    """Raises NoCluster. Ray itself waits half a minute for its start, which may be too short."""
    try:
        with _no_stderr():
            ray.init(**options, log_to_driver=False, logging_level=logging.CRITICAL)
    except Exception as error:  # Ray raises that too
        ray.shutdown()
        said = " ".join(str(error).split())[:300]
        if options["address"] != "local":
            raise NoCluster(
                f"no Ray cluster can be used at {options['address']}; start one with `ray start "
                f"--head`, or leave out --address for one on this machine ({said})"
            ) from error
        if "timed out" not in said or tries == 1:
            raise NoCluster(f"Ray does not start here: {said}") from error
        _init(ray, options, tries - 1)


def _cpus() -> int:
    return max(2, os.cpu_count() or 2)  # a model and a reader, in turn where there is one core


@cache  # Ray reads it once a process
def _token() -> dict[str, str]:
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


@contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
    """What Ray's processes are started with."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _no_stderr() -> Iterator[None]:
    """Without what Ray's libraries say on starting; what goes wrong is raised."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextmanager
def own_folder(home: Path) -> Iterator[Path]:
    """An empty private folder; what a killed run has left in its place is gone."""
    parent = home / "ray"
    if len(os.fsencode(parent)) + 3 > _FOLDER_LIMIT:
        made = Path(tempfile.mkdtemp(prefix="reid-ray-", dir="/tmp"))
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)
        return
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number in count(1):
        folder = parent / str(number)
        lock = FileLock(parent / f"{number}.lock", timeout=0)
        with suppress(Timeout), lock:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700, exist_ok=True)
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            return


@contextmanager
def _no_folder() -> Iterator[None]:
    yield None


def check_reach(hosts: Iterable[str], database: URL) -> None:
    """Raises DatabaseOutOfReach where a cluster of these machines has to do without it."""
    others = sorted(set(hosts) - {socket.gethostname()})
    if others and is_of_this_machine(database):
        where = f"its URL says {database.host}" if database.host else "it is the embedded one"
        raise DatabaseOutOfReach(
            f"the cluster has other machines ({', '.join(others[:3])}), and they cannot reach the "
            f"database: {where}; name a server that they reach in REID_DATABASE_URL, or leave out "
            "--address"
        )


def is_of_this_machine(database: URL) -> bool:
    """Whether a database's URL means something on this machine only: a socket, or loopback.

    >>> from sqlalchemy.engine import make_url
    >>> is_of_this_machine(make_url("postgresql://reid@/reid?host=/home/me/socket"))
    True
    >>> is_of_this_machine(make_url("postgresql://reid@db.example:5432/reid"))
    False
    """
    host = database.host or str(database.query.get("host", ""))
    if not host or host.startswith("/") or host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
