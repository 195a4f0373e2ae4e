"""The embedded Postgres: started on demand, shared by every process, stopped only on request.

Everything lies in `REID_HOME/postgres`, private to the user. The server listens on a Unix socket in
a private folder; TCP is off unless `listen` is given, and then a password is asked for.
"""

import hashlib
import os
import re
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
from filelock import FileLock, Timeout
from psycopg import sql

from db import libpq_environment
from db.server.machine import server_settings, this_machine
from db.server.owner import HomeClaim
from db.server.process import EmbeddedServerFailed, hand_over, owned, run, start
from db.server.state import forget_dead, orphans, running

USER, DATABASE = "reid", "reid"
_PATIENCE_S = 600  # a recovery after a crash may replay much
_ENDING_S = 5  # a server that is being stopped elsewhere may need a moment
_SHARING = (
    "for several machines or containers run one server and set REID_DATABASE_URL for all of them "
    "(docs/database.md)"
)
# words of libpq and of the server, in English, as its locale is ours: it is not ready yet
_NOT_UP = (
    "Connection refused", "No such file or directory", "timeout expired", "starting up",
    "shutting down", "not yet accepting", "recovery", "does not exist", "server closed",
)  # fmt: skip
_PORT = 5432  # names the socket's file where nothing listens on TCP
_SOCKET_LIMIT = 90  # bytes; the system allows 107 with the file name
# what a list of folders, libpq's list of hosts and a URL all take as part of a name
_PLAIN_PATH = re.compile(r"/[^,:;@%\"'\\\x00-\x1f\ud800-\udfff]*")


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
        """Return where a running server has its socket, or where ours will be."""
        server = running(self.data)
        if server and server.sockets:
            return server.sockets
        return self._own_socket_folder()

    def _own_socket_folder(self) -> Path:
        # beside the data where a socket may have that path, else in a private temporary folder
        beside = self.home / "socket"
        if len(os.fsencode(beside)) <= _SOCKET_LIMIT and _PLAIN_PATH.fullmatch(str(beside)):
            return beside
        digest = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:16]
        name = f"reid-{os.getuid()}-{digest}"
        temporary = Path(tempfile.gettempdir())
        fits = len(os.fsencode(temporary / name)) <= _SOCKET_LIMIT
        return (temporary if fits else Path("/tmp")) / name

    @property
    def port(self) -> int:
        server = running(self.data)
        if server:
            return server.port
        return self.listen[1] if self.listen else _PORT

    def url(self) -> str:
        """A libpq URL for the socket."""
        folder = quote(str(self.socket_folder), safe="/")
        return f"postgresql://{USER}@/{DATABASE}?host={folder}&port={self.port}"

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
        libpq_environment.leave_out(None)
        if self._answers(DATABASE):
            self._check_listens()
            return
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            with self._lock():
                if not (self.data / "PG_VERSION").exists():
                    self._create()
                self._start()
                self._check_listens()
        except OSError as error:
            raise EmbeddedServerFailed(
                f"cannot keep the embedded database in {self.home}: {error.strerror}; "
                "set REID_HOME to a folder of your own"
            ) from error

    def stop(self) -> bool:
        """Ends every session and shuts down cleanly; False where nothing ran.

        Raises EmbeddedServerFailed where it runs out of this process' sight.
        """
        with self._lock():
            server = running(self.data)
            if server is None:
                if self._claim.is_held() and not orphans(self.data):
                    raise EmbeddedServerFailed(self._out_of_sight())
                return False
            os.kill(server.pid, signal.SIGINT)
            self._wait_for(lambda: running(self.data) is None, "stop")
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
        if running(self.data) is None:
            # two servers in one folder would destroy it: what a killed one left must end first
            self._wait_for(lambda: not orphans(self.data), "end what was left of it")
            lock = self._take_claim()
            try:
                forget_dead(self.data)
                self._make_socket_folder()
                self._claim.sign()
                process = start(self._arguments(), self.log, [] if lock is None else [lock])
            finally:
                if lock is not None:
                    os.close(lock)  # the server has it now
            self._wait_for(lambda: process.poll() is not None or self._answers(), "start")
        else:
            self._wait_for(self._is_decided, "start")
        if not self._answers():
            raise EmbeddedServerFailed(
                f"the embedded Postgres did not start: {self._last_words()}; see {self.log}"
            )
        self._prepare()

    def _take_claim(self) -> int | None:
        """What the server must inherit; None where the file system has no locks.

        Raises EmbeddedServerFailed where a server lives, or may live, out of sight.
        """
        owner, unstopped = self._claim.owner(), (self.data / "postmaster.pid").exists()
        try:
            deadline = time.monotonic() + _ENDING_S
            while (lock := self._claim.take()) is None:
                if time.monotonic() > deadline:
                    raise EmbeddedServerFailed(self._out_of_sight())
                time.sleep(0.1)
        except OSError:
            lock = None
        if owner and unstopped and self._claim.may_live_elsewhere(owner, locked=lock is not None):
            if lock is not None:
                os.close(lock)
            raise EmbeddedServerFailed(
                f"the embedded database in {self.home} was started on host {owner.host} and not "
                "stopped there, and from here nobody can see whether it still runs: stop it there "
                f"with `reid db stop`, or remove {self._claim.owner_file} if that host runs it no "
                f"more; {_SHARING}"
            )
        return lock

    def _out_of_sight(self) -> str:
        owner = self._claim.owner()
        return (
            f"the embedded database in {self.home} is in use: it runs on host "
            f"{owner.host if owner else 'unknown'}, where this process cannot reach it (another "
            f"container or machine); stop it there with `reid db stop`; {_SHARING}"
        )

    def _is_decided(self) -> bool:
        """Whether a server that runs answers, or has ended. Raises EmbeddedServerFailed where it is
        ready, and cannot be reached from here."""
        server = running(self.data)
        if server is None or self._answers():
            return True
        if server.ready and not any(self.socket_folder.glob(".s.PGSQL.*")):
            raise EmbeddedServerFailed(
                f"the embedded database in {self.home} runs, but its socket in "
                f"{self.socket_folder} is not to be seen from here; stop it where it was started, "
                f"with `reid db stop`; {_SHARING}"
            )
        return False

    @property
    def _claim(self) -> HomeClaim:
        return HomeClaim(self.home)

    def _make_socket_folder(self) -> None:
        folder = self._own_socket_folder()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # a folder that others wait with in /tmp would let them answer in our name
        if folder.is_symlink() or not owned(folder):
            raise EmbeddedServerFailed(
                f"{folder} belongs to somebody else; remove it, or set REID_HOME to a short path"
            )
        hand_over(folder)
        # a killed server's socket and its lock file, whose number may be somebody else's by now
        for left_over in folder.glob(".s.PGSQL.*"):
            left_over.unlink()

    def _check_listens(self) -> None:
        server = running(self.data)
        if self.listen and server and (server.tcp_host is None or server.port != self.listen[1]):
            raise EmbeddedServerFailed(
                f"the embedded Postgres runs already, without TCP on port {self.listen[1]}; "
                "stop it first with `reid db stop`"
            )

    def _prepare(self) -> None:
        """The user's password, then the database: who sees that finds everything ready."""
        with self._connect("postgres") as connection:
            if connection.execute("SHOW transaction_read_only").fetchone() == ("on",):
                return  # a standby has both from the server that it follows
            password = self.password_file.read_text().strip()
            connection.execute(
                sql.SQL("ALTER ROLE {} PASSWORD {}").format(
                    sql.Identifier(USER), sql.Literal(password)
                )
            )
            exists = connection.execute(
                "SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]
            ).fetchone()
            if not exists:
                connection.execute(f"CREATE DATABASE {DATABASE}")

    def _connect(self, database: str) -> "psycopg.Connection[tuple[object, ...]]":
        return psycopg.connect(
            host=str(self.socket_folder),
            port=self.port,
            user=USER,
            dbname=database,
            client_encoding="UTF8",
            connect_timeout=10,
            autocommit=True,
        )

    def _answers(self, database: str = "postgres") -> bool:
        if not any(self.socket_folder.glob(".s.PGSQL.*")):
            return False
        try:
            self._connect(database).close()
        except psycopg.OperationalError as error:
            said = " ".join(str(error).split())
            if any(words in said for words in _NOT_UP):
                return False
            raise EmbeddedServerFailed(
                f"the embedded Postgres refuses: {said.split('FATAL: ')[-1].strip()}"
            ) from None
        return True

    def _arguments(self) -> list[str]:
        settings = {
            "listen_addresses": self.listen[0] if self.listen else "",
            "port": str(self.listen[1] if self.listen else _PORT),
            "unix_socket_directories": f'"{self._own_socket_folder()}"',
            "unix_socket_permissions": "0700",
            "logging_collector": "off",
            "log_min_messages": "warning",
            **server_settings(this_machine()),
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
