"""Whatever is passed over or refused stands in the ingest's JSON and in `status`."""

import json
from pathlib import Path

import jsonschema
import pytest
from sqlalchemy import Engine

from gallery.model_rows import ModelRow
from tests.fakes import names, picture, register_fake_model, write_pictures
from tests.integration.conftest import Reid
from tests.rows import column

DOCS = Path(__file__).parents[2] / "docs" / "schemas"
LEFT = {"hidden": 1, "in a bin": 1, "previews of a system": 1, ".txt": 2, "without a suffix": 1}


@pytest.fixture
def model(engine: Engine) -> ModelRow:
    return register_fake_model(engine)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = write_pictures(tmp_path / "people", names(2))
    for name in (".x.jpg", ".Trash-1000/files/a.jpg", "@eaDir/a.jpg/b.jpg", "a.txt", "b.txt", "c"):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_bytes(b"x")
    (made / "out.jpg").symlink_to("/etc/passwd")
    return made


def said(reid: Reid, *words: object) -> list[dict[str, object]]:
    code, out, _ = reid(*words, "--format", "json")
    assert code == 0
    found = json.loads(out)
    schema = "failed" if "--failed" in words else "status"
    jsonschema.validate(found, json.loads((DOCS / f"{schema}.json").read_text()))
    assert isinstance(found, list)
    return found


@pytest.mark.usefixtures("model")
def test_an_ingest_and_status_say_it(reid: Reid, folder: Path) -> None:
    ingest = ("ingest", folder, "--collection", "g", "--enqueue")
    code, out, err = reid(*ingest, "--format", "json")
    found = json.loads(out)
    jsonschema.validate(found, json.loads((DOCS / "ingest.json").read_text()))
    assert (code, found["failed"], found["passed_over"]) == (3, 1, LEFT)
    words = "2 .txt, 1 hidden, 1 in a bin, 1 previews of a system, 1 without a suffix"
    assert f"passed over, being no images: {words}" in err
    (row,) = said(reid, "status")
    assert (row["pending"], row["refused"], row["passed_over"]) == (2, 1, LEFT)
    assert words in reid("status")[1]
    assert words in reid(*ingest)[1]
    (failed,) = said(reid, "status", "--failed")
    assert (failed["path"], failed["attempts"]) == ("out.jpg", 0)
    assert str(failed["reason"]).startswith("a symbolic link that leads out of the folder")
    # the next look replaces what the one before has said
    (folder / "out.jpg").unlink()
    (folder / "a.txt").unlink()
    reid(*ingest)
    (row,) = said(reid, "status")
    assert (row["refused"], row["passed_over"]) == (0, {**LEFT, ".txt": 1})
    assert said(reid, "status", "--failed") == []


@pytest.mark.usefixtures("model")
def test_each_source_has_its_own(reid: Reid, folder: Path, tmp_path: Path) -> None:
    other = write_pictures(tmp_path / "other", ["z.png"])
    (other / "b.txt").write_text("x")
    for source in (folder, other):
        reid("ingest", source, "--collection", "g", "--enqueue")
    (row,) = said(reid, "status")
    assert row["passed_over"] == {**LEFT, ".txt": 3}


@pytest.mark.usefixtures("model")
def test_a_collection_of_which_nothing_was_taken(reid: Reid, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.jpg").symlink_to("/etc/passwd")
    reid("ingest", tmp_path / "out", "--collection", "g", "--enqueue")
    (row,) = said(reid, "status")
    assert (row["model"], row["pending"], row["refused"]) == (None, 0, 1)


@pytest.mark.usefixtures("model")
def test_no_name_of_a_file_stays_behind_an_erasure(
    reid: Reid, folder: Path, engine: Engine
) -> None:
    reid("ingest", folder, "--collection", "g", "--enqueue")
    picture(1).save(folder.parent / "person.png")
    assert reid("erase", "--like", folder.parent / "person.png", "--yes", "--quick")[0] == 0
    assert column(engine, "SELECT refused FROM last_look") == [{}]
    audited = column(engine, "SELECT question::text FROM audit WHERE action = 'ingest'")
    assert "passed_over" not in "".join(audited)
    reid("collection", "remove", "g", "--yes")
    assert column(engine, "SELECT count(*) FROM last_look") == [0]
