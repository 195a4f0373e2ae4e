"""Looking after the database: set up, back up, restore, and a check of the installation."""

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from sqlalchemy import Engine, text
from sqlalchemy.engine import make_url

from actions.models import is_former_default, shipped_checkpoint
from db import models as registry
from db import roles
from db.audit import record
from db.connect import (
    HEAD,
    Place,
    check_server,
    current_revision,
    make_engine,
    open_database,
    reach,
    resolve,
)
from db.embedded_process import EmbeddedServerFailed, program
from db.libpq_environment import left_out
from db.read_only import is_allowed
from db.session import Session, session_of
from db.upgrade import upgrade
from errors import ReidError, UsageError


class BackupFailed(ReidError):
    """A backup or a restore did not go through."""


@dataclass(frozen=True)
class Check:
    """One line of `doctor`. `advice` is None where all is well."""

    what: str
    found: str
    advice: str | None = None


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
    partial = file.with_name(file.name + ".partial")
    partial.unlink(missing_ok=True)
    partial.touch(mode=0o600)
    try:
        _client("pg_dump", "--format=custom", f"--file={partial}")
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def restore(file: Path) -> None:
    """Fills an empty database from a backup.

    Raises UsageError where it holds images, or an audit log that the restore would erase.
    """
    if not file.is_file():
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
        "--single-transaction", str(file),
    )  # fmt: skip


def _client(name: str, *arguments: str) -> None:
    url, secrets = client_access()
    done = subprocess.run(
        [client_program(name), f"--dbname={url}", *arguments],
        env={**os.environ, **secrets},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = " ".join(done.stderr.split())[:300]
        raise BackupFailed(f"{name} failed: {said}")


def doctor() -> Iterator[Check]:
    """Checks this installation from the bottom up; each line says what to do where it is wrong."""
    yield Check("python", platform.python_version())
    for package in ("torch", "torchvision"):
        try:
            yield Check(package, version(package))
        except PackageNotFoundError:
            yield Check(package, "missing", "run `make install`")
    yield _device()
    place = resolve()
    yield Check("home", str(place.home), _home_advice(place))
    yield from _database(place)


def _session(session: Session) -> Iterator[Check]:
    if session.read_only is None:
        return
    advice = (
        None
        if is_allowed()
        else (
            "searching works with `reid --read-only`, without an audit row; for all else name a "
            "server that takes writes in REID_DATABASE_URL"
        )
    )
    yield Check("writing", f"not here: {session.read_only}", advice)


def _device() -> Check:
    if os.path.exists("/proc/driver/nvidia/version"):  # noqa: PTH110
        return Check("device", "an NVIDIA driver is there; `--device cuda` uses it")
    return Check("device", "cpu")


def _home_advice(place: Place) -> str | None:
    existing = next(p for p in (place.home, *place.home.parents) if p.exists())
    if os.access(existing, os.W_OK):
        return None
    return f"{existing} may not be written; set REID_HOME to a folder of your own"


def _database(place: Place) -> Iterator[Check]:
    kind = "embedded" if place.embedded else "server"
    try:
        with disposed(make_engine(place)) as engine, reach(engine) as connection:
            check_server(connection)
        with disposed(open_database(place)) as engine, reach(engine) as connection:
            session = session_of(connection)
            postgres = connection.scalar(text("SHOW server_version"))
            pgvector = connection.scalar(
                text("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
            )
            images = connection.scalar(text("SELECT count(*) FROM image"))
            model = registry.active_model(connection)
    except ReidError as error:
        yield Check(f"database ({kind})", "not usable", str(error))
        return
    yield Check(f"database ({kind})", f"Postgres {postgres}, schema {HEAD}, {images} images")
    yield Check("pgvector", str(pgvector))
    yield from _session(session)
    if variables := left_out():
        yield Check(
            "libpq's variables", f"not used, since they are not ours: {', '.join(variables)}"
        )
    if model is None:
        yield Check("model", "none yet; the shipped one is registered at the first ingest")
        return
    newer = (
        f"; a better default has come since: `reid model add {shipped_checkpoint()} --name NAME`, "
        "ingest again with --model NAME, then `reid model activate NAME`"
    )
    yield Check(
        "model",
        f"{model.name} ({model.architecture}), active{newer if is_former_default(model) else ''}",
    )
