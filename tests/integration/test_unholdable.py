"""Whatever the database cannot hold of one file is that file's failure, and nobody else's."""

import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine

from gallery import manifest
from gallery.model_rows import ModelRow
from images.listing import FoundFile, Listing
from ingest.register import register_files
from query_sets import queries
from search.request import SearchRequest
from tests.fakes import (
    collection,
    ingest,
    names,
    picture,
    register,
    register_fake_model,
    write_pictures,
)
from tests.rows import column, states

FINE = names(3)
LONG = "/".join(f"{n:02}{os.urandom(90).hex()}" for n in range(18)) + "/0009_c1_9.png"
TOO_LONG = (
    "the database cannot hold it: its path is longer than an index of the database can hold; "
    "shorten it"
)
IN_2300 = "dated to the year 2300, which the database cannot hold; give it another time with touch"


@pytest.fixture
def model(engine: Engine) -> ModelRow:
    return register_fake_model(engine)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "people", FINE)


def dated_2300(path: Path) -> None:
    os.utime(path, ns=(0, 10_414_000_000 * 10**9))


def of_2300(folder: Path) -> str:
    write_pictures(folder, ["0009_c1_9.png"], 9)
    dated_2300(folder / "0009_c1_9.png")
    return "0009_c1_9.png"


def with_a_long_path(folder: Path) -> str:
    here = os.open(folder, os.O_RDONLY)
    *folders, name = LONG.split("/")
    for part in folders:  # no system takes such a path at once
        os.mkdir(part, dir_fd=here)
        here = os.open(part, os.O_RDONLY, dir_fd=here)
    with os.fdopen(os.open(name, os.O_WRONLY | os.O_CREAT, dir_fd=here), "wb") as file:
        picture(9).save(file, "PNG")
    return LONG


@pytest.mark.parametrize(("make", "why"), [(of_2300, IN_2300), (with_a_long_path, TOO_LONG)])
def test_a_file_of_a_folder(
    engine: Engine, folder: Path, model: ModelRow, make: Callable[[Path], str], why: str
) -> None:
    name = make(folder)
    registered, progress = ingest(engine, folder, "g", model)
    assert registered.refused == {name: why}
    assert (registered.pending, progress.stored, progress.failed) == (3, 3, 0)
    assert column(engine, "SELECT path FROM image ORDER BY path") == FINE
    again, _ = ingest(engine, folder, "g", model)
    assert (again.known, again.refused) == (3, {name: why})


def test_a_stored_file_that_is_dated_so_later_is_neither_lost_nor_gone(
    engine: Engine, folder: Path, model: ModelRow
) -> None:
    ingest(engine, folder, "g", model)
    dated_2300(folder / FINE[0])
    registered, _ = ingest(engine, folder, "g", model)
    assert (registered.refused, registered.missing, registered.known) == ({FINE[0]: IN_2300}, 0, 2)
    assert states(engine) == {"done": 3}


@pytest.mark.parametrize("kind", [".zip", ".tar"])
def test_a_member_of_an_archive(
    engine: Engine, tmp_path: Path, folder: Path, model: ModelRow, kind: str
) -> None:
    archive = tmp_path / f"people{kind}"
    packed = {name: folder / name for name in FINE} | {LONG: folder / FINE[0]}
    if kind == ".zip":
        with zipfile.ZipFile(archive, "w") as zipped:
            for name, path in packed.items():
                zipped.write(path, name)
    else:
        with tarfile.open(archive, "w") as tar:
            for name, path in packed.items():
                tar.add(path, name)
    registered, progress = ingest(engine, archive, "g", model)
    assert (registered.refused, progress.stored) == ({LONG: TOO_LONG}, 3)


def listed(*odd: FoundFile) -> Listing:
    fine = [FoundFile(name, None, 100, 1) for name in FINE]
    return Listing([*odd[:1], *fine[:1], *odd[1:], *fine[1:]])


@pytest.mark.parametrize("whole", [True, False])
def test_any_fact_of_a_listing(engine: Engine, model: ModelRow, whole: bool) -> None:
    """A server may say anything of its files."""
    odd = [
        FoundFile("a\0b.png", None, 1, 1),
        FoundFile("c.png", None, 2**63, 1),
        FoundFile("d.png", None, 1, -(2**63) - 1),
        FoundFile("\ud83d.png", None, 1, 1),
        FoundFile("x" * 4 + os.urandom(3000).hex() + ".png", None, 1, 1),
        FoundFile("f.png", os.urandom(5000), 1, 1),
    ]
    listing = listed(*odd)
    listing.whole = whole
    row = collection(engine, "g")
    with engine.begin() as connection:
        found = register_files(connection, row, model.id, "https://host/people", listing)
    assert found.pending == 3
    assert found.refused == {
        odd[0].path: "a name with a zero byte, which no file can have",
        "c.png": "the database cannot hold it: bigint out of range",
        "d.png": "dated to the year 1677, which the database cannot hold; give it another time "
        "with touch",
        odd[3].path: "a name with half a character, which is no text; rename it",
        odd[4].path: TOO_LONG,
        "f.png": TOO_LONG,
    }
    assert column(engine, "SELECT path FROM image ORDER BY path") == FINE


def test_a_reason_is_kept_whatever_is_in_it(engine: Engine, folder: Path, model: ModelRow) -> None:
    register(engine, folder, "g", model)
    (first, *_), said = column(engine, "SELECT id FROM image ORDER BY path"), "bad \0 chunk \ud800"
    with engine.begin() as connection:
        manifest.finish_tasks(connection, model.id, [first], [said])
    assert column(engine, "SELECT reason FROM task WHERE state = 'failed'") == [
        "bad \\x00 chunk \\ud800"
    ]


def test_what_is_no_fault_of_a_file_is_raised(engine: Engine, model: ModelRow) -> None:
    row = collection(engine, "g")
    with (
        pytest.raises(Exception, match="violates foreign key constraint"),
        engine.begin() as connection,
    ):
        register_files(connection, row, model.id + 1, "s", listed())


def test_a_query(engine: Engine, folder: Path, model: ModelRow) -> None:
    """Its name is its whole path where another has the same base name."""
    ingest(engine, folder, "g", model)
    below = folder.joinpath(*(f"{n}" * 180 for n in range(9)))
    below.mkdir(parents=True)
    for name in FINE[1:]:
        (below / name).write_bytes((folder / name).read_bytes())
    (below / FINE[2]).rename(below / "other.png")
    added = queries.add(engine, "s", SearchRequest(("g",)), [folder])
    twice = str((below / FINE[1]).relative_to(folder))
    assert added.failed == {twice: "a name of 1,650 bytes, more than 1,600; shorten it"}
    assert added.queries == 4
