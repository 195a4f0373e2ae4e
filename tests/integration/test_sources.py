"""Every source gives the same rows; what changed, came and went in each is noticed."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from errors import ReidError
from gallery import collections
from gallery.model_rows import ModelRow
from images.facts_file import read_facts
from images.sources.open import opened
from tests.fakes import (
    FakeNetwork,
    everything_stored,
    ingest,
    names,
    register,
    register_fake_model,
    work,
    write_pictures,
)
from tests.http_folder import served
from tests.packed import in_memory, pack
from tests.rows import column, failures, states

DATA = [*names(10), "cam/0009_c1_9.png", "nobody é.png"]


@pytest.fixture
def model(engine: Engine) -> ModelRow:
    return register_fake_model(engine)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = write_pictures(tmp_path / "people", DATA)
    (made / "broken.jpg").write_bytes(b"no image")
    return made


def marks(engine: Engine) -> list[tuple[str, bool]]:
    with engine.connect() as connection:
        stmt = text("SELECT path, missing_since IS NOT NULL FROM image ORDER BY path")
        return [tuple(row) for row in connection.execute(stmt)]


def test_all_sources_give_the_same_rows(
    engine: Engine, folder: Path, tmp_path: Path, model: ModelRow
) -> None:
    pytest.importorskip("aiohttp", reason="the extra `remote` is not installed")
    tar, tgz, zipped = (pack(tmp_path / f"p{kind}", folder) for kind in (".tar", ".tgz", ".zip"))
    rows = {}
    with served(tmp_path) as web:
        remote = [f"{web.url}/{name}" for name in ("people", "p.zip", "p.tar")]
        memory = [in_memory(folder, "m"), in_memory(tgz, "m.tgz")]
        for source in [str(folder), str(tar), str(tgz), str(zipped), *remote, *memory]:
            first, progress = ingest(engine, source, "g", model)
            assert (first.pending, progress.stored, progress.failed) == (13, 12, 1)
            rows[source] = everything_stored(engine)
            assert column(engine, "SELECT DISTINCT source FROM image") == [source]
            _, again = register(engine, source, "g", model)
            assert (again.known, again.pending, again.missing) == (12, 1, 0)  # the broken one
            with engine.begin() as connection:
                (row,) = collections.all_collections(connection)
                collections.remove(connection, row.id)
    assert len(rows) == 9
    for source, found in rows.items():
        assert found == rows[str(folder)], source


@pytest.mark.parametrize("kind", [".tar.gz", ".zip"])
def test_changed_new_and_vanished_members(
    engine: Engine, folder: Path, tmp_path: Path, model: ModelRow, kind: str
) -> None:
    (folder / "broken.jpg").unlink()
    archive = pack(tmp_path / f"p{kind}", folder)
    ingest(engine, str(archive), "g", model)
    before = {row[1]: row for row in everything_stored(engine)}
    (folder / DATA[0]).unlink()
    write_pictures(folder, [DATA[1], "new.png"], first_seed=70)
    pack(archive, folder)
    network = FakeNetwork()
    registered, progress = ingest(engine, str(archive), "g", model, network)
    assert (registered.missing, progress.stored, network.images) == (1, 2, 2)
    assert registered.known + progress.known == 10
    assert registered.known == (10 if kind == ".zip" else 0)  # a tar says too little of its members
    after = {row[1]: row for row in everything_stored(engine)}
    changed = {path for path in after if after[path] != before.get(path)}
    assert changed == {DATA[0], DATA[1], "new.png"}
    assert [path for path, missing in marks(engine) if missing] == [DATA[0]]
    with engine.begin() as connection:
        (row,) = collections.all_collections(connection)
        assert collections.prune(connection, row.id) == 1
    assert len(marks(engine)) == 12


def test_of_a_source_that_cannot_be_listed_nothing_is_gone(
    engine: Engine, folder: Path, tmp_path: Path, model: ModelRow
) -> None:
    pytest.importorskip("aiohttp", reason="the extra `remote` is not installed")
    archive = pack(tmp_path / "p.tar", folder)
    with served(tmp_path) as web:
        urls = [f"{web.url}/people", f"{web.url}/p.tar"]
        for number, source in enumerate([*urls, str(archive)]):
            ingest(engine, source, f"g{number}", model)
        whole = archive.read_bytes()
        archive.write_bytes(whole[: len(whole) // 2])
        registered, _ = ingest(engine, str(archive), "g2", model)
        assert registered.missing == 0
        (sentence,) = [why for path, why in registered.refused.items() if path == str(archive)]
        assert "cut off or damaged" in sentence
        archive.unlink()
        web.answers["/people/cam/"] = 500
        registered, _ = ingest(engine, urls[0], "g0", model)
        assert (registered.missing, list(registered.refused)) == (0, ["cam"])
        web.answers["/people/"] = 503
        sources = enumerate([*urls, str(archive)])
        for number, source in sources:
            with pytest.raises(ReidError):
                ingest(engine, source, f"g{number}", model)
    with pytest.raises(ReidError, match="no connection"):
        ingest(engine, urls[0], "g0", model)
    assert not any(missing for _, missing in marks(engine))


def test_another_worker_reads_the_source_by_its_name(
    engine: Engine, folder: Path, tmp_path: Path, model: ModelRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = pack(tmp_path / "p.tgz", folder)
    row, _ = register(engine, str(archive), "g", model)
    monkeypatch.setattr("images.sources.open._OPENED", {})  # as in another process
    progress = work(engine, FakeNetwork(), model, row)
    assert (progress.stored, progress.failed) == (12, 1)
    listed = [file.path for file in opened(str(archive)).listing().files]
    assert column(engine, "SELECT path FROM image ORDER BY id") == listed  # the order of their data


def test_an_archive_that_goes_before_it_is_read(
    engine: Engine, folder: Path, tmp_path: Path, model: ModelRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = pack(tmp_path / "p.zip", folder)
    row, _ = register(engine, str(archive), "g", model)
    monkeypatch.setattr("images.sources.open._OPENED", {})
    archive.unlink()
    assert work(engine, FakeNetwork(), model, row).failed == 13
    assert set(failures(engine).values()) == {f"cannot be read: {archive} is not there"}
    pack(archive, folder)
    registered, progress = ingest(engine, str(archive), "g", model)  # which mends it
    assert (registered.missing, progress.stored) == (0, 12)


def test_the_same_names_from_another_source(
    engine: Engine, folder: Path, tmp_path: Path, model: ModelRow
) -> None:
    archive = pack(tmp_path / "p.tar", folder)
    ingest(engine, str(archive), "g", model)
    registered, _ = ingest(engine, folder, "g", model)
    assert registered.refused[DATA[0]] == (
        f"'g' has a file of this name from {archive}; ingest into another collection"
    )
    archive.rename(tmp_path / "moved.tar")  # then it is taken from where it is now
    registered, progress = ingest(engine, folder, "g", model)
    assert (registered.refused, progress.known, progress.failed) == ({}, 12, 1)
    assert column(engine, "SELECT DISTINCT source FROM image") == [str(folder)]


# --- facts that a table tells


def test_a_table_says_who_was_seen_where_and_when(
    engine: Engine, folder: Path, tmp_path: Path, model: ModelRow
) -> None:
    table = tmp_path / "facts.csv"
    table.write_text(
        "path,pid,camid,time\n"
        f"nobody é.png,77,5,2026-11-01T08:00+01:00\n{DATA[0]},,4,\n"
        "gone.png,1,1,\nnotes.txt,1,1,\n/abs.png,1,1,\n"
    )
    registered, progress = ingest(engine, folder, "g", model, told=read_facts(table))
    assert (registered.unlisted, progress.stored) == (11, 2)
    assert registered.refused == {
        "gone.png": f"named in line 4 of the manifest, but is not in {folder}",
        "notes.txt": "named in line 5 of the manifest, but is no image by its name; expected "
        "JPEG, PNG, WebP, BMP, GIF, TIFF, HEIC, AVIF, JPEG 2000 or PNM",
        "/abs.png": "named in line 6 of the manifest, but is an absolute path; it must be relative"
        " to the source",
    }
    with engine.connect() as connection:
        stmt = "SELECT path, pid, i.camid, f.camid, captured_at FROM image i JOIN feature f"
        rows = [tuple(r) for r in connection.execute(text(f"{stmt} ON f.image_id = i.id"))]
    assert rows == [
        (DATA[0], None, 4, 4, None),
        ("nobody é.png", 77, 5, 5, datetime(2026, 11, 1, 7, tzinfo=UTC)),
    ]


def test_what_the_table_corrects_is_not_computed_again(
    engine: Engine, folder: Path, tmp_path: Path, model: ModelRow
) -> None:
    (folder / "broken.jpg").unlink()
    ingest(engine, folder, "g", model)
    table, network = tmp_path / "facts.jsonl", FakeNetwork()
    table.write_text(f'{{"path": "{DATA[0]}", "camid": 6}}\n{{"path": "{DATA[1]}", "pid": 9}}\n')
    revision = column(engine, "SELECT revision FROM collection")
    registered, _ = ingest(engine, folder, "g", model, network, told=read_facts(table))
    assert (registered.corrected, registered.known, registered.missing) == (2, 2, 0)
    assert network.images == 0
    assert column(engine, "SELECT revision FROM collection")[0] > revision[0]
    said = "SELECT (pid, i.camid, f.camid)::text FROM image i JOIN feature f ON f.image_id = i.id"
    assert column(engine, f"{said} ORDER BY path LIMIT 2") == ["(1,6,6)", "(9,2,2)"]
    again, _ = ingest(engine, folder, "g", model, told=read_facts(table))
    assert again.corrected == 0
    ingest(engine, folder, "g", model)  # without it, what it told stays
    assert column(engine, f"{said} ORDER BY path LIMIT 1") == ["(1,6,6)"]


def test_the_table_is_the_list_where_a_server_gives_none(
    engine: Engine,
    folder: Path,  # noqa: ARG001 - it is served
    tmp_path: Path,
    model: ModelRow,
) -> None:
    pytest.importorskip("aiohttp", reason="the extra `remote` is not installed")
    table = tmp_path / "facts.csv"
    table.write_text(f"path,pid\n{DATA[0]},5\ncam/0009_c1_9.png,6\ngone.png,7\n")
    with served(tmp_path) as web:
        web.lists = False
        registered, progress = ingest(
            engine, f"{web.url}/people", "g", model, told=read_facts(table)
        )
    assert (progress.stored, list(registered.refused)) == (2, ["gone.png"])
    assert states(engine) == {"done": 2}
