"""Looking after the database: set up, back up, restore, and a check of the installation."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import Engine, text
from sqlalchemy.engine import make_url

from db import roles
from db.audit import record
from db.connect import HEAD, check_server, current_revision, make_engine, reach, resolve
from db.open import open_database
from db.server.process import EmbeddedServerFailed, program
from db.upgrade import upgrade
from errors import ReidError, UsageError
from files import stream_of, whole_file


class BackupFailed(ReidError):
    """A backup or a restore did not go through."""


@contextmanager
def disposed(engine: Engine) -> Iterator[Engine]:
    """The engine, its connections closed at the end."""
    try:
        yield engine
    finally:
        engine.dispose()


def libpq_url() -> str:
    """The URL of the configured database, its embedded server started."""
    place = resolve()
    if server := place.embedded:
        server.ensure_running()
    return place.libpq_url()


def client_access() -> tuple[str, dict[str, str]]:
    """The URL without its password, and the password as an environment variable of libpq.

    Command lines can be read by every user of the machine.
    """
    given = libpq_url()
    url = make_url(given)
    secret = url.password or url.query.get("password")
    if secret is None:
        return given, {}
    bare = url._replace(password=None).difference_update_query(["password"])
    return bare.render_as_string(hide_password=False), {"PGPASSWORD": str(secret)}


def set_up() -> tuple[str | None, str]:
    """(revision before, revision now)."""
    with disposed(make_engine(resolve())) as engine:
        with reach(engine) as connection:
            before = current_revision(connection)
        upgrade(engine)
    return before, HEAD


def stop_server() -> bool:
    """Stops the embedded server; False where none ran. Raises UsageError for another server."""
    server = resolve().embedded
    if server is None:
        raise UsageError("REID_DATABASE_URL names a server; stop it where it was started")
    return server.home.exists() and server.stop()


def grant(role: str, *, review: bool) -> bool:
    """Lets a role search, with `review` also review; True where the role was made.

    Raises BadRole, CannotGrant.
    """
    with disposed(open_database()) as engine, engine.begin() as connection:
        made = roles.grant(connection, role, review=review)
        record(connection, "db grant", {"role": role, "review": review, "made": made})
    return made


def client_program(name: str) -> str:
    """psql, pg_dump ...: the embedded package's, else the system's."""
    try:
        return str(program(name))
    except EmbeddedServerFailed:
        found = shutil.which(name)
        if found is None:
            raise
        return found


def backup(file: Path) -> None:
    """Writes the whole database to one file that is its owner's alone, through a partial one.

    It is in the audit log, since it holds everybody: where it lies, erasure does not reach.
    """
    with disposed(open_database()) as engine, engine.begin() as connection:
        record(connection, "db backup", {"out": str(file.absolute())})
    with stream_of(file) as stream:
        if stream is not None:
            _client("pg_dump", "--format=custom", output=stream)
            return
    with whole_file(file, private=True) as partial:
        _client("pg_dump", "--format=custom", f"--file={partial}")


def restore(file: Path) -> None:
    """Fills an empty database from a backup.

    Raises UsageError where it holds images, or an audit log that the restore would erase.
    """
    given = str(file) in ("-", "/dev/stdin")
    if not (given or file.exists()) or file.is_dir():
        raise UsageError(f"no backup file {file}")
    with disposed(make_engine(resolve())) as engine, reach(engine) as connection:
        check_server(connection)
        if current_revision(connection) is not None:
            images = connection.scalar(text("SELECT count(*) FROM image"))
            if images:
                raise UsageError(
                    f"the database holds {images} images already; restore into an empty one "
                    "(another REID_HOME or REID_DATABASE_URL)"
                )
            entries = connection.scalar(text("SELECT count(*) FROM audit"))
            if entries:
                raise UsageError(
                    f"the database's audit log holds {entries} rows, which a restore would erase; "
                    "restore into an empty one (another REID_HOME or REID_DATABASE_URL)"
                )
    _client(
        "pg_restore", "--clean", "--if-exists", "--no-owner", "--exit-on-error",
        "--single-transaction", *([] if given else [str(file)]),
    )  # fmt: skip


def _client(name: str, *arguments: str, output: BinaryIO | None = None) -> None:
    url, secrets = client_access()
    done = subprocess.run(
        [client_program(name), f"--dbname={url}", *arguments],
        env={**os.environ, **secrets},
        stdout=subprocess.DEVNULL if output is None else output,
        stderr=subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        said = " ".join(done.stderr.decode(errors="replace").split())[:300]
        raise BackupFailed(f"{name} failed: {said}")
