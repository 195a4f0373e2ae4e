"""All that can be stored about people, and where it might still be found."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from db.administration import client_program
from db.connect import DatabaseAddress, make_engine
from gallery.model_rows import ModelRow
from query_sets import queries
from query_sets.verdicts import decide
from search.answering import search
from search.request import SearchRequest as Question
from tests.fakes import ingest, names, register_fake_model, write_pictures

ASKED = Question(("g", "h"), limit=100)


def two_folders(folder: Path) -> Path:
    """In `g/` twelve pictures of people, in `h/` copies of two of them beside four others."""
    people = write_pictures(folder / "g", names(12))
    others = write_pictures(folder / "h", names(4, first=101), first_seed=50)
    for name in names(2):
        shutil.copy(people / name, others / f"copy_{name}")
    return folder


def stored(engine: Engine, folder: Path, model: ModelRow) -> None:
    for name in ("g", "h"):
        ingest(engine, folder / name, name, model)


def used(engine: Engine, folder: Path, model: ModelRow) -> None:
    """All that can be stored about people: images, queries, runs, verdicts, searches."""
    stored(engine, folder, model)
    everybody = sorted((folder / "g").iterdir())
    queries.add(engine, "all", ASKED, everybody[:8])
    queries.add(engine, "first", ASKED, everybody[:1])
    for name in ("all", "first"):
        queries.run(engine, name, None, "a test")
    for query, image in pairwise(everybody[:8]):
        decide(engine, "all", query.name, [image.name], "confirmed", note=f"seen {image.name}")
    search(engine, replace(ASKED, files=tuple((path.name, str(path)) for path in everybody)))
    with engine.begin() as connection:
        connection.execute(text("ANALYZE"))


def ids(engine: Engine, paths: Iterable[str]) -> dict[str, int]:
    with engine.connect() as connection:
        rows = connection.execute(
            text("SELECT path, id FROM image WHERE path = ANY(:paths) ORDER BY path"),
            {"paths": list(paths)},
        )
        return {row.path: row.id for row in rows}


def tables(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        rows = connection.scalars(
            text(
                "SELECT relname FROM pg_class WHERE relkind = 'r'"
                " AND relnamespace = 'public'::regnamespace"
            )
        )
        return [*rows, "pg_statistic"]


def everywhere(engine: Engine) -> dict[str, str]:
    """Every row of every table but the tombstones, as text."""
    with engine.connect() as connection:
        return {
            table: "\n".join(connection.scalars(text(f"SELECT t::text FROM {table} t")))
            for table in tables(engine)
            if table != "tombstone"
        }


def dumped(engine: Engine) -> str:
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    command = [client_program("pg_dump"), f"--dbname={url}", "--exclude-table-data=tombstone"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def traces(engine: Engine, paths: Iterable[str]) -> dict[str, str]:
    """What may not be found any more of each of these: name, hash, thumbnail, numbers."""
    with engine.connect() as connection:
        rows = connection.execute(
            text(
                "SELECT i.path, encode(i.content_hash, 'hex') AS hash,"
                " encode(t.jpeg, 'hex') AS jpeg, f.embedding::text AS embedding,"
                " f.scores::text AS scores FROM image i JOIN thumbnail t ON t.image_id = i.id"
                " JOIN feature f ON f.image_id = i.id WHERE i.path = ANY(:paths)"
            ),
            {"paths": list(paths)},
        ).all()
    return {f"{what} of {row.path}": value for row in rows for what, value in row._mapping.items()}


def found(haystacks: dict[str, str], needles: dict[str, str]) -> list[tuple[str, str]]:
    return [
        (what, where)
        for what, needle in needles.items()
        for where, hay in haystacks.items()
        if needle in hay
    ]


@contextmanager
def never_held(
    clone: Callable[[], AbstractContextManager[str]], folder: Path, without: set[str]
) -> Iterator[Engine]:
    """A database that took in the same files but those."""
    with clone() as url:
        other = make_engine(DatabaseAddress(Path(), url))
        kept = folder / "kept"
        for name in ("g", "h"):
            shutil.copytree(
                folder / name, kept / name, ignore=lambda _, found: set(found) & without
            )
        used_model = register_fake_model(other, max_distance=1.0)
        stored(other, kept, used_model)
        yield other
        other.dispose()


def answers(engine: Engine, folder: Path) -> list[Any]:
    asked = [
        search(engine, replace(ASKED, files=((path.name, str(path)),))).answers[0]
        for path in sorted((folder / "g").iterdir())
    ]
    asked += search(engine, Question(("g", "h"), where="not hat or hat")).answers
    return [
        (a.query, a.candidates, a.complete, [(m.collection, m.path, m.distance) for m in a.matches])
        for a in asked
    ]


def database_files(engine: Engine) -> bytes:
    """The bytes of the database's own files, statistics and indexes among them."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("CHECKPOINT"))
        where = connection.scalar(
            text(
                "SELECT current_setting('data_directory') || '/base/' || oid FROM pg_database"
                " WHERE datname = current_database()"
            )
        )
    if not os.access(str(where), os.R_OK):
        pytest.skip("the server's files are not on this machine")
    return b"".join(path.read_bytes() for path in sorted(Path(str(where)).iterdir()))
