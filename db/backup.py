"""A backup is one file of pg_dump's; whoever owns a database restores it, superuser or not.

What is the server's own stays out of it: extensions and their comments, the schema `public`, and
the rights of roles that another server does not know. pgvector may lie in another schema there.
"""

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import BinaryIO

from db.roles import TABLES, VIEWS
from errors import ReidError

# lines of `pg_restore --list`: number; catalogue, object, kind, schema, name, owner
_NOT_OURS = re.compile(
    r"\d+; \d+ \d+ (EXTENSION|COMMENT - EXTENSION|SCHEMA - public|COMMENT - SCHEMA|ACL|DEFAULT ACL"
    r"|PUBLICATION|SUBSCRIPTION|EVENT TRIGGER|SECURITY LABEL)\b"
)
_VECTORS = r'("(?:[^"]|"")+"|\w+)\.(vector|halfvec|sparsevec|(?:vector|halfvec)_\w+_ops)\b'
_FUNCTIONS = ("audit_is_append_only", "keep_gallery_count")
_LONGEST = 300


class BackupFailed(ReidError):
    """A backup or a restore did not go through."""


@dataclass(frozen=True)
class Clients:
    """Postgres' programs, a URL for them, and what must stand in their environment."""

    pg_dump: str
    pg_restore: str
    psql: str
    url: str
    environment: Mapping[str, str]


def write_backup(clients: Clients, to: Path | BinaryIO, schema: str) -> None:
    """The schema of our tables, into one file or a stream. Raises BackupFailed."""
    _run(
        clients, clients.pg_dump, f"--dbname={clients.url}", f"--schema={_quoted(schema)}",
        "--format=custom", *([f"--file={to}"] if isinstance(to, Path) else []),
        output=None if isinstance(to, Path) else to,
    )  # fmt: skip


def read_backup(clients: Clients, file: Path, schema: str, vectors: str) -> None:
    """In one transaction, in place of our empty tables in `schema`; pgvector lies in `vectors`.

    Raises BackupFailed; then the database is as it was.
    """
    listed = _run(clients, clients.pg_restore, "--list", str(file)).decode().splitlines()
    with NamedTemporaryFile("w", suffix=".list") as ours:
        ours.write("\n".join(line for line in listed if not _NOT_OURS.match(line)) + "\n")
        ours.flush()
        how = ["--no-owner", "--no-privileges", f"--use-list={ours.name}"]
        begin, end = (
            _with_vectors(
                _run(
                    clients, clients.pg_restore, *how, f"--section={part}", "--file=-", str(file)
                ).decode(),
                vectors,
            )
            for part in ("pre-data", "post-data")
        )  # fmt: skip
        data = [clients.pg_restore, *how, "--section=data", "--file=-", str(file)]
        _replay(clients, _dropping(schema) + begin, data, end)


def _replay(clients: Clients, begin: str, data: Sequence[str], end: str) -> None:
    asked = ["--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1", "--file=-"]
    with NamedTemporaryFile() as said:
        psql = subprocess.Popen(
            [clients.psql, f"--dbname={clients.url}", *asked],
            env=dict(clients.environment), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            stderr=said,
        )  # fmt: skip
        assert psql.stdin is not None
        code = 0
        try:
            psql.stdin.write(begin.encode())
            psql.stdin.flush()
            code = subprocess.run(data, stdout=psql.stdin, stderr=said, check=False).returncode
            if code:
                psql.kill()  # half of the rows must not be committed
            psql.stdin.write(end.encode())
            psql.stdin.close()
        except BrokenPipeError:
            pass  # psql has ended, and has said why
        if psql.wait() or code:
            raise BackupFailed(f"the backup cannot be restored: {_telling(said.name)}")


def _dropping(schema: str) -> str:
    """What `reid db upgrade` has made, without any image, gives way."""
    where = _quoted(schema)
    names = [f"{where}.{_quoted(name)}" for name in TABLES]
    return "\n".join(
        [
            "SET client_min_messages = warning;",
            *(f"DROP VIEW IF EXISTS {where}.{_quoted(view)};" for view in VIEWS),
            f"DROP TABLE IF EXISTS {', '.join(names)};",
            f"DROP SEQUENCE IF EXISTS {where}.worker_id;",
            *(f"DROP FUNCTION IF EXISTS {where}.{name};" for name in _FUNCTIONS),
            "",
        ]
    )


def _with_vectors(script: str, schema: str) -> str:
    """pgvector's types and operator classes as they are named in this database; a script of
    definitions has no values in it that could look like one."""
    return re.sub(_VECTORS, lambda found: f"{_quoted(schema)}.{found[2]}", script)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _run(clients: Clients, *words: str, output: BinaryIO | None = None) -> bytes:
    """What a program writes, unless an `output` takes it. Raises BackupFailed."""
    done = subprocess.run(
        words, env=dict(clients.environment), check=False, stderr=subprocess.PIPE,
        stdout=subprocess.PIPE if output is None else output,
    )  # fmt: skip
    if done.returncode:
        said = " ".join(done.stderr.decode(errors="replace").split())[:_LONGEST]
        raise BackupFailed(f"{Path(words[0]).name} failed: {said}")
    return done.stdout or b""


def _telling(log: str) -> str:
    lines = Path(log).read_text(errors="replace").strip().splitlines()
    telling = [line for line in lines if "ERROR" in line or "FATAL" in line or "error:" in line]
    return " ".join((telling or lines or ["it was broken off"])[0].split())[:_LONGEST]
