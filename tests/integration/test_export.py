"""The two files: every name in them is one image's, and the bytes are always the same."""

import csv
import io
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import numpy as np
import pytest
from sqlalchemy import Engine

from gallery.collections import CollectionRow
from gallery.model_rows import ModelRow
from query_sets.export import NothingToExport, classification, reid_test
from query_sets.queries import named_files
from query_sets.runs import latest_run
from search.question import Question
from tests.batch_answers import read_reid_test
from tests.fakes import (
    Stored,
    collection,
    ingest,
    register_fake_model,
    store,
    write_pictures,
)
from tests.query_sets import add, at, exported, query, run
from vocabulary import COLUMNS, column_values, decide


@pytest.fixture
def model(engine: Engine) -> ModelRow:
    return register_fake_model(engine, max_distance=1.5)


@pytest.fixture
def gallery(engine: Engine, model: ModelRow) -> CollectionRow:
    """Images at 0, 1, 2 ... 9, called 0.jpg, 1.jpg ..."""
    row = collection(engine, "gallery")
    items = [Stored(f"{n}.jpg", at(n), pid=n, camid=n % 2) for n in range(10)]
    with engine.begin() as connection:
        store(connection, model, row, items)
    return row


def test_a_query_without_match_keeps_its_colon(
    engine: Engine, model: ModelRow, gallery: CollectionRow
) -> None:
    add(engine, model, [gallery], [query("000616.jpg", 3.25), query("000007.jpg", 77)])
    run(engine, model)
    assert exported(engine) == "000007.jpg:\n000616.jpg: 3.jpg, 4.jpg\n"
    assert list(read_reid_test(exported(engine))) == [
        ("000007.jpg", []),
        ("000616.jpg", ["3.jpg", "4.jpg"]),
    ]
    assert exported(engine).encode() == exported(engine).encode()


def test_junk_is_left_out_and_counted(engine: Engine, model: ModelRow) -> None:
    """At the limit a crop stays; one whose quality nobody measured stays too."""
    row = collection(engine, "gallery")
    qualities = {"a.jpg": 0.5, "b.jpg": 0.49, "c.jpg": None, "d.jpg": 0.0, "e.jpg": 1.0}
    items = [Stored(name, at(0.1), quality=quality) for name, quality in qualities.items()]
    with engine.begin() as connection:
        store(connection, model, row, items)
    add(engine, model, [row], [query("q.jpg", 0)])
    run(engine, model)
    with engine.connect() as connection:
        run_id = latest_run(connection, "set")
        everything, good = reid_test(connection, run_id), reid_test(connection, run_id, 0.5)
    assert (everything.text, everything.left_out) == (
        "q.jpg: a.jpg, b.jpg, c.jpg, d.jpg, e.jpg\n",
        0,
    )
    assert (good.text, good.left_out) == ("q.jpg: a.jpg, c.jpg, e.jpg\n", 2)


ODD = [
    b"comma, space.jpg", b"colon: x.jpg", b"new\nline.jpg", b"per%20cent.jpg", b"per cent.jpg",
    b'quo"te.jpg', b"apo'strophe.jpg", b"back\\slash.jpg", b"caf\xe9.jpg", b"caf\\xe9.jpg",
    "café.jpg".encode(), b" lead.jpg", b"tab\t.jpg", "日本.jpg".encode(), b"a/same.jpg",
    b"b/same.jpg", b"sub, 1/x.jpg", b"%.jpg", "\u2028.jpg".encode(), b"#;|.jpg", b"\x85.jpg",
]  # fmt: skip


def test_odd_names_parse_back(engine: Engine, model: ModelRow, tmp_path: Path) -> None:
    """Through the whole way: files, ingest, queries from a folder, run, export."""
    folder = write_pictures(tmp_path / "odd", ODD)
    registered, progress = ingest(engine, folder, "odd", model)
    assert (progress.stored, registered.refused) == (len(ODD), {})
    again, progress = ingest(engine, folder, "odd", model)
    assert (again.known, progress.settled) == (len(ODD), 0)
    files, refused = named_files([folder])
    assert not refused
    add(
        engine,
        model,
        [collection(engine, "odd")],
        [query(name, 0) for name, _ in files],
        Question(limit=100),
    )
    run(engine, model)
    content = exported(engine)
    lines = list(read_reid_test(content))
    assert len(content.split("\n")) == len(lines) + 1 == len(ODD) + 1
    expected = sorted(name if b"same" in name else name.rsplit(b"/", 1)[-1] for name in ODD)
    assert sorted(unquote_to_bytes(name) for name, _ in lines) == expected
    for _, matches in lines:
        assert sorted(unquote_to_bytes(name) for name in matches) == expected

    with engine.connect() as connection:
        table = classification(connection, model, collection(engine, "odd"))
    ids = [row[0] for row in csv.reader(io.StringIO(table.text))][1:]
    assert sorted(unquote_to_bytes(name) for name in ids) == expected


def test_single_files_keep_their_bytes(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path, [b"caf\xe9.jpg", b"a, b.jpg"])
    files, _ = named_files(sorted(folder.iterdir()))
    assert sorted(unquote_to_bytes(name) for name, _ in files) == [b"a, b.jpg", b"caf\xe9.jpg"]


def test_equal_names_in_several_galleries(engine: Engine, model: ModelRow) -> None:
    """Collections "a" and "a/b" hold b/x.jpg and x.jpg: even those stay apart."""
    rows = [collection(engine, name) for name in ("a", "a/b", "per%cent, 2")]
    with engine.begin() as connection:
        store(connection, model, rows[0], [Stored("b/x.jpg", at(1)), Stored("only.jpg", at(4))])
        store(connection, model, rows[1], [Stored("x.jpg", at(2))])
        store(connection, model, rows[2], [Stored("x.jpg", at(3))])
    add(engine, model, rows, [query("q.jpg", 0)], Question(limit=9))
    run(engine, model)
    assert exported(engine) == "q.jpg: a/b/x.jpg, a%2Fb/x.jpg, per%25cent%2C 2/x.jpg, only.jpg\n"


# --- classification_test.csv


def test_the_classification_file(engine: Engine, model: ModelRow) -> None:
    row = collection(engine, "gallery")
    rng = np.random.default_rng(27)
    items = [
        Stored(f"{n:06}.jpg", at(n), tuple(float(s) for s in rng.random(56, np.float32)))
        for n in (3, 1, 2)
    ]
    with engine.begin() as connection:
        with pytest.raises(NothingToExport) as caught:
            classification(connection, model, row)
        assert str(caught.value) == (
            "collection 'gallery' has nothing stored by model 'fake'; "
            "run `reid ingest FOLDER --collection gallery`"
        )
        store(connection, model, row, items)
    with engine.connect() as connection:
        first, second = (classification(connection, model, row) for _ in range(2))
    assert first.text == second.text
    assert first.lines == 3
    assert first.text.splitlines()[0] == (
        "id,age,backpack,bag,handbag,clothes,down,up,hair,hat,gender,upblack,upwhite,upred,"
        "uppurple,upyellow,upgray,upblue,upgreen,downblack,downwhite,downpink,downpurple,"
        "downyellow,downgray,downblue,downgreen,downbrown"
    )
    rows: list[dict[str, Any]] = list(csv.DictReader(io.StringIO(first.text)))
    assert [row["id"] for row in rows] == ["000001.jpg", "000002.jpg", "000003.jpg"]
    by_name = {item.path: column_values(decide(item.scores)) for item in items}
    for found in rows:
        assert {column: int(found[column]) for column in COLUMNS} == by_name[found["id"]]
