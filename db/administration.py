"""Looking after the database: set up, back up, restore, and a check of the installation."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile

from sqlalchemy import Connection, Engine, text
from sqlalchemy.engine import make_url

from db import roles
from db.audit import record
from db.backup import Clients, read_backup, write_backup
from db.connect import (
    HEAD,
    DatabaseAddress,
    check_server,
    current_revision,
    make_engine,
    reach,
    resolve,
)
from db.open import open_database
from db.server.process import EmbeddedServerFailed, program
from db.session import session_of
from db.upgrade import install_pgvector, upgrade
from errors import UsageError
from files import stream_of, whole_file
from settings import Settings


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
    # a pooler that lends sessions serves neither psql nor pg_dump
    given = Settings.from_environment().direct_url if resolve().url else None
    given = DatabaseAddress(Path(), given).libpq_url() if given else libpq_url()
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
    """Writes all of our tables to one file that is its owner's alone, through a partial one.

    It is in the audit log, since it holds everybody: where it lies, erasure does not reach.
    """
    with disposed(open_database()) as engine, engine.begin() as connection:
        record(connection, "db backup", {"out": str(file.absolute())})
        schema = session_of(connection).schema
    with stream_of(file) as stream:
        if stream is not None:
            write_backup(_clients(), stream, schema)
            return
    with whole_file(file, private=True) as partial:
        write_backup(_clients(), partial, schema)


def restore(file: Path) -> None:
    """Fills an empty database from a backup.

    Raises UsageError where it holds images, or an audit log that the restore would erase;
    PgvectorMissing where somebody else must install it.
    """
    given = str(file) in ("-", "/dev/stdin")
    if not (given or file.exists()) or file.is_dir():
        raise UsageError(f"no backup file {file}")
    with disposed(make_engine(resolve())) as engine, reach(engine) as connection:
        check_server(connection)
        if current_revision(connection) is not None:
            _check_empty(connection)
        vectors = install_pgvector(connection)
        connection.commit()
        schema = session_of(connection).schema
    with _seekable(file, given) as whole:
        read_backup(_clients(), whole, schema, vectors)


@contextmanager
def _seekable(file: Path, given: bool) -> Iterator[Path]:
    """The backup as a file that can be read more than once: what comes by stdin or a pipe is copied
    to a private one."""
    if file.is_file() and not given:
        yield file
        return
    with NamedTemporaryFile(prefix="reid-") as copy:
        with open(0 if given else file, "rb", closefd=not given) as source:
            shutil.copyfileobj(source, copy)
        copy.flush()
        yield Path(copy.name)


def _check_empty(connection: Connection) -> None:
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


def _clients() -> Clients:
    url, secrets = client_access()
    dump, fill, psql = map(client_program, ("pg_dump", "pg_restore", "psql"))
    return Clients(dump, fill, psql, url, {**os.environ, **secrets})
