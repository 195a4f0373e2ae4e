"""The embedded Postgres: started on demand, shared by every process, stopped only on request.

Everything lies in `REID_HOME/postgres`, private to the user. The server listens on a Unix socket in
a private folder; TCP is off unless `listen` is given, and then a password is asked for.
"""

import hashlib
import os
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from filelock import FileLock, Timeout
from psycopg import sql

from db.embedded_process import EmbeddedServerFailed, hand_over, run, start

USER, DATABASE = "reid", "reid"
_PATIENCE_S = 600  # a recovery after a crash may replay much
_SOCKET_LIMIT = 90  # bytes; the system allows 107 with the file name


@dataclass(frozen=True)
class EmbeddedServer:
    """A server in `home`, running or not. `listen` is None or (host, port) for TCP too."""

    home: Path
    listen: tuple[str, int] | None = None

    @property
    def data(self) -> Path:
        return self.home / "postgres"

    @property
    def log(self) -> Path:
        return self.home / "postgres.log"

    @property
    def password_file(self) -> Path:
        return self.home / "postgres.password"

    @property
    def socket_folder(self) -> Path:
        """Beside the data where the path is short enough for a socket, else a private one."""
        beside = self.home / "socket"
        if len(os.fsencode(beside)) <= _SOCKET_LIMIT:
            return beside
        digest = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"reid-{os.getuid()}-{digest}"

    def url(self) -> str:
        """A libpq URL for the socket."""
        return f"postgresql://{USER}@/{DATABASE}?host={self.socket_folder}"

    def tcp_url(self) -> str:
        """A libpq URL with the password, where the server listens on TCP."""
        if self.listen is None:
            raise ValueError("expected a server that listens on TCP")
        host, port = self.listen
        password = self.password_file.read_text().strip()
        return f"postgresql://{USER}:{password}@{host}:{port}/{DATABASE}"

    def ensure_running(self) -> None:
        """Creates the server where there is none, starts it where it stands, returns when ready.

        Raises EmbeddedServerFailed.
        """
        if self._answers():
            return
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            with self._lock():
                if not (self.data / "PG_VERSION").exists():
                    self._create()
                self._start()
        except OSError as error:
            raise EmbeddedServerFailed(
                f"cannot keep the embedded database in {self.home}: {error.strerror}; "
                "set REID_HOME to a folder of your own"
            ) from error

    def stop(self) -> bool:
        """Ends every session and shuts down cleanly; False where nothing ran."""
        with self._lock():
            pid = self._pid()
            if pid is None:
                return False
            os.kill(pid, signal.SIGINT)
            self._wait_for(lambda: self._pid() is None, "stop")
            return True

    @contextmanager
    def _lock(self) -> Iterator[None]:
        lock = FileLock(self.home / "postgres.lock", timeout=_PATIENCE_S)
        try:
            lock.acquire()
        except Timeout:
            raise EmbeddedServerFailed(
                f"another process has held {lock.lock_file} for {_PATIENCE_S} s"
            ) from None
        try:
            yield
        finally:
            lock.release()

    def _create(self) -> None:
        # a crash in initdb leaves half a folder; PG_VERSION is there only when it went through
        building = self.home / "postgres.new"
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir()
        hand_over(building)
        if not self.password_file.exists():
            self.password_file.touch(mode=0o600)
            self.password_file.write_text(secrets.token_urlsafe(24) + "\n")
        run(
            "initdb",
            [
                f"--pgdata={building}",
                f"--username={USER}",
                "--auth-local=trust",
                "--auth-host=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-instructions",
            ],
        )
        shutil.rmtree(self.data, ignore_errors=True)
        building.rename(self.data)

    def _start(self) -> None:
        if self._pid() is None:
            self.socket_folder.mkdir(parents=True, exist_ok=True)
            hand_over(self.socket_folder)
            (self.data / "postmaster.pid").unlink(missing_ok=True)
            process = start(self._arguments(), self.log)
            self._wait_for(lambda: process.poll() is not None or self._answers(), "start")
        else:
            self._wait_for(lambda: self._pid() is None or self._answers(), "start")
        if not self._answers():
            raise EmbeddedServerFailed(
                f"the embedded Postgres did not start: {self._last_words()}; see {self.log}"
            )
        self._prepare()

    def _prepare(self) -> None:
        """The database and, where TCP is on, the user's password."""
        with self._maintenance() as connection:
            exists = connection.execute(
                "SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]
            ).fetchone()
            if not exists:
                connection.execute(f"CREATE DATABASE {DATABASE}")
            password = self.password_file.read_text().strip()
            connection.execute(
                sql.SQL("ALTER ROLE {} PASSWORD {}").format(
                    sql.Identifier(USER), sql.Literal(password)
                )
            )

    def _maintenance(self) -> "psycopg.Connection[tuple[object, ...]]":
        return psycopg.connect(
            host=str(self.socket_folder), user=USER, dbname="postgres", autocommit=True
        )

    def _answers(self) -> bool:
        if not any(self.socket_folder.glob(".s.PGSQL.*")):
            return False
        try:
            self._maintenance().close()
        except psycopg.OperationalError:
            return False
        return True

    def _pid(self) -> int | None:
        """The running server's process, None where there is none or the file is left over."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            pid = int(lines[0])
            os.kill(pid, 0)
            command = Path(f"/proc/{pid}/cmdline")
            if command.exists() and str(self.data).encode() not in command.read_bytes():
                return None
        except (OSError, ValueError, IndexError):
            return None
        return pid

    def _arguments(self) -> list[str]:
        settings = {
            "listen_addresses": self.listen[0] if self.listen else "",
            "port": str(self.listen[1]) if self.listen else "5432",
            "unix_socket_directories": str(self.socket_folder),
            "unix_socket_permissions": "0700",
            "logging_collector": "off",
            "log_min_messages": "warning",
            **machine_settings(),
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return ["-D", str(self.data), *options]

    def _wait_for(self, condition: Callable[[], bool], verb: str) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        pause = 0.01
        while not condition():
            if time.monotonic() > deadline:
                raise EmbeddedServerFailed(
                    f"the embedded Postgres did not {verb} in {_PATIENCE_S} s; see {self.log}"
                )
            time.sleep(pause)
            pause = min(0.25, pause * 1.5)

    def _last_words(self) -> str:
        try:
            lines = self.log.read_text(errors="replace").strip().splitlines()
        except OSError:
            return "no log was written"
        telling = [line for line in lines if "FATAL" in line or "PANIC" in line or "ERROR" in line]
        return (telling or lines or ["no log was written"])[-1]


def machine_settings() -> dict[str, str]:
    """Server settings by the size of the machine."""
    try:
        memory_mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    except (ValueError, OSError):
        memory_mb = 4096
    cores = os.cpu_count() or 2
    return {
        "shared_buffers": f"{max(128, min(4096, memory_mb // 8))}MB",
        "maintenance_work_mem": f"{max(64, min(1024, memory_mb // 16))}MB",
        "effective_cache_size": f"{max(256, memory_mb // 2)}MB",
        "work_mem": "32MB",
        "max_wal_size": "4GB",
        "max_connections": "200",
        "max_parallel_workers_per_gather": str(max(0, min(4, cores - 1))),
        "jit": "off",
    }
